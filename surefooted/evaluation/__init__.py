"""Evaluation of predictions, attacks and classifiers: metrics, analysis, checks, recalibration."""
