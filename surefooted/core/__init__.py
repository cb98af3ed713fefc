"""The values that every room exchanges: points, forward passes, scores, predictions, balls, random draws, intervals."""
