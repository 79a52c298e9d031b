"""Drills: sandboxes, test messages, evidence."""
