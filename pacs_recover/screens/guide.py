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
        "ReportPage": f"DEMO done. A rollback: o, c, p on {fails_in_soak}. A point in time: o, i. A drill: o, d.",
        "PointsPage": "DEMO, a point in time: choose one with the arrows, see what is sent AGAIN and LOST; press p.",
        "DrillPage": "DEMO, a drill: the same restore into a sandbox. Press a, type who takes part, press enter.",
    }
