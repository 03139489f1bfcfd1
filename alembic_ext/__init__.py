"""Alembic operations for sealed columns (the package of the migrations to come)."""
