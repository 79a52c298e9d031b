"""The first restore, guided: one sentence on each screen of a demo."""

from __future__ import annotations

from collections.abc import Mapping


def guide(fails_in_soak: str, good: Mapping[str, str], name: str) -> dict[str, str]:
    """What to do next, by the name of the screen."""
    return {
        "Overview": "DEMO 1/5 Nothing here is real. Press c to see all backups.",
        "CatalogPage": (
            f"DEMO 2/5 Go to {good.get('config', 'the newest config')} with the arrows; wait for GOOD; press p. "
            f"(Later try {fails_in_soak}: its restore rolls back.)"
        ),
        "ChoosePage": "DEMO 3/5 One component, or all that belong together. Press enter to make the plan.",
        "PlanPage": f"DEMO 4/5 Read what would change. Then press a, type {name} and press enter.",
        "RunPage": "DEMO 5/5 Watch it. esc leaves, the run goes on; at the end enter shows the report.",
        "ReportPage": f"DEMO done. For a rollback, restore {fails_in_soak} the same way: o, c, p.",
    }
