"""Device memory: buffers, their pool, and reads that do not stall.

Invariant: a wgpu buffer is never destroyed while anything can still name it: the pool refers to
every one it made until it lets go of it. A `Buffer` that is garbage collected hands its memory to
the pool; queue order makes reuse safe, because commands that still use the old contents were
submitted before those that write the new ones.
"""

from __future__ import annotations

import gc
import itertools
import threading
from collections import OrderedDict, deque
from heapq import heappop, heappush
from typing import TYPE_CHECKING, NamedTuple

from .driver import wgpu
from .errors import OutOfMemoryError, translate

if TYPE_CHECKING:
    from .device import Device

ALIGN = 256  # allocation unit; also the portable offset alignment
BIND_ALIGN = 16  # a binding always holds whole vec4<f32>s, even for a scalar
SLACK_BYTES = 256 << 20
STORAGE = wgpu.BufferUsage.STORAGE | wgpu.BufferUsage.COPY_SRC | wgpu.BufferUsage.COPY_DST
STAGING = wgpu.BufferUsage.MAP_READ | wgpu.BufferUsage.COPY_DST
STAGING_KEPT_BYTES = 64 << 20  # per size class
STAGING_KEPT = 8
_serials = itertools.count(1)


def pad(nbytes: int, unit: int = 4) -> int:
    """`nbytes` rounded up to whole units, at least one."""
    return max(1, -(-nbytes // unit)) * unit


class Memory(NamedTuple):
    """A wgpu buffer and the number that names it for ever, reuse included."""

    raw: wgpu.GPUBuffer
    serial: int


class Buffer:
    """`nbytes` of device memory. Freed by dropping the last reference."""

    __slots__ = ("__weakref__", "device", "nbytes", "raw", "serial")

    def __init__(self, device: Device, nbytes: int) -> None:
        self.device, self.nbytes = device, nbytes
        self.raw, self.serial = device.pool.take(nbytes)

    def __del__(self) -> None:
        # An allocation that failed leaves an object without memory.
        if hasattr(self, "serial"):
            self.device.pool.give(self.serial)

    def __repr__(self) -> str:
        return f"Buffer({self.nbytes} bytes on {self.device.info.name})"

    def start_read(self, nbytes: int | None = None, offset: int = 0) -> PendingRead:
        """Begin copying `nbytes` (default: all from `offset`, a multiple of 4) to the host."""
        count = self.nbytes - offset if nbytes is None else nbytes
        if offset % 4 or not 0 <= count <= self.nbytes - offset:
            raise ValueError(
                f"cannot read {count} bytes at {offset} of a {self.nbytes}-byte buffer"
            )
        return PendingRead(self, count, offset)


class PendingRead:
    """A read under way. The bytes are those at the time of `start_read`, whatever runs after.

    Nothing waits for them before they are asked for, so more can be submitted meanwhile.
    """

    def __init__(self, buffer: Buffer, nbytes: int, offset: int) -> None:
        self.nbytes, self._data = nbytes, None
        self._staging, self._promise, self._device = None, None, buffer.device
        self._submission = 0
        if nbytes:
            self._start(buffer, offset)

    def _start(self, buffer: Buffer, offset: int) -> None:
        device = self._device
        self._staging = device.staging.take(self.nbytes)
        encoder = device.raw.create_command_encoder()
        size = pad(self.nbytes)
        encoder.copy_buffer_to_buffer(buffer.raw, offset, self._staging, 0, size)
        self._submission = device.submit(encoder)
        # The plain "READ" mode of wgpu-py submits an empty encoder first; ours is already in.
        self._promise = self._staging.map_async("READ_NOSYNC", 0, size)

    def result(self) -> bytearray:
        """The bytes, waiting for them if need be."""
        if self._data is None:
            self._data = bytearray(self.nbytes)
            self.copy_to(memoryview(self._data))
        return self._data

    def copy_to(self, target: memoryview) -> None:
        """Wait, then write the bytes into `target`; works once, `result` any number of times."""
        if not self.nbytes:
            return
        self._device.wait.until(self._promise, self._submission)
        staging, self._staging = self._staging, None
        mapped = staging.read_mapped(0, pad(self.nbytes), copy=False)
        target[:] = mapped[: self.nbytes]
        mapped.release()
        staging.unmap()
        self._device.staging.give(staging)


class BufferPool:
    """Free storage buffers by size.

    Keeps its own footprint (live + free) within 256 MiB of the largest live total so far. Of equal
    sizes the oldest is taken, so that who asks for the same again, in whatever order it was given
    back, gets the same again, and bind groups made for it still fit.
    `epoch` changes when free memory is let go: holders of bind groups must drop theirs then.
    """

    def __init__(self, device: wgpu.GPUDevice, max_bytes: int) -> None:
        self._device, self._max = device, max_bytes
        # A Buffer in a reference cycle is finalized together with all that only it refers to, the
        # wgpu buffer included, which then is dead. Hence these references, and numbers below.
        self._memory: dict[int, Memory] = {}
        self._free: OrderedDict[int, list[int]] = OrderedDict()
        self._returned: deque[int] = deque()
        self._lock = threading.Lock()
        self.live_bytes = self.free_bytes = self.peak_bytes = 0
        self.created = self.epoch = 0

    def take(self, nbytes: int) -> Memory:
        """Memory of at least `nbytes`. Raises OutOfMemoryError."""
        size = pad(nbytes, ALIGN)
        with self._lock:
            self._collect()
            memory = self._reuse(size) or self._create(min(size, self._max // 4 * 4), nbytes)
            self.live_bytes += memory.raw.size
            self.peak_bytes = max(self.peak_bytes, self.live_bytes)
        return memory

    def give(self, serial: int) -> None:
        """Take the memory of this number back.

        Called by finalizers, which may run inside `take` or while the interpreter shuts down, when
        the names of this module are gone: it only appends.
        """
        self._returned.append(serial)

    def in_use(self) -> int:
        """Bytes of memory that is not free."""
        with self._lock:
            self._collect()
            return self.live_bytes

    def trim(self) -> int:
        """Let go of all free memory; returns the bytes released."""
        with self._lock:
            self._collect()
            return self._release(self.free_bytes)

    def _collect(self) -> None:
        while self._returned:
            serial = self._returned.popleft()
            size = self._memory[serial].raw.size
            heappush(self._free.setdefault(size, []), serial)
            self.live_bytes -= size
            self.free_bytes += size
        excess = self.live_bytes + self.free_bytes - self.peak_bytes - SLACK_BYTES
        if excess > 0:
            self._release(excess)

    def _reuse(self, size: int) -> Memory | None:
        if not self._free.get(size):
            return None
        self._free.move_to_end(size)
        self.free_bytes -= size
        return self._memory[heappop(self._free[size])]

    def _release(self, nbytes: int) -> int:
        """Drop the least recently used sizes until `nbytes` are gone."""
        before = self.free_bytes
        while self._free and before - self.free_bytes < nbytes:
            size, serials = self._free.popitem(last=False)
            self.free_bytes -= size * len(serials)
            for serial in serials:
                del self._memory[serial]
        self.epoch += before != self.free_bytes
        return before - self.free_bytes

    def _create(self, size: int, wanted: int) -> Memory:
        if wanted > size:
            text = f"a buffer of {wanted >> 20} MiB is over the adapter's limit of {size >> 20} MiB"
            raise OutOfMemoryError(f"{text}; split or shard the array")
        try:
            return self._new(size)
        except wgpu.GPUError as error:
            if not isinstance(translate(error), OutOfMemoryError):
                raise translate(error) from error
        gc.collect()
        self._collect()
        self._release(self.free_bytes)
        try:
            return self._new(size)
        except wgpu.GPUError as error:
            raise translate(error, f"{size >> 20} MiB more did not fit") from error

    def _new(self, size: int) -> Memory:
        raw = self._device.create_buffer(size=size, usage=STORAGE)
        self.created += 1
        memory = Memory(raw, next(_serials))
        self._memory[memory.serial] = memory
        return memory


class StagingRing:
    """Unmapped MAP_READ buffers for reads, by power-of-two size, a few of each."""

    def __init__(self, device: wgpu.GPUDevice) -> None:
        self._device = device
        self._free: dict[int, deque[wgpu.GPUBuffer]] = {}
        self.created = 0

    def take(self, nbytes: int) -> wgpu.GPUBuffer:
        """A staging buffer of at least `nbytes`."""
        size = max(ALIGN, 1 << (nbytes - 1).bit_length())
        size = size if size <= STAGING_KEPT_BYTES else pad(nbytes, ALIGN)
        try:
            return self._free[size].pop()
        except (KeyError, IndexError):
            return self._create(size)

    def _create(self, size: int) -> wgpu.GPUBuffer:
        self.created += 1
        try:
            return self._device.create_buffer(size=size, usage=STAGING)
        except wgpu.GPUError as error:
            raise translate(error, f"a read needs {size >> 20} MiB of staging memory") from error

    def give(self, raw: wgpu.GPUBuffer) -> None:
        """Take an unmapped staging buffer back; more than a few of a size are let go."""
        kept = self._free.setdefault(raw.size, deque())
        if len(kept) < min(STAGING_KEPT, STAGING_KEPT_BYTES // raw.size):
            kept.append(raw)
