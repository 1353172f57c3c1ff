"""Train on a mesh of four axes, data x pipeline x context x tensor, without having the devices.

    python examples/four_d.py                          2 x 2 x 2 x 2: sixteen devices
    python examples/four_d.py --dp 4 --pp 1 --steps 5

All devices are virtual: one adapter runs the programs of all of them, collectives included. The
same step trains on one device, and losses and weights must come out equal. For a run it is
`picotron train --dp 2 --tp 2`, with a process for each device where MPI is installed.
"""

import argparse
import dataclasses

import numpy as np

from picotron import model, optim
from picotron.config import Config, DistributedConfig, ModelConfig, TrainingConfig
from picotron.parallel import step_of
from picotron.prepare import train_step_of
from picotron.step import initial_state
from picotron.validate import check
from tracer import tree

MICRO_BATCHES, ROWS, LENGTH = 2, 4, 16  # of a step; sequences of a micro-batch; tokens of each

parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
for axis in ("dp", "pp", "cp", "tp"):
    parser.add_argument(f"--{axis}", type=int, default=2)
parser.add_argument("--steps", type=int, default=3)
args = parser.parse_args()

tiny = ModelConfig(
    vocab_size=64,
    hidden_size=32,
    intermediate_size=48,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=LENGTH,
)


def run_config(distributed):
    """The same run, whatever it is cut into."""
    training = TrainingConfig(
        seq_length=LENGTH,
        micro_batch_size=ROWS // distributed.dp_size,
        gradient_accumulation_steps=MICRO_BATCHES,
        total_train_steps=args.steps,
        warmup_steps=0,
    )
    return check(Config(distributed=distributed, model=tiny, training=training))


def train(step, config):
    """(losses, weights by name) after `args.steps` steps from the same weights and data."""
    optimizer, _ = optim.from_config(config.training)
    params = model.init(tiny, seed=0)
    state = tree.map(np.array, initial_state(params, optimizer.init(params), config))
    draw, losses = np.random.default_rng(0), []
    for _ in range(args.steps):
        tokens = draw.integers(0, 64, (MICRO_BATCHES, ROWS, LENGTH + 1)).astype(np.int32)
        batch = {"inputs": tokens[..., :-1].copy(), "targets": tokens[..., 1:].copy()}
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    return losses, model.flatten(tree.map(np.asarray, state["params"]))


def main():
    sizes = {axis: getattr(args, axis) for axis in ("dp", "pp", "cp", "tp")}
    mesh = run_config(DistributedConfig(**{f"{axis}_size": n for axis, n in sizes.items()}))
    alone = dataclasses.replace(mesh, distributed=DistributedConfig())
    alone = run_config(alone.distributed)
    print(f"{mesh.distributed.world_size} virtual devices: {sizes}")

    cut = step_of(mesh)
    losses, weights = train(cut, mesh)
    wanted, reference = train(train_step_of(alone), alone)
    for n, (one, many) in enumerate(zip(wanted, losses, strict=True), 1):
        print(f"step {n}  one device {one:.6f}  mesh {many:.6f}")
    apart = max(np.abs(weights[name] - reference[name]).max() for name in reference)
    print(f"weights differ by at most {apart:.1e} afterwards")

    print("collectives of a step: times and bytes, of the device that sends most")
    for axes, kinds in cut.traffic().items():
        for kind, (count, nbytes) in kinds.items():
            print(f"  {axes:8} {kind:14} {count:4} x {nbytes:10,} bytes")


if __name__ == "__main__":
    main()
