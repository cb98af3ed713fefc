"""Components: functions whose signature is the schema; their names, specs and help."""
