"""The processes. The only place that imports Celery."""
