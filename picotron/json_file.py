"""JSON files: those from elsewhere are read without trust.

Invariant: whatever the bytes are, the result is an object or a ValueError that says what is wrong;
only plain files are opened, so nothing waits for a pipe, and none larger than the limit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MIB = 2**20


def read_object(path: Path, limit: int = 64 * MIB) -> dict[str, Any]:
    """The object that a file holds; raises OSError, or ValueError for anything else than that."""
    if path.exists() and not path.is_file():
        raise ValueError("it is not a file")
    if path.stat().st_size > limit:
        raise ValueError(f"it is larger than {limit // MIB} MiB")
    data = path.read_bytes()
    try:
        found = json.loads(data.decode("utf-8"))
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def write(path: Path, data: Any) -> None:
    """Indented, as Hugging Face writes its files."""
    path.write_text(json.dumps(data, indent=2) + "\n", encoding="utf-8")
