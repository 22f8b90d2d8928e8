"""Keys of age, as people make them."""

from __future__ import annotations

import subprocess
from pathlib import Path


def age_key(path: Path) -> str:
    """A new private key in this file; its public half."""
    done = subprocess.run(["age-keygen", "-o", str(path)], capture_output=True, text=True)
    assert done.returncode == 0, f"age is missing: apt-get install age: {done.stderr}"
    return done.stderr.partition("Public key: ")[2].strip()
