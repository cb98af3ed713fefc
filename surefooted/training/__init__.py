"""Training: the loop, what it is shown, methods, recipes, recorders."""
