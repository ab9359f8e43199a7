"""Why a file was refused, by its name and values beside the English sentence."""

import sqlalchemy as sa
from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    op.add_column("files", sa.Column("said", sa.JSON, nullable=True))
