"""Runs a program and prints its seconds, the most memory that one process of it took, and its exit status.

A process of its own, and a small one: the kernel counts what a process was before it became another program.
"""

import json
import os
import sys
import time


def main() -> None:
    """``timed.py PROGRAM WORD …``"""
    nothing = os.open(os.devnull, os.O_RDWR)
    files = [(os.POSIX_SPAWN_DUP2, nothing, 0), (os.POSIX_SPAWN_DUP2, nothing, 1)]
    at, began = time.time(), time.perf_counter()
    child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ, file_actions=files)
    _, status, used = os.wait4(child, 0)
    took = time.perf_counter() - began
    code = os.waitstatus_to_exitcode(status)
    sys.stdout.write(json.dumps({"seconds": took, "peak": used.ru_maxrss * 1024, "code": code, "at": at}))


main()
