"""Which of several coordinators leads: one row, whose key is the number of the term."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    lease = op.create_table(
        "lease",
        sa.Column("term", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, nullable=False),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("url", sa.Text, nullable=False),
        sa.Column("until", sa.Double, nullable=False),
    )
    op.bulk_insert(lease, [{"term": 0, "holder": "", "name": "", "url": "", "until": 0.0}])
