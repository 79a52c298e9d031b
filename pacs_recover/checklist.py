"""The checklist of a restore: all that can fail, the questions, one stop, the renames, one start, the proof."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

from pacs_recover import following
from pacs_recover.components import Afterwards, Component, Job, carry_over, component
from pacs_recover.errors import RecoverError, Refused
from pacs_recover.model import COMPONENTS, Step
from pacs_recover.target import places
from pacs_recover.target.control import answer_timeout
from pacs_recover.text import count, safe, size

MARGIN = 64 << 20
"""Bytes that must stay free on a live filesystem after staging."""


def checklist(job: Job) -> tuple[Step, ...]:
    """Every step of this job, in order; nothing runs yet."""
    return tuple(_steps(job, [component(name) for name in _in_order() if name in job.choices]))


def _in_order() -> list[str]:
    """Certificates first: a configuration that is restored with them is checked against them."""
    return sorted(COMPONENTS, key=lambda name: name != "certs")


def _steps(job: Job, parts: list[Component]) -> Iterator[Step]:
    names = " and ".join(service.name for service in job.services) or "the service (by hand: the site controls none)"
    yield Step("The host can take the restored files", lambda: ready(job), kind="check")
    for part in parts:
        yield from part.prepare(job)
    watched = following.is_watched(job)
    if watched:
        yield Step("See how far the Litestream replica is", lambda: following.note(job))
    for question in job.questions:
        yield Step(question.title, lambda question=question: question.details, kind="ask")  # type: ignore[misc]
    if job.validation is not None:
        longest = len(job.services) * job.look.site.stop_timeout
        yield Step(f"Stop {names}", lambda: job.target.control.stop(), budget=longest, phase="down")
    for part in parts:
        yield from part.swap(job)
    yield Step("What is live is what was verified", lambda: job.target.check_live(), kind="check")
    if job.validation is not None:
        yield from _proof(job, names, job.validation)
    if watched:
        yield Step("The replica follows the live queue again", lambda: following.follows(job), kind="check")
    for part in parts:
        if isinstance(part, Afterwards):
            yield from part.afterwards(job)


def _proof(job: Job, names: str, validation: tuple[Step, ...]) -> Iterator[Step]:
    site = job.look.site
    yield Step(f"Start {names}", lambda: job.target.control.start(), budget=len(job.services) * site.start_timeout)
    yield Step(
        "PACS Bridge runs and answers",
        lambda: job.target.control.answering(),
        kind="check",
        budget=answer_timeout(site),
        phase="up",
    )
    yield from validation
    yield Step(
        "PACS Bridge stays up",
        lambda: job.target.control.soak(),
        kind="check",
        phase="soak",
        covers="Service starts with restored data",
    )


def ready(job: Job) -> str:
    """Owner, room, mount points and services: whatever would fail later. RecoverError that names the command to run."""
    uid, gid = job.target.owner()
    needed: dict[int, int] = {}
    for name, choice in job.choices.items():
        live = job.look.live[name]
        device = places.nearest_existing(live.parent).stat().st_dev
        extra = carry_over.extra_bytes(job) if name == "queue" and job.look.carry_over else 0
        needed[device] = needed.get(device, 0) + choice.bytes + extra
        job.target.room(name)
    for name in job.choices:
        _must_have_room(job.look.live[name], needed)
    for service in job.services:
        state = service.state()
        if state.activity == "absent":
            raise Refused(
                f"{service.name} is not installed: {state.detail}", "install PACS Bridge first, then plan again"
            )
    return f"owner {uid}:{gid}; room for {size(sum(needed.values()))}; {count(len(job.services), 'service')} known"


def _must_have_room(live: Path, needed: dict[int, int]) -> None:
    home = places.nearest_existing(live.parent)
    want, free = needed[home.stat().st_dev] + MARGIN, shutil.disk_usage(home).free
    if free < want:
        raise RecoverError(
            f"{safe(home)} has {size(free)} free; the restored files need {size(want)} beside the ones set aside",
            "make room there: what earlier runs set aside is listed by: pacs-recover catalog --source aside",
        )
