"""Formats of backups: bytes in, facts out, in constant memory; damaged bytes raise BadBackup."""
