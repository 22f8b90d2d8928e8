"""What a report tells the coordinator of one backup, as the detail of its step.

What lives here: that text. What must not: judging the backup; its manifest has that already.
The coordinator reads `restore_point` from it (orchestrator/core/restorepoints.py).
"""

from __future__ import annotations

import json

from tasks.backup.manifest import Manifest


def restore_point(folder: str, manifest: Manifest, offsite: str = "") -> str:
    said = {
        "id": manifest.id,
        "folder": folder,
        "taken_at": manifest.taken_at,
        "covers_until": manifest.covers_until,
        "verified_at": manifest.verified_at,
        "state": manifest.state.value,
        "reason": manifest.reason,
        "size_bytes": manifest.size_bytes,
        "sha256": manifest.sha256,
    }
    if offsite:
        said["offsite"] = offsite
    return json.dumps({"restore_point": said}, sort_keys=True)
