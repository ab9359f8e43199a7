"""Two models compared blind: which list of pictures a person preferred."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    op.create_table(
        "comparisons",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("collection_id", sa.Integer, sa.ForeignKey("collections.id", ondelete="CASCADE"), nullable=False),
        sa.Column("image_id", sa.Integer, sa.ForeignKey("images.id", ondelete="CASCADE"), nullable=False),
        sa.Column("left_model", sa.String, nullable=False),
        sa.Column("right_model", sa.String, nullable=False),
        sa.Column("answer", sa.String, nullable=True),
        sa.Column("created_at", sa.String, nullable=False),
        sa.Column("answered_at", sa.String, nullable=True),
        sqlite_autoincrement=True,
    )
    op.create_index("comparisons_by_collection", "comparisons", ["collection_id"])
