"""The audit: written, anchored, checked."""
