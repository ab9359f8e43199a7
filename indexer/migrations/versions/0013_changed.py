"""Which images were moved or came back, and when: what holds a collection in memory reads only these again."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"


def upgrade() -> None:
    op.add_column("images", sa.Column("changed", sa.Integer, nullable=True))
    changed = sa.text("changed IS NOT NULL")
    op.create_index(
        "images_changed", "images", ["collection_id", "changed"], sqlite_where=changed, postgresql_where=changed
    )
