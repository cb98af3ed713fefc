"""The values that all other packages exchange: points, forward passes, scores, predictions, norms, random draws."""
