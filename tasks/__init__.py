"""What can be done on a machine. Knows nobody: imports neither the coordinator nor Celery."""
