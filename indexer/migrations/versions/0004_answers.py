"""Answers that are no class ("none of these", "unsure"), and who gave an answer."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.add_column("classes", sa.Column("kind", sa.String(), nullable=False, server_default="class"))
    op.add_column("actions", sa.Column("given_by", sa.String(), nullable=True))
