"""Whether a service stays up: the judgement over two looks at it."""

from __future__ import annotations

from pacs_recover.model import ServiceState


def steady(first: ServiceState, now: ServiceState) -> str:
    """Why a service is not staying up, compared with a look just after its start; empty where it is.

    A crash loop shows in the restart counter and in the main process, not in the exit code of a start. Where its state
    cannot be told, neither can this.
    """
    if now.activity != "active" and not first.activity == now.activity == "unknown":
        return now.detail
    if first.restarts is not None and now.restarts is not None and now.restarts > first.restarts:
        times = now.restarts - first.restarts
        return f"restarted by itself {'once' if times == 1 else f'{times} times'} since the start"
    if first.pid and now.pid and now.pid != first.pid:
        return f"main process changed from {first.pid} to {now.pid}"
    return ""
