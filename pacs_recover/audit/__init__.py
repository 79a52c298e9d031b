"""The audit: who looked into which backup, planned, restored, answered, was refused; no change to it stays hidden."""

from pacs_recover.audit.log import HOME, Audit, Entry
from pacs_recover.audit.record import TICKET, Claimed, Record, Who

__all__ = ["HOME", "TICKET", "Audit", "Claimed", "Entry", "Record", "Who"]
