"""Backups of Redis that are proved, and what a restore needs of them. Knows no coordinator."""
