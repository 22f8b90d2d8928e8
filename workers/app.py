"""What `celery -A workers.app …` uses: the broker of the settings, and no tasks of its own.

`celery -A workers.app call orchestrator.recover --kwargs '{"scenario": "redis"}'` starts a
run, and the task's id is the run's. Flower uses it too.
"""

from __future__ import annotations

import os

from workers.broker import make_app, result_backend_for

_broker_url = os.environ.get("AUTOBOT_DR_BROKER_URL", "")
if not _broker_url:
    raise SystemExit("AUTOBOT_DR_BROKER_URL is not set; give the broker's URL, as `up` prints it")

app = make_app(_broker_url, result_backend=result_backend_for(_broker_url))
