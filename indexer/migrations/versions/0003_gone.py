"""An index over the images that left their collection: searches leave them out, and look for them whenever some go."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

LEFT = sa.text("removed_at IS NOT NULL OR absent_at IS NOT NULL")


def upgrade() -> None:
    op.create_index("images_gone", "images", ["collection_id"], sqlite_where=LEFT, postgresql_where=LEFT)
