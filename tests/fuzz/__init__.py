"""Hostile bytes for every format: ``python -m tests.fuzz TARGET --seconds N``."""
