"""How a saved search's list is cut and arranged: its minimum score, its groups, its variety."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0004"


def upgrade() -> None:
    op.add_column("searches", sa.Column("wish", sa.JSON(), nullable=True))
