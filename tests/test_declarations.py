"""wgpu's header is read once: what is kept of it serves as well, and whatever is wrong with it does
no harm."""

from __future__ import annotations

import pickle

import pytest

from runtime import declarations
from runtime.declarations import _Declarations
from runtime.driver import wgpu
from runtime.store import Store

HEADER = "typedef struct { int first; double second; } Pair; enum Color { RED = 3 }; int abs(int);"


@pytest.fixture
def store(tmp_path, monkeypatch):
    monkeypatch.setattr(declarations, "cache_folder", lambda: tmp_path)
    return Store(tmp_path / "declarations")


def read(text):
    found = _Declarations()
    found.cdef(text)
    return found


def only_kept(monkeypatch):
    def parsed():
        raise AssertionError("the header is read again")

    monkeypatch.setattr(declarations, "_READ", parsed)


def checked(found):
    pair = found.new("Pair *", {"first": 1, "second": 0.5})
    assert (pair.first, pair.second, found.sizeof("Pair")) == (1, 0.5, 16)
    lib = found.dlopen(None)
    assert (lib.RED, lib.abs(-4)) == (3, 4)


def test_what_is_kept_serves_as_well(store, monkeypatch):
    checked(read(HEADER))
    only_kept(monkeypatch)
    checked(read(HEADER))
    with pytest.raises(AssertionError, match="read again"):
        read(HEADER + "int labs(int);")


@pytest.mark.parametrize(
    "data", [b"", b"no tables", pickle.dumps({"_types": 3}), pickle.dumps(print)]
)
def test_a_damaged_entry_is_read_again(store, monkeypatch, data):
    read(HEADER)
    ((path, _, _),) = store.entries()
    assert store.put(path.stem, data)
    checked(read(HEADER))


def test_without_a_cache_the_header_is_read(monkeypatch):
    monkeypatch.setattr(declarations, "cache_folder", lambda: None)
    checked(read(HEADER))


def test_another_cffi_keeps_nothing(store, monkeypatch):
    monkeypatch.setattr(declarations, "_tables", lambda made: None)
    checked(read(HEADER))
    assert not store.entries()


def test_wgpus_own_header(store, monkeypatch):
    text = wgpu.backends.wgpu_native._ffi.get_wgpu_header()
    parsed = read(text)
    only_kept(monkeypatch)
    kept = read(text)
    for name in ("WGPUBufferDescriptor", "WGPUDeviceDescriptor", "WGPUShaderSourceWGSL"):
        fields = [(n, f.type.kind, f.offset) for n, f in kept.typeof(name).fields]
        assert fields == [(n, f.type.kind, f.offset) for n, f in parsed.typeof(name).fields]
