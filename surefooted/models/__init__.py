"""Classifiers: networks, ensembles and views of them, files that hold them, and what they predict."""
