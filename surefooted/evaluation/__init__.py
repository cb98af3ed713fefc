"""What is read off predictions, attacks and victims: metrics, analysis, checks, recalibration."""
