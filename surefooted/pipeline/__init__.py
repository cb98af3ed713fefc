"""The tasks that make artifacts, the store that keeps them, and their execution."""
