"""What is kept, what goes, and who keeps it."""
