"""Out of memory is refused before anything is allocated, with the sizes by kind and what fits.

The limits are small ones: PICOTRON_MEMORY stands for what a device has free.
"""

from __future__ import annotations

import ctypes
import gc
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import runtime
from codegen.compile import CompileError
from picotron import cli, hf, hf_config, launch, model, step_memory
from picotron import device as devices
from picotron.config import ModelConfig
from picotron.errors import NoRoomError
from picotron.memory import Need, halvings, largest
from picotron.pipeline_memory import need_of_pipeline
from picotron.prepare import lowered_step, new_state, train_step_of
from picotron.presets import PRESETS
from picotron.tokenizer import ByteTokenizer
from runtime import settings as runtime_settings
from runtime import vram

pytestmark = [
    pytest.mark.device,
    pytest.mark.filterwarnings("ignore::runtime.device.SoftwareAdapterWarning"),
]
TEXT = "the cat sat on the mat. the dog saw the cat.\n" * 60
RUN = """
    train --preset tiny --model.hidden-size 32 --model.intermediate-size 48 --data text.txt
    --model.num-hidden-layers 1 --training.seq-length 32 --steps 1 --logging.no-plot
    --logging.sample-tokens 0 --logging.eval-batches 1
""".split()
SIZES = re.compile(r"needs ([\d.]+) MiB \((.*?)\), but only ([\d.]+) MiB of memory are free; (.*)")


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("text.txt").write_text(TEXT)
    return tmp_path


@pytest.fixture
def room(monkeypatch):
    """A function that lets the device have so much memory."""

    def give(text: str) -> None:
        monkeypatch.setenv("PICOTRON_MEMORY", text)
        runtime_settings.settings.cache_clear()

    yield give
    monkeypatch.undo()
    runtime_settings.settings.cache_clear()


def refused(capsys, *arguments):
    """The message of a command that must be refused, and the buffers it made: none."""
    pool = runtime.default_device().pool
    before = pool.created
    assert cli.main(list(arguments)) == 1
    assert pool.created == before, "something was allocated"
    (told,) = [s for s in capsys.readouterr().err.splitlines() if "warning:" not in s]
    return told


def told_sizes(message):
    """Bytes together and by kind, in MiB, what there is, and the advice."""
    total, parts, free, advice = SIZES.search(message).groups()
    pairs = (part.rsplit(" ", 1) for part in parts.split(", "))
    return float(total), {kind: float(size) for kind, size in pairs}, float(free), advice


# Training


def test_training_says_what_it_needs_and_what_would_fit(place, room, capsys):
    room("0.5MiB")
    flags = [*RUN, "--mbs", "8"]
    total, parts, free, advice = told_sizes(refused(capsys, *flags))
    assert free == 0.5
    assert total == pytest.approx(sum(parts.values()), abs=0.005 * 7)
    shape = replace(PRESETS["tiny"].model, hidden_size=32, intermediate_size=48)
    weights = model.parameter_count(replace(shape, num_hidden_layers=1, vocab_size=82)) * 4 / 2**20
    assert parts["parameters"] == parts["gradients"] == pytest.approx(weights, abs=0.006)
    assert parts["optimizer"] == pytest.approx(2 * weights, abs=0.006)
    assert parts["activations"] > parts["logits"] > 0
    assert not Path("outputs").exists()

    offer = re.search(r"--mbs (\d+) --grad_acc_steps (\d+), the same step", advice)
    size, count = map(int, offer.groups())
    assert size * count == 8
    fitting = ["--mbs", str(size), "--grad_acc_steps", str(count)]
    assert cli.main([*flags, *fitting]) == 0


def test_a_hopeless_run_gets_a_cure_instead(place, room, capsys):
    room("20KiB")
    *_, advice = told_sizes(refused(capsys, *RUN))
    assert advice == step_memory.CURE


def test_a_tensor_beyond_a_binding_is_told_with_the_whole(place, capsys, monkeypatch):
    device = runtime.default_device()
    small = replace(device.profile, name="small", binding_bytes=120_000)
    monkeypatch.setattr(device, "profile", small)
    told = refused(capsys, *RUN, "--mbs", "31")
    assert "this run needs " in told and "(parameters " in told
    assert re.search(r"but a tensor of type f32\[.*\] takes .* profile 'small' holds 0 MiB; ", told)


def test_devices_of_one_process_share_its_memory(room):
    config = PRESETS["tiny"]
    shape = replace(config.model, vocab_size=82, hidden_size=16, num_hidden_layers=1)
    config = replace(config, model=shape)
    program = step_memory.program_of(config, lowered_step, 1)
    room(f"{program.peak_bytes + 4096}")
    assert step_memory.program_of(config, lowered_step, 1) is not None
    with pytest.raises(NoRoomError, match="free, for each of 2 devices"):
        step_memory.program_of(config, lowered_step, 2)


def small(**training):
    """A configuration of two blocks, and its step's program."""
    config = PRESETS["tiny"]
    shape = replace(config.model, vocab_size=82, hidden_size=64, num_hidden_layers=2)
    config = replace(config, model=shape, training=replace(config.training, **training))
    return config, step_memory.program_of(config, lowered_step, 1)


def test_a_budget_that_lets_the_same_step_fit_is_offered(room):
    config, program = small(micro_batch_size=32)
    room(f"{int(0.85 * program.peak_bytes) >> 10}KiB")
    with pytest.raises(NoRoomError, match=r"what fits: --training\.memory-budget") as refusal:
        step_memory.program_of(config, lowered_step, 1)
    budget = re.search(r"--training.memory-budget (\S+), the same step", str(refusal.value))[1]
    _, within = small(micro_batch_size=32, memory_budget=budget)
    assert within.peak_bytes <= int(budget.removesuffix("MiB")) << 20 < program.peak_bytes
    assert within.dispatch_count > program.dispatch_count
    # That a refusal of the compiler reaches the user is test_mesh_budgets'.
    tight = replace(config, training=replace(config.training, memory_budget="1MiB"))
    with pytest.raises(CompileError, match="even if all that can be is computed again"):
        lowered_step(tight).compile()


def loss_and_peak(config):
    """The loss of one step, and the most that the allocator gave at a time for it and another, by
    when every program of a pipeline has its workspace."""
    pool = runtime.default_device().pool
    gc.collect()
    pool.peak_bytes = before = pool.in_use()
    step, state, training = train_step_of(config), new_state(config), config.training
    sizes = (
        training.gradient_accumulation_steps,
        training.micro_batch_size,
        training.seq_length,
    )
    tokens = np.random.default_rng(0).integers(0, 82, sizes).astype(np.int32)
    state, metrics = step(state, {"inputs": tokens, "targets": tokens})
    step(state, {"inputs": tokens, "targets": tokens})
    return float(metrics["loss"]), pool.peak_bytes - before


@pytest.mark.parametrize("parts", [1, 3])
def test_the_peak_is_what_the_allocator_gives_and_a_budget_changes_no_loss(parts):
    losses = []
    for rows, share in ((8, 1.0), (28, 1.0), (28, 0.85)):
        wanted = {"micro_batch_size": rows, "gradient_accumulation_steps": parts}
        config, program = small(**wanted)
        if share < 1:
            budget = f"{int(share * program.peak_bytes) >> 10}KiB"
            config, program = small(**wanted, memory_budget=budget)
        loss, given = loss_and_peak(config)
        assert given == pytest.approx(program.peak_bytes, rel=0.05)
        losses.append(loss)
    assert losses[1] == losses[2]


@pytest.mark.parametrize(("engine", "stages"), [("1f1b", 2), ("zb-h1", 4)])
def test_what_a_pipeline_takes_is_known_beforehand(engine, stages, room):
    """Within a twentieth of what the allocator gives, and nothing is asked of it before."""
    config, _ = small(micro_batch_size=8, gradient_accumulation_steps=4)
    shape = replace(config.model, num_hidden_layers=4)
    distributed = replace(config.distributed, pp_size=stages, pp_engine=engine)
    config = replace(config, model=shape, distributed=distributed)
    made = runtime.default_device().pool.created
    step = train_step_of(config)
    need = need_of_pipeline(step)
    assert runtime.default_device().pool.created == made
    _, given = loss_and_peak(config)
    assert given == pytest.approx(need.total, rel=0.05)

    room(f"{int(1.5 * need.total)}")
    assert need_of_pipeline(step).lacking is None
    assert need_of_pipeline(step, 2).lacking.endswith("are free, for each of 2 processes")


def test_a_pipeline_that_does_not_fit_is_refused(place, room, capsys):
    room("1MiB")
    flags = [*RUN, "--model.num-hidden-layers", "2", "--pp", "2", "--mbs", "8"]
    flags += ["--distributed.launcher", "virtual"]
    total, parts, free, advice = told_sizes(refused(capsys, *flags))
    assert total > free == 1.0 and parts["activations"] > parts["optimizer"] > 0
    assert advice.startswith("what fits: --mbs ")


def test_processes_of_one_machine_are_known_from_the_launcher(monkeypatch):
    for names in (launch._HERE, launch._COUNTS):
        for name in names:
            monkeypatch.delenv(name, raising=False)
    assert launch.processes_here() == 1
    monkeypatch.setenv("PMI_SIZE", "8")
    assert launch.processes_here() == 8  # a launcher that does not say where they are
    monkeypatch.setenv("MPI_LOCALNRANKS", "4")
    assert launch.processes_here() == 4


# Models that write or are judged


SHAPE = ModelConfig(
    vocab_size=300,
    num_hidden_layers=1,
    hidden_size=64,
    intermediate_size=128,
    max_position_embeddings=1024,
    tie_word_embeddings=True,
)


@pytest.fixture
def folder(place):
    Path("model").mkdir()
    safetensors.numpy.save_file(hf.to_tensors(model.init(SHAPE, seed=0)), "model/model.safetensors")
    Path("model/config.json").write_text(json.dumps(hf_config.to_config(SHAPE)))
    ByteTokenizer().save(Path("model/tokenizer.json"))
    np.save("ids.npy", np.arange(1024)[None] % 300)
    np.save("row.npy", np.arange(1025) % 300)
    return place


@pytest.mark.parametrize(
    ("verb", "offer"),
    [
        ("generate --prompt hello --max-new-tokens 1000", r"--max-new-tokens \d+ \("),
        ("eval --data row.npy", r"--seq-length \d+ \("),
        ("logits --tokens ids.npy --out out.npy", ""),
    ],
)
def test_a_model_is_refused_before_its_weights_are_read(folder, room, capsys, verb, offer):
    room("0.5MiB" if verb.startswith("generate") else "1MiB")
    flags = [*verb.split(), "--model", "model"]
    total, parts, free, advice = told_sizes(refused(capsys, *flags))
    weights = model.parameter_count(SHAPE) * 4 / 2**20
    assert parts["parameters"] == pytest.approx(weights, abs=0.006)
    assert total > free
    assert re.search(offer, advice)
    assert not Path("out.npy").exists()
    if offer:
        name, value = re.search(r"(--[\w-]+) (\d+) \(", advice).groups()
        assert cli.main([*flags, name, value]) == 0


# What is free


def test_memory_is_asked_of_the_settings_first(room):
    for text, size in (
        ("2GiB", 2 << 30),
        ("1.5MiB", 3 << 19),
        ("512KiB", 1 << 19),
        ("2GB", 2 * 10**9),
        ("77", 77),
    ):
        room(text)
        assert devices.free_memory() == size
    room("lots")
    with pytest.raises(devices.ConfigError, match="such as 5GB or 200MiB, not 'lots'"):
        devices.free_memory()


def test_a_card_is_asked_of_its_vendor(monkeypatch, tmp_path):
    class Library:
        """As NVIDIA's answers, with two cards."""

        cards = (b"NVIDIA A100", 7 << 30), (b"NVIDIA H100", 5 << 30)

        def nvmlInit_v2(self):
            return 0

        nvmlShutdown = nvmlInit_v2

        def nvmlDeviceGetCount_v2(self, count):
            count._obj.value = len(self.cards)
            return 0

        def nvmlDeviceGetHandleByIndex_v2(self, index, card):
            card._obj.value = index + 1
            return 0

        def nvmlDeviceGetName(self, card, name, size):
            name.value = self.cards[card.value - 1][0]
            return 0

        def nvmlDeviceGetMemoryInfo(self, card, memory):
            memory._obj.free = self.cards[card.value - 1][1]
            return 0

    monkeypatch.setattr(ctypes, "CDLL", lambda name: Library())
    assert vram.free_vram("NVIDIA H100 80GB HBM3") == 5 << 30
    assert vram.free_vram("NVIDIA A100-SXM4") == 7 << 30
    assert vram.free_vram("Intel Iris") is None
    card = tmp_path / "card0" / "device"
    card.mkdir(parents=True)
    (card / "mem_info_vram_total").write_text("1000\n")
    (card / "mem_info_vram_used").write_text("400\n")
    monkeypatch.setattr(vram, "_CARDS", tmp_path)
    assert vram.free_vram("AMD Radeon RX 7900") == 600


def test_searching_finds_the_largest_that_fits():
    sizes = halvings(48)
    assert sizes == [3, 6, 12, 24]
    assert halvings(128, 16) == [16, 32, 64]
    for room in range(30):
        needs = {n: Need({"all": n}, None if n <= room else "less") for n in sizes}
        found = largest(sizes, needs.get) or (0,)
        assert found[0] == max((n for n in sizes if n <= room), default=0)
