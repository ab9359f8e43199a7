"""What a job says, by its name and values beside the English sentence."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("jobs", sa.Column("said", sa.JSON, nullable=True))
