"""A small real site to try everything on: real backups of synthetic data, and a service that really reads them."""
