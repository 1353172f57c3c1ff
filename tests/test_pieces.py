"""Long command lists in pieces: all of them, in order, also around errors and interrupts."""

from __future__ import annotations

import numpy as np
import pytest

import runtime
from runtime.driver import RawEncoder, submit_in_pieces, wgpu

pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]
COUNT = 5


@pytest.fixture
def places():
    """Five places of memory: a piece copies one to the next."""
    device = runtime.default_device()
    return [device.upload(np.full(4, n, np.float32)) for n in range(COUNT)]


def copying(places, failing=None, error=None):
    """Pieces that hand the first value on; the `failing`-th raises `error` at its first call."""
    left = [error]

    def piece(n):
        def encode(encoder: RawEncoder) -> None:
            if n == failing and left[0] is not None:
                wrong, left[0] = left[0], None
                if isinstance(wrong, BaseException):
                    raise wrong
                encoder.copy_buffer_to_buffer(places[n].raw, 0, places[n + 1].raw, 0, wrong)
            encoder.copy_buffer_to_buffer(places[n].raw, 0, places[n + 1].raw, 0, 16)

        return encode

    return [piece(n) for n in range(COUNT - 1)]


def values(places):
    device = runtime.default_device()
    return [np.frombuffer(device.download(place, 16), np.float32)[0] for place in places]


@pytest.mark.parametrize("count", [1, 2, COUNT - 1])
def test_pieces_run_in_order(places, count):
    submit_in_pieces(runtime.default_device().raw, copying(places)[:count])
    assert values(places) == [0] * (count + 1) + list(range(count + 1, COUNT))


@pytest.mark.parametrize("failing", range(COUNT - 1))
def test_what_follows_a_wrong_piece_is_not_submitted(places, failing):
    too_much = 1 << 20  # bytes
    with pytest.raises(wgpu.GPUError):
        submit_in_pieces(runtime.default_device().raw, copying(places, failing, too_much))
    assert values(places) == [0] * (failing + 1) + list(range(failing + 1, COUNT))


@pytest.mark.parametrize("failing", range(COUNT - 1))
def test_an_interrupt_comes_before_the_first_piece_or_after_the_last(places, failing):
    pieces = copying(places, failing, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        submit_in_pieces(runtime.default_device().raw, pieces)
    assert values(places) in ([0] * COUNT, list(range(COUNT)))
    assert values(places) == ([0] * COUNT if failing else list(range(COUNT)))
