"""Opening the device: ahead of its use, in another thread, and the C types that it takes."""

from __future__ import annotations

import pytest

import runtime
import runtime.device as device_module
from runtime import driver
from runtime.settings import settings

pytestmark = pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")
NAMES = ("WGPUBufferDescriptor *", "WGPUCommandBuffer[]", "uint32_t []", "char const *")
NAMES += ("void(WGPULogLevel, WGPUStringView, void *)", "WGPUDevice", "WGPUChainedStruct const * *")


@pytest.fixture
def closed(monkeypatch):
    """No device of this process is open."""
    for name in ("_default", "_override", "_ahead"):
        monkeypatch.setattr(device_module, name, None)


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
def test_a_device_that_is_opened_ahead_is_the_process_s(closed, monkeypatch):
    opened = []
    real = device_module._open_default
    monkeypatch.setattr(device_module, "_open_default", lambda: opened.append(real()) or opened[-1])
    runtime.open_ahead()
    runtime.open_ahead()
    assert runtime.default_device() is runtime.default_device()
    assert opened == [runtime.default_device()]
    runtime.open_ahead()
    assert device_module._ahead is None


def test_what_goes_wrong_ahead_is_raised_where_the_device_is_wanted(closed):
    device_module.set_default_adapter("no such adapter")
    runtime.open_ahead()
    for _ in range(2):
        with pytest.raises(runtime.UnknownAdapterError, match="no such adapter"):
            runtime.default_device()


@pytest.mark.device
def test_another_adapter_than_the_one_being_opened_may_still_be_asked_for(closed):
    device_module.set_default_adapter("no such adapter")
    runtime.open_ahead()
    name = runtime.pick_adapter(settings().adapter)[0].name
    runtime.set_default_adapter(name)
    assert runtime.default_device().info.name == name
