"""Artefacts: the tasks that make them, the store that keeps them, and who runs them."""
