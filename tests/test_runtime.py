"""The runtime on hand-written programs: what it promises about results, memory, time and errors."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import warnings
from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest

import runtime
from codegen.choices import BY_RULE
from codegen.profile import H100, LAVAPIPE, LAVAPIPE_25
from codegen.program import Binding, Copy, Dispatch, Fill, KernelCode, Program, Slot
from runtime import buffer as buffer_module
from runtime import device as device_module
from runtime import executable as executable_module
from runtime import replay as replay_module
from runtime import timing as timing_module
from runtime.adapter import AdapterInfo, choose, profile_of
from runtime.buffer import BufferPool
from runtime.driver import TRUSTED, wgpu
from runtime.errors import translate
from runtime.memory import free_ram
from runtime.settings import settings

pytestmark = pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning")

N = 100


def kernel(name: str, body: str, reads: str, writes: str, wgsl_type: str = "f32") -> KernelCode:
    """An elementwise kernel over N elements: `body` is statements on `i` and the named arrays."""
    bindings = [Binding(n, "read") for n in reads.split()]
    bindings += [Binding(n, "read_write") for n in writes.split()]
    lines = [
        f"@group(0) @binding({i}) var<storage, {b.access}> {b.name}: array<{wgsl_type}>;"
        for i, b in enumerate(bindings)
    ]
    lines += ["@compute @workgroup_size(64)", "fn main(@builtin(global_invocation_id) at: vec3u) {"]
    lines += ["  let i = at.x;", f"  if (i < {N}u) {{ {body} }}", "}"]
    return KernelCode(name, "map", "\n".join(lines), (64, 1, 1), tuple(bindings))


ADD = kernel("add_one", "y[i] = x[i] + 1.0;", "x", "y")
TWICE = kernel("twice", "y[i] = x[i] * 2.0;", "x", "y")
BUMP = kernel("bump", "p[i] = p[i] + g[i];", "g", "p")
GRID = (2, 1, 1)


def slot(kind: str, label: str = "", nbytes: int = 4 * N, data: bytes = b"") -> Slot:
    return Slot(nbytes, kind, label, data.hex())


def chain() -> Program:
    """(x + 1) * 2 through a temporary."""
    slots = (slot("input", "x"), slot("temp", "t"), slot("output", "y"))
    steps = (
        Dispatch(0, (0, 1), GRID, nbytes=8 * N, flops=N, scope="layer.0"),
        Dispatch(1, (1, 2), GRID, nbytes=8 * N, flops=N, scope="layer.1"),
    )
    return Program("chain", (ADD, TWICE), slots, steps, (0,), (2,))


def update() -> Program:
    """p += g with p donated."""
    slots = (slot("input", "p"), slot("input", "g"))
    return Program("update", (BUMP,), slots, (Dispatch(0, (1, 0), GRID),), (0, 1), (0,))


def numbers(start: float = 0.0) -> np.ndarray:
    return np.arange(N, dtype=np.float32) + np.float32(start)


def open_device(check: bool = False) -> runtime.Device:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", runtime.SoftwareAdapterWarning)
        return runtime.Device(runtime.pick_adapter(settings().adapter)[0], check=check)


@pytest.fixture(scope="module")
def device() -> runtime.Device:
    return open_device()


def read(buffer: runtime.Buffer, dtype=np.float32) -> np.ndarray:
    return np.frombuffer(buffer.device.download(buffer), dtype)


# Adapters


def fake(index: int, name: str, backend: str, kind: str, **limits: int) -> AdapterInfo:
    base = {
        "max-compute-invocations-per-workgroup": 1024,
        "max-compute-workgroup-size-x": 1024,
        "max-storage-buffers-per-shader-stage": 32,
        "max-storage-buffer-binding-size": 128 << 20,
        "max-compute-workgroup-storage-size": 32 << 10,
        "max-compute-workgroups-per-dimension": 65535,
    }
    limits = {key.replace("_", "-"): value for key, value in limits.items()}
    features = frozenset({"shader-f16", "shader-float32-atomic"})
    return AdapterInfo(index, name, "", backend, kind, "", kind == "cpu", base | limits, features)


LVP = fake(0, "llvmpipe (LLVM 15)", "Vulkan", "cpu")
LVP_GL = fake(1, "llvmpipe (LLVM 15)", "OpenGL", "cpu")
INTEL = fake(2, "Intel Arc", "Vulkan", "integrated")
NVIDIA = fake(3, "NVIDIA H100 80GB HBM3", "Vulkan", "discrete")
NVIDIA_GL = fake(4, "NVIDIA H100 80GB HBM3", "OpenGL", "discrete")


@pytest.mark.parametrize(
    ("infos", "best"),
    [
        ([LVP_GL, LVP], LVP),
        ([LVP, NVIDIA_GL], NVIDIA_GL),
        ([NVIDIA_GL, LVP, INTEL], INTEL),
        ([LVP, INTEL, NVIDIA_GL, NVIDIA], NVIDIA),
        ([fake(0, "M4", "Metal", "integrated"), LVP], fake(0, "M4", "Metal", "integrated")),
    ],
)
def test_choose_prefers_real_adapters_then_native_backends(infos, best):
    assert choose(infos)[0] == best


@pytest.mark.parametrize(
    ("override", "best"), [("llvm", LVP), ("opengl", NVIDIA_GL), ("2", INTEL), ("arc", INTEL)]
)
def test_choose_obeys_the_override_by_name_backend_or_index(override, best):
    info, why = choose([LVP, LVP_GL, INTEL, NVIDIA, NVIDIA_GL], override)
    assert info == best
    assert override in why


def test_choose_says_what_there_is_or_how_to_get_one():
    with pytest.raises(runtime.UnknownAdapterError, match=r"0: llvmpipe .*Vulkan, cpu"):
        choose([LVP], "radeon")
    with pytest.raises(runtime.NoAdapterError, match="picotron doctor --fix"):
        choose([])


def test_profiles_follow_limits_and_quirks():
    limits = {
        "max_compute_workgroup_storage_size": 48 << 10,
        "max_storage_buffer_binding_size": (2 << 30) - 4,
        "max_storage_buffers_per_shader_stage": 524288,
    }
    h100 = fake(0, "NVIDIA H100 80GB HBM3", "Vulkan", "discrete", **limits)
    assert profile_of(h100, 32) == dataclasses.replace(H100, name="nvidia-h100-80gb-hbm3")
    llvmpipe = profile_of(LVP, 8)
    assert dataclasses.replace(llvmpipe, units=2) == LAVAPIPE
    newer = dataclasses.replace(LVP, driver="Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6)")
    assert dataclasses.replace(profile_of(newer, 8), units=2) == LAVAPIPE_25
    assert profile_of(LVP_GL, 0).loop_limit == LAVAPIPE.loop_limit
    assert profile_of(INTEL, 32).loop_limit == 0


def test_settings_read_the_environment(monkeypatch):
    monkeypatch.setenv("PICOTRON_ADAPTER", "Intel")
    monkeypatch.setenv("PICO_CHECK", "1")
    assert settings.__wrapped__() == (found := settings.__wrapped__())
    assert (found.adapter, found.check) == ("Intel", True)
    monkeypatch.setenv("PICO_CHECK", "0")
    monkeypatch.delenv("PICOTRON_ADAPTER")
    found = settings.__wrapped__()
    assert (found.adapter, found.check) == (None, False)


def test_importing_the_package_loads_no_driver():
    code = "import runtime, sys; from runtime import lavapipe; print('wgpu' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Memory bookkeeping, without a device


class FakeDevice:
    """Hands out sized objects and refuses more than `room` bytes at once."""

    def __init__(self, room: int = 1 << 60) -> None:
        self.room = room
        self.held = 0

    def create_buffer(self, size: int, usage: int) -> SimpleNamespace:
        if self.held + size > self.room:
            raise wgpu.GPUValidationError("Not enough memory left.")
        self.held += size
        return SimpleNamespace(size=size)


def test_the_pool_reuses_by_size_and_names_memory_for_ever():
    pool = BufferPool(FakeDevice(), 1 << 30)
    first, second = pool.take(1000), pool.take(1000)
    pool.give(first.serial)
    assert pool.take(900) is first
    assert first.serial != second.serial
    assert pool.take(2000).raw.size == 2048
    assert pool.created == 3


def test_the_pool_keeps_its_footprint_near_the_peak(monkeypatch):
    monkeypatch.setattr(buffer_module, "SLACK_BYTES", 1024)
    pool = BufferPool(FakeDevice(), 1 << 30)
    pool.give(pool.take(4096).serial)
    epoch = pool.epoch
    pool.give(pool.take(8192).serial)  # 4096 + 8192 is over the peak of 8192 and the slack
    assert (pool.in_use(), pool.free_bytes) == (0, 8192)
    assert pool.epoch > epoch
    assert pool.trim() == 8192


def test_a_full_device_raises_after_the_free_memory_was_let_go():
    fake_device = FakeDevice(room=10_240)
    pool = BufferPool(fake_device, 1 << 30)
    pool.give(pool.take(8192).serial)
    with pytest.raises(runtime.OutOfMemoryError, match="no memory left"):
        pool.take(4096)
    assert pool.free_bytes == 0
    fake_device.held = 0
    assert pool.take(4096).raw.size == 4096
    with pytest.raises(runtime.OutOfMemoryError, match="limit of 1024 MiB; split or shard"):
        pool.take(2 << 30)


def test_free_ram_is_known_and_obeys_the_container(monkeypatch, tmp_path):
    assert free_ram() is None or free_ram() > 0
    (tmp_path / "memory.max").write_text("1000\n")
    (tmp_path / "memory.current").write_text("400\n")
    monkeypatch.setattr("runtime.memory._CGROUP", tmp_path)
    assert free_ram() == 600


def test_wgpu_errors_become_ours():
    oom = wgpu.GPUValidationError("Validation Error\n\nCaused by:\n  Not enough memory left.")
    assert isinstance(translate(oom, "advice"), runtime.OutOfMemoryError)
    assert "advice" in str(translate(oom, "advice"))
    assert isinstance(translate(oom), MemoryError)
    lost = wgpu.GPUValidationError("Parent device is lost")
    assert isinstance(translate(lost), runtime.DeviceLostError)
    other = wgpu.GPUValidationError("something else")
    assert translate(other) is other


# Running


@pytest.mark.device
def test_a_program_runs_again_and_again(device):
    run = runtime.Executable(device, chain()).run
    for start in (0.0, 5.0, -3.0):
        (result,) = run([device.upload(numbers(start))])
        np.testing.assert_array_equal(read(result), (numbers(start) + 1) * 2)


@pytest.mark.device
def test_a_donated_result_is_its_input(device):
    step = runtime.Executable(device, update())
    p, g = device.upload(numbers()), device.upload(numbers(1))
    for _ in range(3):
        (result,) = step.run([p, g])
        assert result is p
    np.testing.assert_array_equal(read(p), numbers() + 3 * numbers(1))
    np.testing.assert_array_equal(read(g), numbers(1))


@pytest.mark.device
def test_a_donated_host_array_comes_back_in_a_buffer_of_its_own(device):
    step, host = runtime.Executable(device, update()), numbers()
    first, second = (step.run([host, numbers(k)])[0] for k in (1, 2))
    np.testing.assert_array_equal(read(first), host + numbers(1))
    np.testing.assert_array_equal(read(second), host + numbers(2))
    np.testing.assert_array_equal(host, numbers())


@pytest.mark.device
def test_results_are_never_overwritten_and_memory_is_reused(device):
    run = runtime.Executable(device, chain()).run
    kept = [run([numbers(k)])[0] for k in range(4)]
    for k, result in enumerate(kept):
        np.testing.assert_array_equal(read(result), (numbers(k) + 1) * 2)
    del kept, result
    before = device.pool.created
    for k in range(10):
        (loss,) = run([numbers(k)])
    assert device.pool.created == before
    np.testing.assert_array_equal(read(loss), (numbers(9) + 1) * 2)


@pytest.mark.device
@pytest.mark.parametrize("piece", [replay_module.PIECE, 1])
def test_copies_fills_and_constants_run_in_step_order(device, monkeypatch, piece):
    monkeypatch.setattr(replay_module, "PIECE", piece)
    slots = (
        slot("input", "x"),
        slot("constant", "ten", data=np.full(N, 10, np.float32).tobytes()),
        slot("output", "sum"),
        slot("output", "copy"),
        slot("output", "half"),
    )
    steps = (
        Copy(0, 2, 4 * N),
        Dispatch(0, (1, 2), GRID),
        Copy(2, 3, 4 * N),
        Copy(2, 4, 4 * N),
        Fill(4, 2 * N),
        Dispatch(0, (1, 2), GRID),
    )
    program = Program("mixed", (BUMP,), slots, steps, (0,), (2, 3, 4))
    step = runtime.Executable(device, Program.from_json(program.to_json()))
    for start in (0.0, 7.0):  # checked, then replayed
        total, copy, half = map(read, step.run([numbers(start)]))
        np.testing.assert_array_equal(total, numbers(start) + 20)
        np.testing.assert_array_equal(copy, numbers(start) + 10)
        np.testing.assert_array_equal(half[: N // 2], 0)
        np.testing.assert_array_equal(half[N // 2 :], numbers(start)[N // 2 :] + 10)


@pytest.mark.device
def test_a_result_may_be_an_argument_or_appear_twice(device):
    slots = (slot("input", "x"), slot("output", "y"))
    steps = (Dispatch(0, (0, 1), GRID),)
    program = Program("same", (ADD,), slots, steps, (0,), (1, 0, 1))
    x = device.upload(numbers())
    y, x_again, y_again = runtime.Executable(device, program).run([x])
    assert x_again is x
    assert y_again is y
    np.testing.assert_array_equal(read(y), numbers(1))


@pytest.mark.device
@pytest.mark.parametrize(
    "array",
    [
        np.array(2.5, np.float32),
        np.arange(3, dtype=np.float16),
        np.arange(7, dtype=np.float32).astype(ml_dtypes.bfloat16),
        np.arange(24, dtype=np.int32).reshape(4, 6).T,
        np.arange(24, dtype=np.uint32).reshape(4, 6)[:, ::2],
        np.zeros((0, 3), np.float32),
    ],
    ids=["scalar", "odd f16", "odd bf16", "transposed", "strided", "empty"],
)
def test_arrays_of_any_shape_and_layout_round_trip(device, array):
    buffer = device.upload(array)
    assert buffer.nbytes == array.nbytes
    assert device.download(buffer) == array.tobytes()
    slots = (Slot(max(4, array.nbytes), "input"), Slot(max(4, array.nbytes), "output"))
    program = Program("copy", (), slots, (Copy(0, 1, max(4, array.nbytes)),), (0,), (1,))
    step = runtime.Executable(device, program)
    for value in (array, buffer):
        (result,) = step.run([value])
        assert device.download(result, array.nbytes) == array.tobytes()


# Reads


@pytest.mark.device
def test_a_read_sees_the_moment_it_was_started(device):
    step = runtime.Executable(device, update())
    p, one = device.upload(numbers()), device.upload(np.ones(N, np.float32))
    reads = [p.start_read()]
    for _ in range(4):
        step.run([p, one])
        reads.append(p.start_read())
    for k, pending in reversed(list(enumerate(reads))):
        values = np.frombuffer(pending.result(), np.float32)
        np.testing.assert_array_equal(values, numbers(k))
        assert pending.result() is pending.result()


@pytest.mark.device
def test_staging_buffers_go_round(device):
    buffer = device.upload(numbers())
    buffer.start_read(8, offset=4).result()
    before = device.staging.created
    for _ in range(20):
        buffer.start_read(8, offset=4).result()
    assert device.staging.created == before
    part = np.frombuffer(buffer.start_read(8, offset=4).result(), np.float32)
    np.testing.assert_array_equal(part, numbers()[1:3])


@pytest.mark.device
def test_a_read_outside_the_buffer_is_refused(device):
    buffer = device.upload(numbers())
    for nbytes, offset in ((4 * N + 4, 0), (8, 4 * N - 4), (4, 2), (-4, 0)):
        with pytest.raises(ValueError, match="cannot read"):
            buffer.start_read(nbytes, offset)


@pytest.mark.device
def test_large_arrays_are_read_in_chunks(device, monkeypatch):
    monkeypatch.setattr(device_module, "CHUNK_BYTES", 1024)
    data = np.random.default_rng(0).integers(0, 255, 10_003, np.uint8)
    buffer = device.upload(data)
    assert device.download(buffer) == data.tobytes()
    assert device.download(buffer, 2049) == data[:2049].tobytes()


@pytest.mark.device
def test_a_dropped_read_and_a_dropped_encoder_do_no_harm(device):
    buffer = device.upload(numbers())
    for _ in range(3):
        buffer.start_read()
    device.raw.create_command_encoder().begin_compute_pass()
    device.synchronize()
    np.testing.assert_array_equal(read(buffer), numbers())


# Replay


@pytest.mark.device
def test_the_first_run_is_checked_and_later_ones_are_replayed(device, monkeypatch):
    seen = []
    for name in ("checked_pass", "raw_pass"):
        real = getattr(executable_module, name)
        monkeypatch.setattr(
            executable_module, name, lambda *a, n=name, f=real: (seen.append(n), f(*a))
        )
    step = runtime.Executable(device, chain())
    for _ in range(3):
        step.run([numbers()])
    assert seen == ["checked_pass", "raw_pass", "raw_pass"]
    checked = runtime.Executable(open_device(check=True), chain())
    seen.clear()
    for _ in range(2):
        checked.run([numbers()])
    assert seen == ["checked_pass", "checked_pass"]


def test_long_plans_are_cut_where_an_encoder_may_begin(monkeypatch):
    monkeypatch.setattr(replay_module, "PIECE", 4)
    span, repeat, copy = replay_module.Span, replay_module.Repeat, Copy(0, 1, 4)
    switch = [n % 3 == 0 for n in range(12)]
    assert replay_module.pieces([], switch) == [[]]
    assert replay_module.pieces([copy, span(0, 3), copy], switch) == [[copy, span(0, 3), copy]]
    assert replay_module.pieces([span(0, 12)], switch) == [[span(0, 6)], [span(6, 12)]]
    loop = repeat(5, [span(0, 2), copy])
    rows = [[repeat(2, loop.body)], [repeat(2, loop.body)], [repeat(1, loop.body), copy]]
    assert replay_module.pieces([loop, copy], switch) == rows


@pytest.mark.device
def test_bind_groups_are_made_once_per_set_of_buffers(device):
    step = runtime.Executable(device, update())
    pairs = [(device.upload(numbers()), device.upload(numbers(k))) for k in range(3)]
    for _ in range(4):
        for p, g in pairs:
            step.run([p, g])
    assert step.bind_groups_created == 3
    for p, g in pairs:
        np.testing.assert_array_equal(read(p), numbers() + 4 * read(g))


@pytest.mark.device
def test_only_dispatches_whose_buffers_changed_are_bound_again(device):
    step = runtime.Executable(device, chain())
    x, other = device.upload(numbers()), device.upload(numbers(1))
    kept = step.run([x])
    assert step.bind_groups_created == 2
    kept += step.run([x])  # another result buffer: the second dispatch alone
    assert step.bind_groups_created == 3
    kept.pop()
    kept += step.run([other])  # the dropped result's memory again, another argument
    assert step.bind_groups_created == 4
    np.testing.assert_array_equal(read(kept[-1]), (numbers(1) + 1) * 2)


@pytest.mark.device
def test_memory_given_back_in_any_order_is_taken_in_the_same(device):
    held = [runtime.Buffer(device, 7 * 256) for _ in range(5)]
    serials = sorted(buffer.serial for buffer in held)
    for place in (3, 0, 2, 1, 0):
        del held[place]
    assert [b.serial for b in [runtime.Buffer(device, 7 * 256) for _ in range(5)]] == serials


@pytest.mark.device
def test_bind_groups_do_not_outlive_trimmed_memory(device):
    step = runtime.Executable(device, chain())
    step.run([numbers()])
    assert device.pool.trim() > 0
    (result,) = step.run([numbers(3)])
    assert step.bind_groups_created == 4
    np.testing.assert_array_equal(read(result), (numbers(3) + 1) * 2)


@pytest.mark.device
def test_checks_on_and_off_give_equal_bits(device):
    rng = np.random.default_rng(1)
    body = "var s = 0.0; for (var k = 0u; k < 50u; k++) { s += x[(i * 7u + k) % 100u] * s + 0.1; }"
    loop = kernel("loop", body + " y[i] = s;", "x", "y")
    slots = (slot("input"), slot("output"))
    program = Program("loop", (loop,), slots, (Dispatch(0, (0, 1), GRID),), (0,), (1,))
    steps = [runtime.Executable(d, program) for d in (device, open_device(check=True))]
    for _ in range(3):
        x = rng.uniform(-0.5, 0.5, N).astype(np.float32)
        released, checked = (read(step.run([x])[0]) for step in steps)
        np.testing.assert_array_equal(released, checked)
        assert np.abs(released).max() > 0


@pytest.mark.device
def test_pipelines_are_shared_by_text(device):
    first = device.pipeline(ADD)
    assert device.pipeline(dataclasses.replace(ADD, name="another")) is first
    assert device.pipelines([ADD, TWICE, ADD])[2] is first


# Time


@pytest.mark.device
@pytest.mark.parametrize("clock", ["gpu", "wall"])
def test_profile_times_each_dispatch_of_a_real_run(device, monkeypatch, clock):
    if clock == "wall":
        monkeypatch.setattr(device, "features", ())
    elif "timestamp-query" not in device.features:
        pytest.skip("this adapter has no timestamps")
    times = runtime.Executable(device, chain()).profile([numbers()])
    assert [t.kernel for t in times] == ["add_one", "twice"]
    assert [t.scope for t in times] == ["layer.0", "layer.1"]
    assert {t.clock for t in times} == {clock}
    assert all(0 < t.seconds < 1 for t in times)
    assert times[0].flops == N
    p, g = device.upload(numbers()), device.upload(numbers(1))
    runtime.Executable(device, update()).profile([p, g])
    np.testing.assert_array_equal(read(p), numbers() + numbers(1))


@pytest.mark.device
def test_long_programs_are_profiled_in_several_query_sets(device, monkeypatch):
    if "timestamp-query" not in device.features:
        pytest.skip("this adapter has no timestamps")
    monkeypatch.setattr(timing_module, "QUERIES", 6)
    slots = (slot("input", "p"), slot("input", "g"), slot("output", "copy"))
    steps = (*[Dispatch(0, (1, 0), GRID)] * 7, Copy(0, 2, 4 * N))
    program = Program("long", (BUMP,), slots, steps, (0, 1), (0, 2))
    p, g = device.upload(numbers()), device.upload(numbers(1))
    assert len(runtime.Executable(device, program).profile([p, g])) == 7
    np.testing.assert_array_equal(read(p), numbers() + 7 * numbers(1))


# Errors


@pytest.mark.device
@pytest.mark.parametrize("check", [False, True])
def test_a_bad_kernel_is_shown_with_its_line(device, check):
    wgsl = ADD.wgsl.replace("x[i] + 1.0", "x[i] + one")
    bad = dataclasses.replace(ADD, wgsl=wgsl)
    where = next(k for k, line in enumerate(wgsl.splitlines(), 1) if "one" in line)
    with pytest.raises(
        runtime.KernelCompileError, match=r"`add_one` .*identifier: `one`"
    ) as caught:
        (open_device(check=True) if check else device).pipeline(bad)
    assert caught.value.line == where
    assert f">{where:5} |   if (i < {N}u)" in str(caught.value)
    assert caught.value.wgsl == wgsl


@pytest.mark.device
def test_bindings_that_differ_from_the_text_are_refused(device):
    bad = dataclasses.replace(ADD, bindings=(Binding("x", "read"), Binding("y", "read")))
    with pytest.raises(runtime.KernelCompileError, match=r"add_one.*binding: 1"):
        device.pipelines([bad, TWICE])


def broken(**changes) -> Program:
    return dataclasses.replace(chain(), **changes)


@pytest.mark.device
@pytest.mark.parametrize(
    ("program", "message"),
    [
        (
            broken(kernels=(dataclasses.replace(ADD, workgroup_bytes=1 << 30), TWICE)),
            "`add_one` needs 1073741824 bytes of workgroup memory",
        ),
        (broken(steps=(Dispatch(0, (0, 1), (1 << 20, 1, 1)),)), "1048576 workgroups"),
        (broken(steps=(Dispatch(0, (0,), GRID),)), "binds 1 slots, the kernel has 2"),
        (broken(steps=(Dispatch(0, (1, 1), GRID),)), "binds slot 1 twice"),
        (broken(steps=(Copy(0, 2, 4 * N + 4),)), "404 bytes of slot 0, which has 400"),
        (broken(steps=(Fill(0, 0),)), "0 bytes of slot 0"),
        (broken(out_slots=(1,)), "result 0 of chain is in a slot of kind 'temp'"),
        (broken(in_slots=()), "input slot 0 .x. of chain is neither"),
        (broken(in_slots=(0, 0)), "share an input slot"),
    ],
)
def test_programs_that_do_not_fit_the_device_are_refused(device, program, message):
    with pytest.raises(runtime.ProgramError, match=message):
        runtime.Executable(device, program)


@pytest.mark.device
def test_too_many_loop_iterations_are_refused_where_they_go_wrong(device, monkeypatch):
    long = broken(kernels=(dataclasses.replace(ADD, loop_iterations=70_000), TWICE))
    limited = dataclasses.replace(device.profile, loop_limit=60_000)
    monkeypatch.setattr(device, "profile", limited)
    with pytest.raises(runtime.ProgramError, match="70000 loop iterations"):
        runtime.Executable(device, long)
    monkeypatch.setattr(device, "profile", dataclasses.replace(limited, loop_limit=0))
    assert runtime.Executable(device, long).run([numbers()])


@pytest.mark.device
def test_arguments_that_do_not_fit_are_refused_by_place(device):
    step = runtime.Executable(device, update())
    p, g = device.upload(numbers()), device.upload(numbers())
    with pytest.raises(runtime.ProgramError, match="takes 2 arrays, 1 were given"):
        step.run([p])
    with pytest.raises(runtime.ProgramError, match=r"argument 1 \(g\) of update has 4000 bytes"):
        step.run([p, np.zeros(1000, np.float32)])
    with pytest.raises(runtime.ProgramError, match="argument 0 of update is donated but given"):
        step.run([p, p])
    with pytest.raises(runtime.ProgramError, match="another device"):
        step.run([p, open_device().upload(numbers())])
    assert step.run([p, g]) == [p]


@pytest.mark.device
def test_memory_is_predicted_before_it_is_allocated(device, monkeypatch):
    device.pool.trim()
    before = device.pool.created
    limit = device.limits["max-storage-buffer-binding-size"]
    slots = (slot("input", "x"), slot("temp", "scores", limit + 4), slot("output", "y"))
    step = runtime.Executable(device, broken(slots=slots))
    with pytest.raises(runtime.OutOfMemoryError, match=r"temp `scores` .*binding size limit") as e:
        step.run([numbers()])
    assert "temps" in str(e.value)
    monkeypatch.setattr(device, "info", dataclasses.replace(device.info, software=True))
    monkeypatch.setattr(executable_module, "free_ram", lambda: 1000)
    with pytest.raises(runtime.OutOfMemoryError, match=r"outputs .*0\.0 MiB of memory are free"):
        runtime.Executable(device, chain()).run([numbers()])
    assert device.pool.created == before
    monkeypatch.setattr(executable_module, "free_ram", lambda: 10_000)
    assert runtime.Executable(device, chain()).run([numbers()])


@pytest.mark.device
@pytest.mark.parametrize("piece", [replay_module.PIECE, 1])
def test_what_raw_calls_get_wrong_is_an_exception_not_an_abort(device, monkeypatch, piece):
    monkeypatch.setattr(replay_module, "PIECE", piece)
    step = runtime.Executable(device, chain())
    x = device.upload(numbers())
    kept = [step.run([x]), step.run([x])]
    step._raw[0] = step._raw[0]._replace(x=1 << 20)
    with pytest.raises(wgpu.GPUValidationError, match="dispatch"):
        step.run([x])
    (result,) = runtime.Executable(device, chain()).run([x])
    np.testing.assert_array_equal(read(result), read(kept[0][0]))


@pytest.mark.device
def test_a_lost_device_raises_and_the_process_lives():
    lost = open_device()
    step, p, g = runtime.Executable(lost, update()), lost.upload(numbers()), lost.upload(numbers())
    step.run([p, g])
    lost.raw.destroy()
    calls = (
        lambda: step.run([p, g]),
        lambda: step.run([p, numbers()]),
        lambda: step.profile([p, g]),
        lambda: p.start_read(),
        lambda: lost.upload(numbers()),
        lambda: lost.synchronize(),
        lambda: lost.pipeline(ADD),
    )
    for call in calls:
        with pytest.raises(runtime.DeviceLostError, match="last checkpoint"):
            call()


# The process's device


@pytest.mark.device
def test_the_default_device_is_opened_once_with_a_warning_if_in_software(monkeypatch):
    monkeypatch.setattr(device_module, "_default", None)
    monkeypatch.setattr(device_module, "_override", None)
    name = runtime.pick_adapter(settings().adapter)[0].name
    runtime.set_default_adapter(name)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        opened = runtime.default_device()
        assert runtime.default_device() is opened
    texts = [str(w.message) for w in seen if w.category is runtime.SoftwareAdapterWarning]
    expected = [f"software adapter {name}: expect CPU speed"] if opened.info.software else []
    assert texts == expected
    runtime.set_default_adapter(name)
    with pytest.raises(RuntimeError, match="already open"):
        runtime.set_default_adapter("no such adapter")


@pytest.mark.device
def test_the_profile_describes_the_adapter(device):
    size = device.profile.subgroup
    assert size == 0 or (4 <= size <= 128 and size & (size - 1) == 0)
    assert (size > 0) == ("subgroup" in device.features)
    if "llvmpipe" in device.info.name and device.info.backend == "Vulkan":
        assert dataclasses.replace(device.profile, units=2, subgroup=8, choices=BY_RULE) == LAVAPIPE
    assert TRUSTED
    assert device.memory_bytes() >= 0
