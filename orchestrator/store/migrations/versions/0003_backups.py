"""What backups need: the catalogue of restore points, and slots that are taken once."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    urgent = sa.Column("urgent", sa.Boolean, nullable=False, server_default=sa.true())
    op.add_column("runs", urgent)
    op.create_table(
        "restore_points",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("job", sa.Text, nullable=False, index=True),
        sa.Column("service", sa.Text, nullable=False, index=True),
        sa.Column("machine", sa.Text, nullable=False),
        sa.Column("vault", sa.Text, nullable=False),
        sa.Column("folder", sa.Text, nullable=False),
        sa.Column("taken_at", sa.Double, nullable=False),
        sa.Column("covers_until", sa.Double, nullable=False),
        sa.Column("verified_at", sa.Double),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("size_bytes", sa.BigInteger, nullable=False),
        sa.Column("sha256", sa.Text, nullable=False),
        sa.Column("reported_at", sa.Double, nullable=False),
    )
    op.create_table(
        "slots",
        sa.Column("schedule", sa.Text, primary_key=True),
        sa.Column("due_at", sa.Double, primary_key=True, autoincrement=False),
        sa.Column("claimed_at", sa.Double, nullable=False),
    )
