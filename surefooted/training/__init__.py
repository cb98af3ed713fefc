"""Training: the loop, its batches and checkpoints, methods, recipes and recorders."""
