"""A Program made runnable on one device.

Invariant: what a run does is a flat list of commands. It changes only where a buffer handed in or
out is another one than in the last run; then the dispatches that bind it get another bind group.
Buffers are compared by serial, which names one piece of memory for ever, so inputs that were bound
last time are neither checked nor bound again. Native handles of the last run are kept, Buffers not.
Temporaries and constants belong to the executable, inputs to the caller, results to nobody but the
caller: they are fresh each run while older ones live, or the donor's buffer if donated.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from operator import attrgetter

import numpy as np

from codegen.program import Collective, Program, Slot

from .buffer import ALIGN, BIND_ALIGN, Buffer, pad
from .device import Device
from .driver import RawCommand, RawEncoder, wgpu
from .errors import ProgramError, translate
from .memory import breakdown, check_memory, free_ram
from .overlap import Awaited
from .replay import (
    Choose,
    Command,
    Until,
    checked_pass,
    encode,
    looks_at_data,
    pieces,
    raw,
    raw_pass,
    spans,
    switches,
)
from .shards import Shards
from .timing import KernelTime, time_steps
from .validate import check_program

BURST = 8  # iterations of a while loop between two looks at its flag
_NBYTES, _DEVICE, _SERIAL = map(attrgetter, ("nbytes", "device", "serial"))
GROUPS_KEPT = 4  # per dispatch: outputs that live a step or two alternate between few buffers


class Executable:
    """`program` compiled for `device`. Raises KernelCompileError, ProgramError.

    `begin(step, source)` starts a collective with other processes and returns what ends it, given
    where the result goes; a program that has any needs it. `bind_groups_created` counts bind groups
    over the executable's life.
    """

    def __init__(
        self,
        device: Device,
        program: Program,
        begin: Callable[[Collective, Buffer], Callable[[Buffer, bool], None]] | None = None,
    ) -> None:
        check_program(program, device.limits, device.profile, begin is not None)
        self.device, self.program, self._begin = device, program, begin
        self._under_way: dict[int, Callable[[Buffer, bool], None]] = {}  # by where results go
        self.bind_groups_created = 0
        self._pipelines = device.pipelines(program.kernels)
        self._dispatches = program.dispatches
        self._spans, self._switch = spans(program), switches(program)
        self._straight = not any(map(looks_at_data, self._spans))
        self._pieces = pieces(self._spans, self._switch) if self._straight else []
        ins, outs = set(program.in_slots), set(program.out_slots)
        self._donated, self._fresh = ins & outs, sorted(outs - ins)
        places = {slot: at for at, slot in enumerate([*program.in_slots, *self._fresh])}
        self._results = [places[slot] for slot in program.out_slots]
        self._units = [pad(slot.nbytes, ALIGN) for slot in program.slots]
        self._wanted = [program.slots[slot].nbytes for slot in program.in_slots]
        self._users = _users(program)
        self._owned: list[Buffer | None] = [None] * len(program.slots)
        self._lent: dict[int, Buffer] = {}  # inputs and results by slot, during a run
        self._uploads: dict[int, Buffer] = {}
        self._ready = self._validated = False
        self._forget()

    def __repr__(self) -> str:
        count = len(self._dispatches)
        return f"Executable({self.program.name}, {count} dispatches, {breakdown(self.program)})"

    def run(self, inputs: Sequence[Buffer | Shards | np.ndarray]) -> list[Buffer]:
        """Run once, without waiting. Results as Buffers; a donated one is its input's Buffer.

        Host arrays are uploaded, and arrays in pieces by way of the host. Raises ProgramError on
        arguments that do not fit, OutOfMemoryError before the first run, DeviceLostError. One
        thread at a time.
        """
        try:
            buffers = self._bind(inputs)
            if self._begin is not None:
                self._under_way = {}
                self._lent = dict(zip([*self.program.in_slots, *self._fresh], buffers, strict=True))
            self._submit()
            self._lent = {}
        except wgpu.GPUError as error:
            raise translate(error, breakdown(self.program)) from error
        return [buffers[at] for at in self._results]

    def repeat(self) -> None:
        """Encode and submit the commands of the last run again: the driver's part of a run."""
        self._encode(self._spans)

    # Binding

    def _bind(self, inputs: Sequence[Buffer | np.ndarray]) -> list[Buffer]:
        """The buffers of the inputs, then the fresh ones, with the commands brought up to date."""
        if not self._ready:
            self._allocate(inputs)
        if self._epoch != self.device.pool.epoch:
            self._forget()  # the pool let memory go that cached bind groups would keep alive
        given, serials = self._given(inputs)
        slots = self.program.slots
        fresh = [Buffer(self.device, slots[slot].nbytes) for slot in self._fresh]
        self._refresh(given, serials, fresh)
        return [*given, *fresh]

    def _allocate(self, inputs: Sequence[Buffer | np.ndarray]) -> None:
        """Make temporaries and constants, if the whole program fits; once."""
        available = self._available(inputs) if self.device.info.software else None
        check_memory(self.program, self.device.limits, available)
        for index, slot in enumerate(self.program.slots):
            if slot.kind in ("temp", "constant"):
                self._owned[index] = self._new(slot)
        self._ready = True
        self._forget()

    def _available(self, inputs: Sequence[Buffer | np.ndarray]) -> int | None:
        """Host memory the program may use, what its inputs already hold included.

        The pool lets go of its free memory first if that is needed, because an operating system
        that overcommits would not refuse the program but kill it later.
        """
        held = sum(value.nbytes for value in inputs if isinstance(value, Buffer))
        free = free_ram()
        if free is not None and free + held < self.program.peak_bytes:
            free += self.device.pool.trim()
        return None if free is None else free + held

    def _new(self, slot: Slot) -> Buffer:
        buffer = Buffer(self.device, slot.nbytes)
        if slot.data:
            self.device.write(buffer, np.frombuffer(bytes.fromhex(slot.data), np.uint8))
        return buffer

    def _given(self, inputs: Sequence[Buffer | np.ndarray]) -> tuple[Sequence[Buffer], list[int]]:
        """The inputs as buffers, checked unless they are those of the last run; their serials."""
        # Hundreds of arrays pass here at every step: whole lists, no calls for each of them.
        try:
            serials = [buffer.serial for buffer in inputs]
            if serials == self._bound:
                return inputs, serials
        except AttributeError:
            pass  # there are host arrays among them
        self._check_sizes(inputs)
        given = [
            value if isinstance(value, Buffer) else self._upload(slot, value)
            for slot, value in zip(self.program.in_slots, inputs, strict=True)
        ]
        self._check_buffers(given)
        return given, list(map(_SERIAL, given))

    def _check_sizes(self, inputs: Sequence[Buffer | np.ndarray]) -> None:
        slots = self.program.in_slots
        if len(inputs) != len(slots):
            text = f"{self.program.name} takes {len(slots)} arrays, {len(inputs)} were given"
            raise ProgramError(text)
        if list(map(_NBYTES, inputs)) == self._wanted:
            return
        # A buffer may be longer than its array by what fills up its last words.
        for place, (slot, value) in enumerate(zip(slots, inputs, strict=True)):
            if pad(value.nbytes, ALIGN) != self._units[slot]:
                self._reject_size(place, slot, value.nbytes)

    def _reject_size(self, place: int, slot: int, nbytes: int) -> None:
        name = self.program.slots[slot].label
        what = f"argument {place}{f' ({name})' if name else ''} of {self.program.name}"
        wanted = self.program.slots[slot].nbytes
        raise ProgramError(f"{what} has {nbytes} bytes, the program wants {wanted}")

    def _check_buffers(self, given: list[Buffer]) -> None:
        if given and set(map(_DEVICE, given)) != {self.device}:
            raise ProgramError(f"{self.program.name} was given a buffer of another device")
        if not self._donated or len(set(map(_SERIAL, given))) == len(given):
            return
        times = Counter(buffer.serial for buffer in given)
        for place, slot in enumerate(self.program.in_slots):
            if slot in self._donated and times[given[place].serial] > 1:
                text = f"argument {place} of {self.program.name} is donated but given twice"
                raise ProgramError(f"{text}; pass a copy, or do not donate it")

    def _upload(self, slot: int, array: np.ndarray | Shards) -> Buffer:
        """A host array in the slot's own buffer, or in a fresh one if the caller gets it back."""
        array = array if isinstance(array, np.ndarray) else array.numpy()
        nbytes = self.program.slots[slot].nbytes
        if slot in self._donated:
            buffer = Buffer(self.device, nbytes)
        else:
            if slot not in self._uploads:
                self._uploads[slot] = Buffer(self.device, nbytes)
            buffer = self._uploads[slot]
        self.device.write(buffer, array)
        return buffer

    # Commands

    def _forget(self) -> None:
        """Drop all bind groups; the next run makes them anew."""
        count = len(self._dispatches)
        self._epoch, self._complete = self.device.pool.epoch, False
        self._bound: list[int] | None = None  # serials of the inputs that commands are made for
        self._serials = [buffer.serial if buffer else 0 for buffer in self._owned]
        self._raws = [buffer.raw if buffer else None for buffer in self._owned]
        self._groups: list[OrderedDict[tuple[int, ...], wgpu.GPUBindGroup]]
        self._groups = [OrderedDict() for _ in range(count)]
        self._commands: list[Command | None] = [None] * count
        self._raw: list[RawCommand | None] = [None] * count

    def _refresh(
        self, given: Sequence[Buffer], serials: list[int], fresh: Sequence[Buffer]
    ) -> None:
        """Renew the commands of dispatches that bind another buffer than last time."""
        stale = set() if self._complete else set(range(len(self._commands)))
        if serials != self._bound:
            self._place(zip(self.program.in_slots, given, strict=True), stale)
            self._bound = serials
        self._place(zip(self._fresh, fresh, strict=True), stale)
        self._complete = not stale  # an error below must not leave commands half renewed
        for index in stale:
            self._renew(index)
        self._complete = True

    def _place(self, buffers: Iterable[tuple[int, Buffer]], stale: set[int]) -> None:
        """Put buffers in their slots; dispatches that bound others before become stale."""
        for slot, buffer in buffers:
            if self._serials[slot] != buffer.serial:
                self._serials[slot], self._raws[slot] = buffer.serial, buffer.raw
                stale.update(self._users[slot])

    def _renew(self, index: int) -> None:
        step = self._dispatches[index]
        pipeline, cache = self._pipelines[step.kernel], self._groups[index]
        key = tuple([self._serials[slot] for slot in step.slots])
        if key not in cache:
            parts = [(self._raws[slot], self._bind_size(slot)) for slot in step.slots]
            cache[key] = self.device.bind(pipeline, parts)
            self.bind_groups_created += 1
            if len(cache) > GROUPS_KEPT:
                cache.popitem(last=False)
        cache.move_to_end(key)
        command = Command(pipeline, cache[key], step.grid, self._switch[index])
        self._commands[index], self._raw[index] = command, raw(command)

    def _bind_size(self, slot: int) -> int:
        limit = self.device.limits["max-storage-buffer-binding-size"]
        return min(pad(self.program.slots[slot].nbytes, BIND_ALIGN), limit // 4 * 4)

    def _submit(self) -> None:
        """Encode and submit: the first run through checked calls, later ones raw."""
        self._checked = self.device.check or not self._validated
        (self._encode if self._straight else self._run)(self._spans)
        self._validated = True

    def _run(self, plan: list) -> None:
        """Submit a plan, stopping for collectives and to look at what loops and switches need."""
        straight: list = []
        for step in plan:
            if not looks_at_data(step):
                straight.append(step)
                continue
            if straight:
                self._encode(straight)
            straight = []
            if isinstance(step, Collective):
                self._under_way[step.dst] = self._begin(step, self._buffer(step.src))
            elif isinstance(step, Awaited):
                dst = step.step.dst
                self._under_way.pop(dst)(self._buffer(dst), step.behind)
            elif isinstance(step, Until):
                self._run_until(step)
            elif isinstance(step, Choose):
                self._run(step.cases[min(max(self._word(step.slot), 0), len(step.cases) - 1)])
            else:
                for _ in range(step.count):
                    self._run(step.body)
        if straight:
            self._encode(straight)

    def _run_until(self, loop: Until) -> None:
        # An inner while loop might not end on the stale state of a finished outer one.
        burst = 1 if any(map(looks_at_data, loop.body)) else BURST
        while self._word(loop.slot):
            self._run(loop.body * burst)

    def _encode(self, plan: list) -> None:
        """Encode and submit one stretch without a while loop."""
        if self._checked:
            encoder = self.device.raw.create_command_encoder(label=self.program.name)
            encode(encoder, plan, checked_pass, self._commands, self._raws)
            self.device.submit(encoder)
            return
        parts = self._pieces if plan is self._spans else [plan]
        self.device.submit_pieces([partial(self._encode_raw, part) for part in parts])

    def _encode_raw(self, plan: list, encoder: RawEncoder) -> None:
        encode(encoder, plan, raw_pass, self._raw, self._raws)

    def _buffer(self, slot: int) -> Buffer:
        """The buffer of a slot while a program with collectives runs."""
        return self._owned[slot] or self._lent[slot]

    def _word(self, slot: int) -> int:
        """Wait for the device and read the first word of a slot, an i32."""
        encoder = self.device.raw.create_command_encoder()
        word = Buffer(self.device, 4)
        encoder.copy_buffer_to_buffer(self._raws[slot], 0, word.raw, 0, 4)
        self.device.submit(encoder)
        return int.from_bytes(self.device.download(word, 4), "little", signed=True)

    # Measuring

    def profile(self, inputs: Sequence[Buffer | np.ndarray]) -> list[KernelTime]:
        """Time each dispatch of one real run (donated inputs are updated), in program order.

        GPU time by timestamps, one pass per dispatch; wall-clock time, waiting after each
        dispatch, where the adapter has no timestamps.
        """
        try:
            buffers = self._bind(inputs)
            times = time_steps(self.device, self.program, self._commands, self._raws)
            del buffers  # until here their memory must not go to others
            return times
        except wgpu.GPUError as error:
            raise translate(error, breakdown(self.program)) from error


def _users(program: Program) -> list[list[int]]:
    """For each slot, the dispatches that bind it."""
    users: list[list[int]] = [[] for _ in program.slots]
    for index, step in enumerate(program.dispatches):
        for slot in set(step.slots):
            users[slot].append(index)
    return users
