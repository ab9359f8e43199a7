"""How a saved search's list is cut and arranged; and an index over parts, asked for their files when images go."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0004"

PARTS = sa.text("parent_sha256 IS NOT NULL")


def upgrade() -> None:
    op.add_column("searches", sa.Column("wish", sa.JSON(), nullable=True))
    op.create_index(
        "contents_by_parent", "contents", ["parent_sha256"], sqlite_where=PARTS, postgresql_where=PARTS
    )
