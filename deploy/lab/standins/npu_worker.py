"""Stands in for AutoBot's NPU worker. Which devices there are is asked of OpenVINO elsewhere.

Settings: LISTEN, PORT, NPU_AVAILABLE (0 or 1), LOADED_MODELS (separated by commas).
"""

from __future__ import annotations

import os
import time

from .serve import Server, as_json, ready, setting

STARTED = time.monotonic()


def answer(path: str) -> tuple[int, str, bytes] | None:
    if path != "/health":
        return None
    models = [each for each in setting("LOADED_MODELS", "nomic-embed-text").split(",") if each]
    return as_json(
        {
            "status": "healthy",
            "worker_id": f"npu-worker-{os.getpid()}",
            "npu_available": setting("NPU_AVAILABLE", "0") == "1",
            "loaded_models": models,
            "stats": {
                "tasks_completed": 0,
                "tasks_failed": 0,
                "uptime_seconds": round(time.monotonic() - STARTED, 3),
            },
        }
    )


if __name__ == "__main__":
    server = Server("8081", answer)
    ready()
    server.serve_forever()
