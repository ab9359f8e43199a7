"""Collections whose pictures may have several classes, the line of each class, and which class a merge hid."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.add_column("collections", sa.Column("multi_label", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("classes", sa.Column("line", sa.Float(), nullable=True))
    op.add_column("actions", sa.Column("hid_class", sa.Integer(), nullable=True))
