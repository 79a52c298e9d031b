"""Making backups: what lives, in the guide's formats, proven by the restore path, to directories, buckets and Git."""
