"""Numbers as people read them.

Invariant: pure functions; a number that is not finite is a dash.
"""

from __future__ import annotations

import math
import re

from picotron.errors import ConfigError

_UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30}


def readable(number: float) -> str:
    """1234567 -> 1.23M."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if number >= limit:
            return f"{number / limit:.2f}{unit}"
    return "-" if math.isnan(number) else f"{number:.0f}"


def duration(seconds: float) -> str:
    """75 -> 1m15s."""
    if not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours}h{minutes:02d}m" if hours else f"{minutes}m{rest:02d}s" if minutes else f"{rest}s"
    )


def gigabytes(number: float) -> str:
    """2 decimals, more of them below 0.1 GB: 1.25GB, 0.0031GB."""
    return f"{number:.{2 if number >= 0.1 else 4}f}GB"


def size_in_bytes(text: str, name: str) -> int:
    """Bytes of `5GB`, `200MiB` or a number, as transformers reads them; raises ConfigError that
    says what the setting `name` must be."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMG]I?B|)", text.strip().upper())
    size = int(float(found[1]) * _UNITS[found[2]]) if found else 0
    if size < 1:
        raise ConfigError(f"{name} must be a size such as 5GB or 200MiB, not {text!r}")
    return size
