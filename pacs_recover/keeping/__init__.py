"""How long backups are kept: the policy, what it removes and why, the tiers of buckets, Litestream's own settings."""
