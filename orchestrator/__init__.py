"""The coordinator: decides, remembers, shows. Celery is not known here; it lives in workers/."""
