"""What a process that the program starts runs first: ``python DIRECTORY MODULE …`` is ``python -m MODULE …`` in it."""

import runpy
import sys

del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
