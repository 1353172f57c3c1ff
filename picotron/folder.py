"""The folder of a run while it is trained: nobody else's, and gone again if nothing came of it.

Invariant: at most one trainer writes in a run folder. It holds a lock on a file there that says
which process it is; the system lets go of the lock of a process that has died, however it died.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from picotron import checkpoint
from picotron.config import Config
from picotron.errors import CheckpointError, PicotronError
from picotron.prepare import make_run_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "trainer.lock"
_FAR = 1 << 20  # Windows locks bytes: one beyond the text, which others are to read


class RunInUseError(PicotronError):
    """Another trainer is at work in the run folder."""


@contextmanager
def claimed(folder: Path | None, config: Config) -> Iterator[Path]:
    """`folder`, or a new one for `config`, locked. An exception removes a new one that is empty.

    Raises RunInUseError, or CheckpointError if the folder cannot be written.
    """
    if folder is not None:
        with locked(folder):
            yield folder
        return
    with _new(config) as folder, locked(folder):
        yield folder


@contextmanager
def _new(config: Config) -> Iterator[Path]:
    base = Path(config.checkpoint.save_dir)
    absent = [path for path in (base, *base.parents) if not path.exists()]
    folder = make_run_folder(config)
    try:
        yield folder
    except BaseException:
        for path in (folder, *absent):
            with suppress(OSError):  # it holds something
                path.rmdir()
        raise


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a run folder; a file that a dead process left there is taken over."""
    path = folder / LOCK
    try:
        descriptor = _take(path)
    except OSError as error:
        raise CheckpointError(f"cannot write {path}: {error.strerror}") from error
    if descriptor is None:
        raise RunInUseError(_in_use(folder))
    try:
        _sign(descriptor)
        yield
    finally:
        # While it is still locked: afterwards it could be the next trainer's.
        with suppress(OSError):
            path.unlink()
        os.close(descriptor)


def _take(path: Path) -> int | None:
    """A descriptor of the file, locked; None if another trainer has it."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        free = _lock(descriptor)
        # Its owner may have removed it between our opening and locking it.
        with suppress(FileNotFoundError):
            if free and os.path.samestat(os.fstat(descriptor), path.stat()):
                return descriptor
        os.close(descriptor)
        if not free:
            return None


def _lock(descriptor: int) -> bool:
    if fcntl is None:
        import msvcrt

        os.lseek(descriptor, _FAR, os.SEEK_SET)
        with suppress(OSError):
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            return True
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks
        return True
    return True


def _sign(descriptor: int) -> None:
    with suppress(OSError):  # on a full disk it stays anonymous
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()} {platform.node()}\n".encode())


def _in_use(folder: Path) -> str:
    text = ""
    with suppress(OSError):  # it may have just gone
        text = (folder / LOCK).read_text(encoding="utf-8", errors="replace").strip()
    number, _, host = text.partition(" ")
    who = f"process {number} on {host}" if number else "another process"
    kept = checkpoint.newest(folder / "checkpoints")
    other = f", or start a run of your own with --resume {kept}" if kept else ""
    return f"{folder} is being trained by {who}; wait for it or stop it{other}"
