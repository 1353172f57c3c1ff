"""`python -m picotron`."""

import sys

from picotron.cli import main

if __name__ == "__main__":
    sys.exit(main())
