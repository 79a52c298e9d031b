"""The machine that is restored: the only place that changes a system, and only in ways that can be undone."""
