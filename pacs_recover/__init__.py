"""Recovery console and command line for PACS Bridge."""

__version__ = "0.1.0"
