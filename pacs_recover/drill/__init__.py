"""A drill: the plan and the steps of a live restore, into a sandbox that cannot touch production, and then tried."""

from pacs_recover.drill.opening import open_drill
from pacs_recover.drill.sandboxes import Chosen, choose
from pacs_recover.drill.sweeping import sweep

__all__ = ["Chosen", "choose", "open_drill", "sweep"]
