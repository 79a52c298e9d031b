"""A drill: the plan and the steps of a live restore, into a sandbox that cannot touch production, and then tried."""
