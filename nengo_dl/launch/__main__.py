"""Start a script in several processes that can train together."""

import sys

from nengo_dl.launch.command_line import main

if __name__ == "__main__":
    sys.exit(main())
