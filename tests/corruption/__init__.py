"""Corruption detection, measured: seeded damage to every format, read through the product's own path."""
