"""The C types that opening a device takes, and zeros that are there without a transfer."""

from __future__ import annotations

import numpy as np
import pytest

import runtime
from runtime import driver
from tracer import numpy as jnp

NAMES = ("WGPUBufferDescriptor *", "WGPUCommandBuffer[]", "uint32_t []", "char const *")
NAMES += ("void(WGPULogLevel, WGPUStringView, void *)", "WGPUDevice", "WGPUChainedStruct const * *")


@pytest.fixture
def device():
    return runtime.default_device()


@pytest.mark.parametrize("name", NAMES)
def test_a_type_is_what_cffi_makes_of_it_with_all_declarations(name):
    parser = driver.ffi._parser
    before = dict(parser._declarations)
    assert parser.parse_type(name) == type(parser).parse_type(parser, name)
    assert parser._declarations == before


def test_an_unknown_type_is_an_error_and_leaves_the_declarations():
    before = dict(driver.ffi._parser._declarations)
    with pytest.raises(Exception, match="WGPUNothing"):
        driver.ffi.typeof("WGPUNothing *")
    assert driver.ffi._parser._declarations == before


@pytest.mark.device
@pytest.mark.parametrize("value", [0.0, -0.0, 1.5])
def test_one_element_that_stands_for_all_is_uploaded_as_all_of_them(device, monkeypatch, value):
    array, writes = np.broadcast_to(np.float32(value), (7, 11)), []
    write = device.write
    monkeypatch.setattr(device, "write", lambda *given: (writes.append(given), write(*given)))
    kept = [device.upload(array) for _ in range(3)]  # of memory that no pool held
    del kept
    ones = device.upload(np.ones((7, 11), np.float32))
    del ones  # its memory is in the pool now
    again = device.upload(array)
    found = np.frombuffer(device.download(again, array.nbytes), np.float32).reshape(7, 11)
    assert found.tobytes() == np.ascontiguousarray(array).tobytes()


@pytest.mark.device
def test_zeros_in_new_memory_are_not_written(device, monkeypatch):
    size = 1234 * 256  # of which there is none in the pool
    zeros, written = np.broadcast_to(np.float32(0), (size,)), []
    monkeypatch.setattr(device, "write", lambda *given: written.append(given))
    buffer = device.upload(zeros)
    assert not written and not any(device.download(buffer))


def test_a_filled_array_is_a_plain_one_for_its_reader():
    zeros = jnp.zeros((3, 4), jnp.int32)
    assert zeros._host.base is not None and zeros._host.strides == (0, 0)  # one element
    read = np.asarray(zeros)
    assert read.flags.c_contiguous and not read.flags.writeable
    assert read.view(np.uint8).shape == (3, 16) and not read.any()
    assert np.asarray(jnp.full((2,), 3.0)).tolist() == [3.0, 3.0]
    assert np.asarray(jnp.ones(())) == 1
