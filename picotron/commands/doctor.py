"""`picotron doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Doctor:
    """Show the adapters, the one chosen and why, and what is missing."""

    fix: bool = False
    """Install a software driver if there is no adapter."""
    adapter: str | None = None
    """Judge this adapter instead of the one that would be chosen."""

    def run(self) -> int:
        from picotron import doctor

        return doctor.run(fix=self.fix, adapter=self.adapter)
