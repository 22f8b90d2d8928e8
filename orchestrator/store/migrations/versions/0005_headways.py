"""How far each step is, for people."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "headways",
        sa.Column("step", sa.Text, primary_key=True),
        sa.Column("run", sa.Text, nullable=False, index=True),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("headway", sa.Text, nullable=False),
    )
