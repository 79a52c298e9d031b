"""A drill: the plan and the steps of a live restore, into a sandbox that cannot touch production, and then tried."""

STARTED = "Service starts with restored data"
"""The line of the guide's checklist that only a drill proves before an emergency does."""
