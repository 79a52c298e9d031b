"""``python -m benchmarks [--only NAME …] [--quick]``: measure, print the table, write it into docs/performance.md."""

import sys

from benchmarks.harness import main

if __name__ == "__main__":
    sys.exit(main())
