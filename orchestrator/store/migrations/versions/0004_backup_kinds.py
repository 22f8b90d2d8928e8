"""Restore points of several kinds, and with copies elsewhere."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    for name, before in (("kind", "redis"), ("offsite", "")):
        column = sa.Column(name, sa.Text, nullable=False, server_default=before)
        op.add_column("restore_points", column)
