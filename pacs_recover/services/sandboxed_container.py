"""A service run for a drill in a container of its own, made with no network and with copies for live files."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pacs_recover.errors import RecoverError
from pacs_recover.model import ServiceState
from pacs_recover.services.bubblewrap import Box
from pacs_recover.services.calls import LOOK, Answer, NoAnswer, call
from pacs_recover.services.container import Container
from pacs_recover.services.inside import Inside
from pacs_recover.services.isolation import NotIsolated, must_be_isolated
from pacs_recover.text import safe

MAKE = 60.0
"""Seconds that the runtime may take to make or to remove a container."""
LABEL = "pacs_recover.drill"


@dataclass(frozen=True)
class Image:
    """What a container is made from."""

    runtime: str
    name: str
    user: str = ""
    """As ``docker create --user``; empty: the image's own."""


class SandboxedContainer:
    """One container that lives as long as its drill; ``called`` is its name, by which a later drill sweeps it."""

    def __init__(self, box: Box, image: Image, called: str) -> None:
        self.box = box
        self.image = image
        self.called = called
        self.isolation = ""
        self._inside: Inside | None = None
        self._container = Container(called, image.runtime, stop_timeout=box.stop_timeout)

    @property
    def name(self) -> str:
        """What the site calls the service."""
        return self.box.name

    def state(self) -> ServiceState:
        """What the runtime shows of the drill's own container."""
        state = self._container.state()
        return ServiceState("stopped", "not started in the sandbox") if state.activity == "absent" else state

    def start(self) -> str:
        """Make it without a network, start it, and see from outside that it is shut in. RecoverError."""
        self.close()
        try:
            self._make()
            self._container.start()
            self.isolation = must_be_isolated(self._pid(), self.box.copies, self.box.hidden)
        except BaseException:
            self.close()
            raise
        return f"{safe(self.name)} started in container {self.called}: {self.isolation}"

    def _make(self) -> None:
        with tempfile.NamedTemporaryFile(
            "w", prefix="pacs_recover-"
        ) as variables:  # not among arguments: all see those
            variables.write("".join(f"{name}={value}\n" for name, value in self.box.environment.items()))
            variables.flush()
            made = self._call(
                "create", *self._options(), f"--env-file={variables.name}", self.image.name, *self.box.argv
            )
        if made.code:
            raise RecoverError(
                f"{self.image.runtime} could not make the drill's container: {made.complaint}",
                f"is its image here? see: {self.image.runtime} image inspect {safe(self.image.name)}",
            )
        host = inspected(self.image.runtime, self.called).get("HostConfig", {})
        if host.get("NetworkMode") != "none" or host.get("Privileged"):
            raise NotIsolated("the drill's container was not made without a network", "nothing was started")

    def _options(self) -> list[str]:
        shut = ["--network=none", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--pull=never"]
        mounts = [f"--volume={copy}:{place}" for place, copy in sorted(self.box.copies.items())]
        mounts += [f"--volume={path}:{path}:ro" for path in self.box.readable]
        mounts += [f"--tmpfs={path}:mode=1777" for path in self.box.writable]
        user = [f"--user={self.image.user}"] if self.image.user else []
        return ["--name", self.called, f"--label={LABEL}", *shut, *user, *mounts]

    def _pid(self) -> int:
        pid = self._container.state().pid
        if not pid:
            raise RecoverError(
                f"the drill's container ended at once: {self._container.state().detail}", "see its image"
            )
        return pid

    def _call(self, *words: str) -> Answer:
        try:
            return call([self.image.runtime, *words], MAKE)
        except NoAnswer as error:
            raise RecoverError(error.message, f"is {self.image.runtime} here, and its daemon up?") from error

    def stop(self) -> str:
        """Remove it, whatever it does."""
        there = self._container.state().activity != "absent"
        self.close()
        return f"{safe(self.name)}: its container is removed" if there else f"{safe(self.name)}: nothing runs"

    def environment(self) -> dict[str, str] | None:
        """The variables that it is run with."""
        return dict(self.box.environment)

    def inside(self) -> Inside:
        """The prober in its network. RecoverError where it does not run."""
        if self.state().activity != "active":
            raise RecoverError(f"{safe(self.name)}: {self.state().detail}", "nothing can be asked")
        if self._inside is None or self._inside.process.poll() is not None:
            self._inside = Inside.of(self._pid())
        return self._inside

    def close(self) -> None:
        """Remove the container."""
        if self._inside is not None:
            self._inside.close()
            self._inside = None
        remove(self.image.runtime, self.called)


def remove(runtime: str, called: str) -> None:
    """Kill and remove a drill's container; missing is fine. RecoverError where it stays."""
    with suppress(NoAnswer):
        call([runtime, "kill", called], MAKE)  # podman's rm would first wait ten seconds for it to end by itself
        call([runtime, "rm", "--force", "--volumes", called], MAKE)
    if Container(called, runtime).state().activity not in ("absent", "unknown"):
        raise RecoverError(f"the container {safe(called)} could not be removed", f"{runtime} rm --force {safe(called)}")


def inspected(runtime: str, container: str) -> dict[str, Any]:
    """What the runtime knows of a container; empty where there is none or it cannot be asked."""
    try:
        said = call([runtime, "container", "inspect", container], LOOK)
        found = json.loads(said.output)[0] if not said.code else {}
    except (NoAnswer, ValueError, LookupError, TypeError):
        return {}
    return found if isinstance(found, dict) else {}


def mapped(mounts: Any, live: Mapping[str, Path], copy: Any) -> dict[Path, Path]:
    """Copies by the places where the live container sees the live parts: its bind mounts that hold any."""
    found: dict[Path, Path] = {}
    for mount in mounts if isinstance(mounts, list) else ():
        source, place = Path(str(mount.get("Source", "/"))), str(mount.get("Destination", ""))
        if place.startswith("/") and any(path.is_relative_to(source) for path in live.values()):
            found[Path(place)] = copy(source)
    return found


def missing(runtime: str, image: str) -> str:
    """Why no container can be made of this image here; empty where one can."""
    try:
        said = call([runtime, "image", "inspect", image], LOOK)
    except NoAnswer as error:
        return error.message
    return f"{runtime} has no image {safe(image)}: {said.complaint}" if said.code else ""
