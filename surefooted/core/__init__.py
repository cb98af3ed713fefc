"""The values that every other package exchanges: points, forward passes, scores, predictions, balls, random draws, intervals."""
