"""Entry point of ``python -m nengo_dl.benchmarks``."""

import sys

from nengo_dl.benchmarks.command_line import main

if __name__ == "__main__":
    sys.exit(main())
