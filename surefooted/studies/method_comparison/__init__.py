"""Methods side by side over seeds: cells, tables and figures of a study such as the demo."""
