"""Numbered migrations of the catalog, run by Alembic when a catalog is opened."""
