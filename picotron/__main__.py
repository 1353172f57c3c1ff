"""`python -m picotron`."""

import sys

from picotron.console import entry

if __name__ == "__main__":
    sys.exit(entry())
