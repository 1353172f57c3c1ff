"""Loss curves of one run on several meshes: one device, virtual ones, and one process for each.

Invariant: all runs have the same seed, the same text and the same batches; what differs is where
their values lie. `python benchmarks/curves.py` prints, for each mesh, the largest difference of a
loss from that of one device, and ends with status 1 if one exceeds 1e-4 or if first weights differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from picotron import launch
from picotron.config import Config, DistributedConfig, ModelConfig
from picotron.model import flatten
from picotron.prepare import new_state

ROOT = Path(__file__).resolve().parent.parent
MESHES = {  # name -> (sizes, how its devices are driven)
    "one device": ({}, "virtual"),
    "dp=2,tp=2": ({"dp": 2, "tp": 2}, "virtual"),
    "pp=2,cp=2": ({"pp": 2, "cp": 2}, "virtual"),
    "dp=2,tp=2 by mpirun -n 4": ({"dp": 2, "tp": 2}, "mpi"),
}
MODEL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2,
         "num_attention_heads": 4, "num_key_value_heads": 2}  # fmt: skip
ROWS, MICROS, LENGTH, TOLERANCE = 4, 2, 32, 1e-4


def losses(sizes: dict[str, int], launcher: str, steps: int, folder: Path) -> list[float]:
    """The loss of each step, as a run of the command itself logs it."""
    flags = {
        "preset": "tiny",
        "steps": steps,
        "mbs": ROWS // sizes.get("dp", 1),
        "grad-acc-steps": MICROS,
        "seq-len": LENGTH,
        "max-restarts": 0,
        "out": folder,
        "distributed.launcher": launcher,
        "logging.log-frequency": 1,
        "logging.sample-tokens": 0,
        "logging.eval-batches": 1,
        **sizes,
        **{f"model.{name.replace('_', '-')}": value for name, value in MODEL.items()},
    }
    command = [sys.executable, "-m", "picotron", "train", "--logging.no-plot"]
    command += [text for name, value in flags.items() for text in (f"--{name}", str(value))]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    lines = (folder / "tiny" / "log.jsonl").read_text().splitlines()
    return [r["loss"] for r in map(json.loads, lines) if "grad_norm" in r]


def first_weights(sizes: dict[str, int]) -> str:
    """A hash of the weights before the first step of a run on this mesh."""
    distributed = DistributedConfig(**{f"{axis}_size": n for axis, n in sizes.items()})
    config = Config(distributed=distributed, model=ModelConfig(vocab_size=64, **MODEL))
    weights = flatten(new_state(config)["params"])
    return hashlib.sha256(b"".join(np.asarray(w).tobytes() for w in weights.values())).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=50, help="how many steps of each run")
    steps = parser.parse_args().steps
    worst, curves, first = 0.0, {}, set()
    for name, (sizes, launcher) in MESHES.items():
        if launcher == "mpi" and launch.mpirun() is None:
            print(f"{name:26} MPI is not installed")
            continue
        with tempfile.TemporaryDirectory() as folder:
            curves[name] = np.array(losses(sizes, launcher, steps, Path(folder)))
        first.add(first_weights(sizes))
        found = float(np.abs(curves[name] - curves["one device"]).max())
        worst = max(worst, found)
        ends = f"loss {curves[name][0]:.6f} to {curves[name][-1]:.6f}"
        print(f"{name:26} {len(curves[name])} steps, {ends}, largest difference {found:.2e}")
    print(f"largest difference {worst:.2e} (goal: at most {TOLERANCE:g})")
    print("first weights are equal bit by bit" if len(first) == 1 else "first weights DIFFER")
    return int(worst > TOLERANCE or len(first) > 1)


if __name__ == "__main__":
    sys.exit(main())
