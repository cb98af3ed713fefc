"""The values that everything exchanges, and the mathematics on them."""
