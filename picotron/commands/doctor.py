"""`picotron doctor`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Doctor:
    """Show the adapters, the one chosen and why, and what is missing."""

    fix: bool = False
    """Install a software driver if there is no adapter."""
    newer_driver: bool = False
    """Unpack the newest software driver of Debian's backports beside the system's, if it computes
    what numpy does. Mesa 25 runs kernels about twice as fast as Mesa 22 and compiles each, once,
    more than ten times as long."""
    clear_cache: bool = False
    """Forget compiled programs; the next run compiles its step again."""
    adapter: str | None = None
    """Judge this adapter instead of the one that would be chosen."""

    def run(self) -> int:
        from picotron import doctor

        if self.clear_cache:
            print(doctor.clear_programs())
            return 0
        return doctor.run(self.fix, self.adapter, self.newer_driver)
