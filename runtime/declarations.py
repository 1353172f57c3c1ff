"""wgpu's C header, read once for all processes of a user.

Invariant: what is kept is what cffi made of this very text, by a key that covers the text and the
versions; it is data, of which nothing is run. Whatever is wrong with it, cffi reads the text again.

cffi reads a header by a parser in Python, which takes a third of a second before a process has
opened its device. For modules that are built ahead it writes tables of what it has read; these are
kept instead.
"""

from __future__ import annotations

import ast
import hashlib
import io
import pickle
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import _cffi_backend
import cffi

from .store import Store, cache_folder

_READ = cffi.FFI


@contextmanager
def kept_declarations() -> Iterator[None]:
    """Modules that are imported here get their declarations from the cache, if they are there."""
    cffi.FFI = _Declarations
    try:
        yield
    finally:
        cffi.FFI = _READ


class _Declarations:
    """Stands for a `cffi.FFI` until its one header is known, and is equal to one from then on."""

    def cdef(self, text: str) -> None:
        """Take the declarations from the cache, or read them and keep them."""
        folder = cache_folder()
        store = None if folder is None else Store(folder / "declarations")
        parts = [text, cffi.__version__, sys.version, sys.platform]
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
        made = None if store is None else _made(store.get(key))
        if made is None:
            made = _READ()
            made.cdef(text)
            if store is not None and (tables := _tables(made)):
                store.put(key, pickle.dumps(tables, protocol=5))
        vars(self).update({name: getattr(made, name) for name in dir(made) if name[:2] != "__"})

    def set_source(self, *_: Any) -> None:
        """Nothing is to be built."""


def _made(data: bytes | None) -> Any:
    """The declarations of kept tables; None if they are none."""
    if data is None:
        return None
    try:
        return _cffi_backend.FFI("kept", **_Tables(io.BytesIO(data)).load())
    except Exception:  # whatever another version makes of the bytes: the header is read again
        return None


def _tables(read: Any) -> dict[str, Any] | None:
    """What cffi would write into a module built ahead; None where its insides are others."""
    try:
        from cffi.recompiler import Recompiler

        writer, text = Recompiler(read, "kept", target_is_python=True), io.StringIO()
        writer.collect_type_table()
        writer.collect_step_tables()
        writer.write_source_to_f(text, None)
        calls = (n for n in ast.walk(ast.parse(text.getvalue())) if isinstance(n, ast.Call))
        return {k.arg: ast.literal_eval(k.value) for k in next(calls).keywords}
    except Exception:  # a faster start is not worth an error
        return None


class _Tables(pickle.Unpickler):
    """Reads numbers, bytes and tuples, and nothing that could do something."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} has no place among declarations")
