"""Both sides of every comparison, in turn, in one go: ``make bench``."""
