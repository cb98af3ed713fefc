"""Methods side by side over seeds: tasks, tables and figures of a study such as the demo."""
