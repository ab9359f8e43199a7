"""Files that went missing, where a picture was taken, tiles and pages that know their parent, pairs that are no duplicates."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column('files', sa.Column('missing_at', sa.String(), nullable=True))
    op.add_column('contents', sa.Column('latitude', sa.Float(), nullable=True))
    op.add_column('contents', sa.Column('longitude', sa.Float(), nullable=True))
    op.add_column('contents', sa.Column('parent_sha256', sa.String(length=64), nullable=True))
    op.add_column('contents', sa.Column('part', sa.JSON(), nullable=True))
    op.create_table('distinct_pairs',
        sa.Column('collection_id', sa.Integer(), nullable=False),
        sa.Column('first_id', sa.Integer(), nullable=False),
        sa.Column('second_id', sa.Integer(), nullable=False),
        sa.Column('created_at', sa.String(), nullable=False),
        sa.ForeignKeyConstraint(['collection_id'], ['collections.id'], ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['first_id'], ['images.id'], ondelete='CASCADE'),
        sa.ForeignKeyConstraint(['second_id'], ['images.id'], ondelete='CASCADE'),
        sa.PrimaryKeyConstraint('collection_id', 'first_id', 'second_id')
        )
