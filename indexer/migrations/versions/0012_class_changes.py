"""The order of classes, which gives them their keys, and what an action changed of classes, so that undo can take it back."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.add_column("classes", sa.Column("place", sa.Integer(), nullable=False, server_default="0"))
    op.execute("UPDATE classes SET place = id")  # the order in which they were made, as it was so far
    op.add_column("actions", sa.Column("changes", sa.JSON(), nullable=True))
