"""The tables of the SQL store, as its statements see them.

What lives here: tables and columns. What must not: how they came about; that is in migrations/,
and a test compares the two. `position` counts a run's steps in the order of their publishing.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Dialect

from orchestrator.store.codec import writable


class Words(sa.types.TypeDecorator[str]):
    """Text from people and machines, whatever characters are in it."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 SQLAlchemy's signature
        return None if value is None else writable(value)


METADATA = sa.MetaData()

#: One row: the highest epoch ever given.
EPOCH = sa.Table("epoch", METADATA, sa.Column("value", sa.Integer, nullable=False))

INCIDENTS = sa.Table(
    "incidents",
    METADATA,
    sa.Column("id", Words, primary_key=True),
    sa.Column("cause", Words, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
)

RUNS = sa.Table(
    "runs",
    METADATA,
    sa.Column("id", Words, primary_key=True),
    # One run each: an order's id has the incident in it and not the run (P3).
    sa.Column("incident", Words, sa.ForeignKey("incidents.id"), nullable=False, unique=True),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False, unique=True),
    sa.Column("scenario", Words, nullable=False),
    sa.Column("state", Words, nullable=False, index=True),
    sa.Column("reason", Words, nullable=False),
    sa.Column("rung", sa.Integer, nullable=False),
    sa.Column("opened_at", sa.Double, nullable=False),
    sa.Column("first_effect_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("branches", sa.Text, nullable=False),
    sa.Column("notes", sa.Text, nullable=False),
    sa.Column("plan", sa.Text, nullable=False),
    sa.Column("failure", sa.Text),
    sa.Column("dead", sa.Text, nullable=False, server_default="[]"),
    sa.Column("begun", sa.Text, nullable=False, server_default="[]"),
    sa.Column("episode", sa.Integer, nullable=False, server_default="0"),
    sa.Column("asked_at", sa.Double),
    sa.Column("held", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("cured", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("informed", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("acknowledged_by", Words, nullable=False, server_default=""),
    # Of its plan, so that a backup an hour does not hide the failures among the newest runs.
    sa.Column("urgent", sa.Boolean, nullable=False, server_default=sa.true()),
)

STEPS = sa.Table(
    "steps",
    METADATA,
    sa.Column("run", Words, sa.ForeignKey("runs.id"), primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("rung", sa.Integer, nullable=False),
    sa.Column("branch", sa.Integer, nullable=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("operation", Words, nullable=False),
    sa.Column("agent", Words, nullable=False),
    sa.Column("machine", Words, nullable=False),
    sa.Column("service", Words, nullable=False),
    sa.Column("arguments", sa.Text, nullable=False),
    sa.Column("not_after", sa.Double, nullable=False),
    sa.Column("overdue_at", sa.Double, nullable=False),
    sa.Column("outcome", Words),
    sa.Column("reason", Words, nullable=False),
    sa.Column("started_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.UniqueConstraint("run", "rung", "number", "attempt", name="steps_one_of_each_attempt"),
)

#: Reports as they came, also those that fit no run: hence no foreign key.
REPORTS = sa.Table(
    "reports",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("digest", sa.Text, nullable=False, unique=True),
    sa.Column("run", Words, nullable=False, index=True),
    sa.Column("agent", Words, nullable=False),
    sa.Column("outcome", Words, nullable=False),
    sa.Column("report", sa.Text, nullable=False),
)

#: Progress may come for a run that is not here: hence no foreign key.
TIMELINE = sa.Table(
    "timeline",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", Words, nullable=False, index=True),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("kind", Words, nullable=False),
    sa.Column("text", Words, nullable=False),
    sa.Column("detail", Words, nullable=False),
)

EFFECTS = sa.Table(
    "effects",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("run", Words, sa.ForeignKey("runs.id"), nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("effect", sa.Text, nullable=False),
    sa.Column("sent", sa.Boolean, nullable=False, index=True),
)

KEYS = sa.Table(
    "idempotency_keys",
    METADATA,
    sa.Column("key", Words, primary_key=True),
    sa.Column("run", Words, nullable=False),
)

#: Who is to be told or called, when, and what became of it. A row is one message to one contact.
CALLS = sa.Table(
    "calls",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("key", Words, nullable=False, unique=True),
    sa.Column("run", Words, sa.ForeignKey("runs.id"), nullable=False, index=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("level", sa.Integer, nullable=False),
    sa.Column("role", Words, nullable=False),
    sa.Column("reach", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("due_at", sa.Double, nullable=False),
    sa.Column("state", Words, nullable=False, index=True),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("claimed_at", sa.Double),
    sa.Column("ended_at", sa.Double),
    sa.Column("error", Words, nullable=False),
)

#: Maintenance windows. One that was stopped ends when it was stopped.
WINDOWS = sa.Table(
    "windows",
    METADATA,
    sa.Column("id", Words, primary_key=True),
    sa.Column("target", Words, nullable=False),
    sa.Column("starts_at", sa.Double, nullable=False),
    sa.Column("ends_at", sa.Double, nullable=False, index=True),
    sa.Column("by", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
)

#: How long each start of a service took until it was healthy.
STARTS = sa.Table(
    "starts",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("service", Words, nullable=False, index=True),
    sa.Column("invocation", Words, nullable=False, unique=True),
    sa.Column("started_at", sa.Double, nullable=False),
    sa.Column("took_s", sa.Double, nullable=False),
)

#: What people write into a review.
FINDINGS = sa.Table(
    "findings",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident", Words, sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("kind", Words, nullable=False),
    sa.Column("text", Words, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
)

#: What is still to be done after an incident.
FOLLOW_UPS = sa.Table(
    "follow_ups",
    METADATA,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("incident", Words, sa.ForeignKey("incidents.id"), nullable=False, index=True),
    sa.Column("text", Words, nullable=False),
    sa.Column("owner", Words, nullable=False),
    sa.Column("by", Words, nullable=False),
    sa.Column("at", sa.Double, nullable=False),
    sa.Column("done_at", sa.Double),
    sa.Column("done_by", Words, nullable=False),
)

#: What is known of each backup, by the agents' reports.
RESTORE_POINTS = sa.Table(
    "restore_points",
    METADATA,
    sa.Column("id", Words, primary_key=True),
    sa.Column("job", Words, nullable=False, index=True),
    sa.Column("service", Words, nullable=False, index=True),
    sa.Column("machine", Words, nullable=False),
    sa.Column("vault", Words, nullable=False),
    sa.Column("folder", Words, nullable=False),
    sa.Column("taken_at", sa.Double, nullable=False),
    sa.Column("covers_until", sa.Double, nullable=False),
    sa.Column("verified_at", sa.Double),
    sa.Column("state", Words, nullable=False),
    sa.Column("reason", Words, nullable=False),
    sa.Column("size_bytes", sa.BigInteger, nullable=False),
    sa.Column("sha256", Words, nullable=False),
    sa.Column("reported_at", sa.Double, nullable=False),
    sa.Column("kind", Words, nullable=False, server_default="redis"),
    sa.Column("offsite", Words, nullable=False, server_default=""),
)

#: What is done by schedule, once for each time at which it is due.
SLOTS = sa.Table(
    "slots",
    METADATA,
    sa.Column("schedule", Words, primary_key=True),
    sa.Column("due_at", sa.Double, primary_key=True, autoincrement=False),
    sa.Column("claimed_at", sa.Double, nullable=False),
)
