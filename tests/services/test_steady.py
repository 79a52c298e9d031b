"""The judgement over two looks at a service."""

from __future__ import annotations

from pacs_recover.model import Activity, ServiceState
from pacs_recover.services.steady import steady


def seen(activity: Activity = "active", restarts: int | None = 0, pid: int | None = 12) -> ServiceState:
    return ServiceState(activity, f"it is {activity}", restarts, pid)


def test_a_service_that_just_runs_is_steady() -> None:
    assert steady(seen(), seen()) == ""
    assert steady(seen("starting", restarts=1, pid=None), seen(restarts=1)) == ""


def test_b14_restarts_by_itself_are_counted_from_the_start() -> None:
    assert steady(seen(restarts=3), seen(restarts=4)) == "restarted by itself once since the start"
    assert steady(seen(restarts=3, pid=1), seen(restarts=5, pid=2)) == "restarted by itself 2 times since the start"


def test_another_main_process_is_another_service_even_where_nobody_counts() -> None:
    assert steady(seen(restarts=None), seen(restarts=None, pid=15)) == "main process changed from 12 to 15"


def test_what_is_not_active_says_what_it_is() -> None:
    assert steady(seen(), seen("starting")) == "it is starting"
    assert steady(seen(), seen("failed", pid=None)) == "it is failed"
    assert steady(seen(), seen("unknown", pid=None)) == "it is unknown"


def test_where_nothing_can_be_told_nothing_is() -> None:
    assert steady(seen("unknown", None, None), seen("unknown", None, None)) == ""
