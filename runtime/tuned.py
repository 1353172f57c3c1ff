"""Tables of measured tile configurations: those that come with the package, and this user's.

Invariant: a table is used on the adapter that it was measured on and on no other; a user's also
with that driver alone. Whatever is wrong with a file leaves it unread, with one sentence.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from codegen.choices import choosing
from codegen.profile import Profile

from .adapter import AdapterInfo
from .settings import settings
from .store import cache_folder

FORMAT = 1
SHIPPED = Path(__file__).parent / "tables"
BY_RULE = "by rule"  # in place of an option: what the rules choose was not beaten


class TuningTableWarning(UserWarning):
    """A table of measured tile configurations that cannot be read."""


@dataclass(frozen=True)
class Table:
    """What was measured on an adapter: for each key of `codegen.choices.Decision` an entry with
    `option`, and as evidence the `rule`'s option and how many `times_as_fast` it is."""

    adapter: str
    driver: str
    units: int
    entries: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def options(self) -> dict[str, str]:
        return {key: entry["option"] for key, entry in self.entries.items()}

    def text(self) -> str:
        """As JSON, an entry a line."""
        head = {"format": FORMAT, "adapter": self.adapter, "driver": self.driver}
        head |= {"units": self.units}
        pairs = [f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in sorted(self.entries.items())]
        lines = [f" {json.dumps(k)}: {json.dumps(v)}," for k, v in head.items()]
        return "\n".join(["{", *lines, ' "choices": {', ",\n".join(pairs), " }", "}", ""])


def table_of(text: str | bytes) -> Table:
    """A table from its JSON; raises ValueError with what is wrong."""
    try:
        data = json.loads(text)
    except ValueError:
        raise ValueError("it is not JSON") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise ValueError(f"it is no tuning table of format {FORMAT}")
    entries = data.get("choices")
    found = Table(data.get("adapter"), data.get("driver"), data.get("units"), entries)
    texts = isinstance(found.adapter, str) and isinstance(found.driver, str)
    rows = isinstance(entries, dict) and all(map(_is_entry, entries.values()))
    if not texts or not isinstance(found.units, int) or not rows:
        raise ValueError("it lacks an adapter, a driver, its units or choices")
    return found


def _is_entry(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("option"), str)


def tuned(profile: Profile, info: AdapterInfo) -> Profile:
    """The profile with the tables of its adapter, this user's over the shipped one."""
    if settings().tuning == "off":
        return profile
    entries: dict[str, str] = {}
    for path in sorted(SHIPPED.glob("*.json")):
        table = table_of(path.read_bytes())
        if (table.adapter, table.units) == (info.name, profile.units):
            entries |= table.options
    own = read(table_path(info), Table(info.name, info.driver, profile.units))
    return choosing(profile, entries | (own.options if own else {}))


def table_path(info: AdapterInfo) -> Path | None:
    """Where this user's table of an adapter and its driver lies; None without a cache on disk."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.sha256(f"{info.name}\n{info.driver}".encode()).hexdigest()[:16]
    return folder / "tuned" / f"{digest}.json"


def read(path: Path | None, wanted: Table) -> Table | None:
    """The table in a file if it is of the adapter, driver and units wanted; warns if not."""
    if path is None:
        return None
    try:
        table = table_of(path.read_bytes())
        for name in ("adapter", "driver", "units"):
            if getattr(table, name) != getattr(wanted, name):
                raise ValueError(f"its {name} is {getattr(table, name)!r}")
        return table
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        text = f"the tuning table {path} is not used: {reason}; `picotron tune` writes a new one"
        warnings.warn(text, TuningTableWarning, stacklevel=2)
        return None


def write(path: Path, table: Table) -> None:
    """Write a table, whole or not at all; raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(table.text())
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            os.unlink(beside)
        raise
