"""Work that may take long, in threads that a hung disk cannot make anybody wait for."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Thread
from typing import Any

from pacs_recover.errors import RecoverError

GRACE = 2.0
"""Seconds that work which was told to stop gets to clean up when the console ends."""


@dataclass
class Task:
    """One piece of work; ``stop`` makes sure that nobody is told of its result."""

    name: str
    stopped: bool = False
    thread: Thread | None = field(default=None, repr=False)

    def stop(self) -> None:
        """Ask it to end; what it still gives is dropped."""
        self.stopped = True

    def stopping(self) -> bool:
        """Whether it was asked to end."""
        return self.stopped


@dataclass
class Background:
    """Starts work and delivers its result on the console's own thread."""

    deliver: Callable[..., Any]
    """Calls a function later on the console's thread; safe from any thread."""
    unexpected: Callable[[BaseException], RecoverError]
    """Writes a fault of ours to the log and says it in words."""
    refused: Callable[[str, RecoverError], None] = lambda _, __: None
    """Hears of everything that went wrong, in the work's own thread: what was refused is recorded."""
    tasks: list[Task] = field(default_factory=list)

    def start(
        self,
        name: str,
        work: Callable[[Task], Any],
        done: Callable[[Any], None],
        failed: Callable[[RecoverError], None],
    ) -> Task:
        """Do ``work`` in a thread; then call ``done`` with its result or ``failed`` with what went wrong."""
        task = Task(name)
        self.tasks = [known for known in self.tasks if known.thread and known.thread.is_alive()]
        self.tasks.append(task)
        task.thread = Thread(target=self._run, args=(task, work, done, failed), daemon=True, name=name)
        task.thread.start()
        return task

    def _run(self, task: Task, work: Any, done: Any, failed: Any) -> None:
        try:
            result = work(task)
        except RecoverError as error:
            self.refused(task.name, error)
            self.tell(task, failed, error)
        except OSError as error:
            where = f": {error.filename}" if error.filename else ""
            self.tell(task, failed, RecoverError(f"{error.strerror or error}{where}", ""))
        except Exception as error:  # a fault of ours is told in words; its traceback goes to the log
            self.tell(task, failed, self.unexpected(error))
        else:
            self.tell(task, done, result)

    def tell(self, task: Task, function: Callable[[Any], None], value: Any) -> None:
        """Call this on the console's thread, unless the task was stopped by then."""

        def tell() -> None:
            if not task.stopped:
                function(value)

        if not task.stopped:
            self.deliver(tell)

    def close(self) -> None:
        """Stop everything and give it a moment to remove its scratch."""
        until = time.monotonic() + GRACE
        for task in self.tasks:
            task.stop()
        for task in self.tasks:
            if task.thread:
                task.thread.join(max(0.0, until - time.monotonic()))
