"""Image classifiers: networks, ensembles, external models, their weight files, and their predictions."""
