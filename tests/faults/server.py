"""Started once with the shim preloaded; forks a worker for every line it reads, and says how that ended.

A worker is ``pacs_recover.worker.main`` in a process and session of its own, as ``front`` starts it; only the loading
of Python is shared, so that thousands of them fit into minutes.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

from pacs_recover import worker
from pacs_recover.components import config, registry
from pacs_recover.formats import x509  # noqa: F401 - what the workers would load, each by itself

VALIDATOR_TIMEOUT = 2.0
"""Seconds instead of the product's minute."""
LONGEST = 60.0
"""Seconds after which a worker counts as hanging, and is killed."""


def main() -> None:
    """Serve until standard input ends."""
    registry()
    config.VALIDATOR_TIMEOUT = VALIDATOR_TIMEOUT
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            work(asked["argv"], asked["environment"])
        print(wait(child), flush=True)


def work(argv: list[str], environment: dict[str, str]) -> None:
    """Be the worker; ends the process."""
    code = 1
    try:
        os.setsid()
        os.environ.update(environment)
        os.chdir("/")
        log = os.open(Path(argv[1]) / worker.LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        for fd, number in ((os.open(os.devnull, os.O_RDONLY), 0), (log, 1), (log, 2)):
            os.dup2(fd, number)
        ctypes.CDLL(None).faults_arm()
        code = worker.main(argv)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def wait(child: int) -> int:
    """The exit code of a worker, negative for a signal; -14 (SIGALRM) for one that hung."""
    deadline = time.monotonic() + LONGEST
    while (ended := os.waitpid(child, os.WNOHANG)) == (0, 0):
        if time.monotonic() > deadline:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return -signal.SIGALRM
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1])


if __name__ == "__main__":
    main()
