"""Where output goes, and what the shell of whoever reads it takes.

Invariant: nothing here prints.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path


def table_width() -> int | None:
    """Columns of a table: None for those of the terminal, if there is one to ask."""
    return None if sys.stdout.isatty() else 140


def command() -> str:
    """`picotron` as the user's shell finds it: from the path, or beside this interpreter."""
    here, found = Path(sys.executable).with_name("picotron"), shutil.which("picotron")
    if not here.exists() or (found is not None and os.path.samefile(found, here)):
        return "picotron"
    return os.path.relpath(here)
