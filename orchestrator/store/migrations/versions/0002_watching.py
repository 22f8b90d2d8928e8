"""What watching needs: the failure of a run, calls, windows, starts, and what people write."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("runs", sa.Column("failure", sa.Text))
    op.add_column("runs", sa.Column("asked_at", sa.Double))
    for name in ("dead", "begun"):
        op.add_column("runs", sa.Column(name, sa.Text, nullable=False, server_default="[]"))
    op.add_column("runs", sa.Column("episode", sa.Integer, nullable=False, server_default="0"))
    for name in ("held", "cured", "informed"):
        flag = sa.Column(name, sa.Boolean, nullable=False, server_default=sa.false())
        op.add_column("runs", flag)
    acknowledged = sa.Column("acknowledged_by", sa.Text, nullable=False, server_default="")
    op.add_column("runs", acknowledged)
    _calls()
    _windows_and_starts()
    _reviews()


def _calls() -> None:
    op.create_table(
        "calls",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("key", sa.Text, nullable=False, unique=True),
        sa.Column("run", sa.Text, sa.ForeignKey("runs.id"), nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("level", sa.Integer, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("reach", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("due_at", sa.Double, nullable=False),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("claimed_at", sa.Double),
        sa.Column("ended_at", sa.Double),
        sa.Column("error", sa.Text, nullable=False),
    )


def _windows_and_starts() -> None:
    op.create_table(
        "windows",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("target", sa.Text, nullable=False),
        sa.Column("starts_at", sa.Double, nullable=False),
        sa.Column("ends_at", sa.Double, nullable=False, index=True),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
    )
    op.create_table(
        "starts",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("service", sa.Text, nullable=False, index=True),
        sa.Column("invocation", sa.Text, nullable=False, unique=True),
        sa.Column("started_at", sa.Double, nullable=False),
        sa.Column("took_s", sa.Double, nullable=False),
    )


def _reviews() -> None:
    incident = "incidents.id"
    op.create_table(
        "findings",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident", sa.Text, sa.ForeignKey(incident), nullable=False, index=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
    )
    op.create_table(
        "follow_ups",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("incident", sa.Text, sa.ForeignKey(incident), nullable=False, index=True),
        sa.Column("text", sa.Text, nullable=False),
        sa.Column("owner", sa.Text, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("at", sa.Double, nullable=False),
        sa.Column("done_at", sa.Double),
        sa.Column("done_by", sa.Text, nullable=False),
    )
