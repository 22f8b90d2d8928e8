"""The kinds of backup jobs in fleet.yaml. A kind is a file here, its name below, and its job in
the core.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from orchestrator.backupkinds.files import FilesShape
from orchestrator.backupkinds.redis import RedisShape

AnyShape = Annotated[FilesShape | RedisShape, Field(discriminator="kind")]
