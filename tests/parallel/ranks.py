"""What one of several processes does in the tests of MPI; run by `mpirun`, see test_mpi.py.

Invariant: `python -m tests.parallel.ranks CASE` ends with status 0 in every process if all is well.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from math import prod
from pathlib import Path
from types import SimpleNamespace

import numpy as np

import runtime
from codegen.profile import WEBGPU_DEFAULT
from ir import PRIMITIVES, Aval, bf16, build, emit, f32, i32
from ir.prims.unary import cast
from ir.sharding import MeshShape, Spec
from picotron import diverge, joint, model, tokenizer
from picotron.checkpoint import TrainingState
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.device import drive
from picotron.launch import check_equal, guarded
from picotron.parallel import weights_in_pieces
from picotron.pipeline_memory import peak_of_rank
from picotron.prepare import new_state, train_step_of
from picotron.pretrained import open_folder
from picotron.saver import Saver
from picotron.sharding import Layout as SharedLayout
from picotron.step import batch_shapes
from picotron.stored import open_run
from picotron.tensors import TensorFile
from runtime.mpi import World
from runtime.ranks import RankDrivers, RankTeam
from runtime.shards import Layout
from tracer import tree
from tracer.spmd import spmd

from . import harness

MESHES = {2: MeshShape(("x",), (2,)), 4: MeshShape(("dp", "tp"), (2, 2))}


def collectives(world: World) -> None:
    """Every collective, in several dtypes, against `vmap`; then a read of an array in pieces."""
    mesh = MESHES[world.size]
    team = RankTeam(mesh, runtime.default_device(), world)
    for axes in dict.fromkeys((mesh.names[-1:], mesh.names[::-1])):  # in one order everywhere
        sizes = tuple(mesh.size_of[a] for a in axes)
        for dtype in (f32, i32, bf16) if world.size == 2 else (f32,):
            _compare(team, axes, sizes, dtype)
    layout = Layout(mesh, Aval((8, 3), f32), Spec(((mesh.names[-1],), ())))
    whole = np.arange(24, dtype=np.float32).reshape(8, 3)
    graph = build(lambda x: x * 2.0, Aval(layout.local, f32))
    made = harness.executable(graph, mesh, team=team)
    made.ins, made.outs = (layout,), (layout,)
    np.testing.assert_array_equal(made.run([whole])[0].numpy(), whole * 2)
    own = SimpleNamespace(profile=replace(WEBGPU_DEFAULT, name=f"adapter {min(world.rank, 1)}"))
    adapters = RankDrivers(world, own, mesh).team(mesh).profiles
    assert [p.name for p in adapters] == ["adapter 0", "adapter 1"]


def _compare(team: RankTeam, axes: tuple, sizes: tuple, dtype) -> None:
    def every(x):
        over = {"axes": axes, "sizes": sizes}
        p = PRIMITIVES
        pairs = zip(axes, sizes, strict=True)
        mine = [emit(p["axis_index"], axes=(a,), sizes=(s,)) for a, s in pairs]
        perm = tuple((i, i + 1) for i in range(prod(sizes) - 1))
        return [
            *(emit(p[name], x, **over) for name in ("psum", "pmax", "pmin")),
            *emit(p["psums"], x, emit(p["reduce_max"], x, axes=(0,)), x * x, **over),
            emit(p["all_gather"], x, **over, axis=1, tiled=True),
            emit(p["reduce_scatter"], x, **over, axis=0, tiled=True),
            emit(p["all_to_all"], x, **over, split=0, concat=1, tiled=True),
            emit(p["ppermute"], x, **over, perm=perm),
            *(emit(cast, m, dtype=f32) for m in mine),
        ]

    graph = build(every, Aval((8, 5), dtype))
    rng = np.random.default_rng(1)
    x = (rng.standard_normal((team.mesh.count, 8, 5)) * 9).astype(dtype.np)
    made = harness.executable(graph, team.mesh, team=team)
    tolerance = 3e-2 if dtype is bf16 else 1e-5  # the oracle rounds every sum of two
    wanted = harness.by_vmap(graph, team.mesh, x)
    for _ in range(2):  # both windows
        got = [s.parts[team.world.rank] for s in made.run([x])]
        for buffer, aval, want in zip(got, graph.out_avals, wanted, strict=True):
            raw = buffer.start_read(aval.nbytes).result()
            mine = np.frombuffer(raw, aval.dtype.np).reshape(aval.shape).astype(np.float64)
            want = want[team.world.rank].astype(np.float64)
            np.testing.assert_allclose(mine, want, rtol=tolerance, atol=tolerance)


def hangs(world: World) -> None:
    """One process never comes."""
    if world.rank == 1:
        world.watchdog.tell("a nap")
        time.sleep(60)
    world.agree("nothing", 1)


def raises(world: World) -> None:
    """One process fails while the other waits for it."""
    if world.rank == 1:
        raise ValueError("a defect of rank 1")
    world.agree("nothing", 1)


def differs(world: World) -> None:
    """One process has another configuration."""
    check_equal(world, {"configuration": world.rank // 2, "version": "1"})


def saves(world: World) -> None:
    """A state in pieces, saved by all, each its own, and read again, each its own; then saved once
    more, and a process dies after it has written its part. Nobody gathers anything."""
    folder = Path(os.environ["FOLDER"])
    config = Config(model=ModelConfig(**MODEL))
    state = _in_pieces(world, config.model)
    RankTeam.gather = None
    saver = Saver(folder, config, tokenizer.load(folder / "tokenizer.json"))
    saver.start(state, TrainingState(1, config, {}, 1))
    saver.wait()
    assert saver.done == 1
    two = replace(config, distributed=DistributedConfig(tp_size=2))
    flat, read = model.flatten(open_run(saver.path())[0].params), count_reads()
    check_own(model.flatten(weights_in_pieces(two, lambda path, at: flat[path][at])), read[0])
    saver.start(state, TrainingState(2, config, {}, 2))
    if world.rank == 1:
        write = joint.write
        joint.write = lambda *args: (write(*args), os.kill(os.getpid(), signal.SIGKILL))
    saver.wait()


MODEL = {"vocab_size": 96, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
MODEL |= {"num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 8}


def weights(config: ModelConfig) -> dict:
    """Weights of which every element is another."""
    shapes, found, at = model.parameter_shapes(config), {}, 0
    for name, shape in shapes.items():
        found[name] = np.arange(at, at + prod(shape), dtype=np.float32).reshape(shape)
        at += prod(shape)
    return model.unflatten(found)


def _in_pieces(world: World, config: ModelConfig) -> dict:
    """Weights as a step leaves them on two devices: matrices cut, norms whole."""
    drive(world, (1, 1, 1, 2))
    params = weights(config)
    lie = SharedLayout({"tp": 2}).specs(config)
    mesh = MeshShape(("dp", "tp"), (1, 2))
    doubled = spmd(lambda p: tree.map(lambda w: w * 2.0, p), mesh, (lie,), lie)
    return {"params": doubled(params), "optimizer": {"count": np.int32(7)}}


def loads(world: World) -> None:
    """Weights of a folder: each process reads its own slices, byte for byte no more."""
    sizes = {"dp_size": 1, "tp_size": 2} if world.size == 2 else {"dp_size": 2, "pp_size": 2}
    fsdp = world.size == 4
    distributed = DistributedConfig(**sizes, fsdp=fsdp)
    folder = open_folder(Path(os.environ["FOLDER"]))
    config = Config(model=folder.model, distributed=distributed)
    d, read = distributed, count_reads()
    drive(world, (d.dp_size, d.pp_size, d.cp_size, d.tp_size))
    params = model.flatten(new_state(config, folder)["params"])
    whole = check_own(params, read[0])
    assert sum(world.comm.allgather(read[0])) >= whole  # everything is somewhere
    wanted = model.flatten(weights(folder.model))
    for name, weight in params.items():
        np.testing.assert_array_equal(np.asarray(weight), wanted[name], name)


def blames(world: World) -> None:
    """A pipeline whose second stage fails: all processes name operation, stage and micro-batch."""
    sizes = {"seq_length": 8, "micro_batch_size": 1, "gradient_accumulation_steps": 2}
    run, mesh = TrainingConfig(**sizes, total_train_steps=4), DistributedConfig(pp_size=2)
    config = Config(model=ModelConfig(**MODEL), training=run, distributed=mesh)
    drive(world, (1, 2, 1, 1))
    step, state = train_step_of(config), new_state(config)
    rows = np.zeros((2, 1, 8), np.int32)
    batch = {"inputs": rows, "targets": rows}
    assert diverge.bad_operation(step, state, batch) is None
    # Memory of the first state went to what came of it.
    params = model.flatten(model.init(config.model, 1))
    params["model.layers.1.mlp.up_proj.weight"] = np.full((16, 24), 3e38, np.float32)
    state = new_state(config) | {"params": model.unflatten(params)}
    told = diverge.bad_operation(step, state, batch)
    assert "invalid value (inf) encountered in dot" in told or "(nan)" in told, told
    assert "in stage 1, micro-batch 0" in told, told


def count_reads() -> list[int]:
    """Bytes of arrays that come from files from now on, in a list of one."""
    read, of_file = [0], TensorFile.read

    def counted(file: TensorFile, name: str, at: tuple | None = None) -> np.ndarray:
        block = of_file(file, name, at)
        read[0] += block.nbytes
        return block

    TensorFile.read = counted
    return read


def check_own(params: dict, read: int) -> int:
    """No more bytes were read than this process holds of the weights; gives those of all."""
    own = sum(b.nbytes for w in params.values() for b in w._buffer.parts.values())
    whole = sum(prod(w.shape) * 4 for w in params.values())
    assert 0 < read <= own < 0.75 * whole, (read, own, whole)
    return whole


def keeps_a_budget(world: World) -> None:
    """A stage for each process: what its allocator gives is what was foreseen of its device, and
    the one that has too little keeps to the budget."""
    drive(world, (1, 2, 1, 1))
    training = TrainingConfig(seq_length=8, micro_batch_size=64, gradient_accumulation_steps=4)
    shape = ModelConfig(**{**MODEL, "vocab_size": 32, "num_hidden_layers": 4})
    config = Config(model=shape, training=training)
    config = replace(config, distributed=DistributedConfig(pp_size=2))
    peak = _checked_peak(config)
    budget = int(0.85 * max(world.comm.allgather(peak)))
    within = _checked_peak(replace(config, training=replace(training, memory_budget=str(budget))))
    assert within <= budget and (within < peak or peak <= budget), (within, peak, budget)


def _checked_peak(config: Config) -> int:
    step, state, pool = train_step_of(config), new_state(config), runtime.default_device().pool
    own = next(r for r in step.rank if step.gradients.is_here(step.rank.index(r)))
    foreseen = peak_of_rank(step, own)
    held = sum(b.nbytes for x in tree.leaves(state) if (b := getattr(x, "_buffer", None)))
    pool.peak_bytes = before = pool.in_use()
    ids = {n: np.zeros(x.shape, np.int32) for n, x in batch_shapes(config).items()}
    for _ in range(2):
        state, _ = step(state, ids)
    given = pool.peak_bytes - before + held
    assert abs(given - foreseen) <= 0.05 * foreseen, (own, given, foreseen)
    return foreseen


_ALL = (collectives, hangs, raises, differs, saves, loads, blames, keeps_a_budget)
CASES = {f.__name__: f for f in _ALL}


if __name__ == "__main__":
    timeout = float(os.environ.get("WATCHDOG", "60"))
    sys.exit(guarded(lambda world: CASES[sys.argv[1]](world) or 0, timeout))
