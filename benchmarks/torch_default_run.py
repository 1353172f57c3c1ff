"""The default run of `picotron train`, by torch: same model, text, settings and number of steps.

    python benchmarks/torch_default_run.py

runs both, prints their validation losses and how far apart they are, and exits with 1 if that is
more than 1 %. `--run outputs/novel` compares with a run that is finished. Weights are torch's own
draws from the same distribution and batches come in an order of its own, so the two differ as two
seeds do; `--same` takes the run's initial weights and order, and leaves rounding alone.
Needs torch and transformers.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import transformers

from picotron import cli, dataset, hf, hf_config, model
from picotron.config import Config
from picotron.presets import PRESETS

MOST = 0.01  # of the loss, between the two


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--preset", choices=PRESETS, default="novel")
    parser.add_argument("--run", type=Path, help="a finished run folder; by default a run is made")
    parser.add_argument("--same", action="store_true", help="the run's own weights and order")
    parser.add_argument("--steps", type=int, help="by default those of the preset")
    asked = parser.parse_args()
    config = PRESETS[asked.preset]
    corpus = dataset.load(config.dataset)
    found = last_validation((asked.run or train_here(asked)) / "log.jsonl")
    config = with_size(config, corpus.tokenizer.vocab_size, asked.steps)
    llama = new_model(config, asked.same)
    order = same_order if asked.same else own_order
    train(llama, corpus, config, order(corpus, config))
    loss = validation_loss(llama, corpus, config)
    apart = found / loss - 1
    print(f"validation loss: picotron {found:.4f}, torch {loss:.4f}, {apart:+.2%} apart")
    return int(abs(apart) > MOST)


def train_here(asked: argparse.Namespace) -> Path:
    """The folder of a run of the preset, in a folder of its own."""
    out = tempfile.mkdtemp()
    words = ["train", "--preset", asked.preset, "--out", out, "--logging.run-name", "run"]
    words += ["--steps", str(asked.steps)] if asked.steps else []
    if cli.main([*words, "--logging.no-plot", "--logging.sample-tokens", "0"]):
        raise SystemExit("picotron train failed")
    return Path(out, "run")


def with_size(config: Config, vocab_size: int, steps: int | None) -> Config:
    training = replace(
        config.training, total_train_steps=steps or config.training.total_train_steps
    )
    return replace(config, model=replace(config.model, vocab_size=vocab_size), training=training)


def new_model(config: Config, same: bool) -> transformers.LlamaForCausalLM:
    """Weights as the trainer draws them, smaller where they lead back into the residual stream."""
    llama = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**hf_config.to_config(config.model))
    )
    depth = math.sqrt(2 * config.model.num_hidden_layers)
    ours = hf.to_tensors(model.init(config.model, config.training.seed)) if same else {}
    torch.manual_seed(config.training.seed)
    with torch.no_grad():
        for name, weight in llama.named_parameters():
            if same:
                weight.copy_(torch.from_numpy(ours[name]))
            elif weight.ndim == 2:
                inwards = name.endswith(("o_proj.weight", "down_proj.weight"))
                weight.normal_(0, config.model.initializer_range / (depth if inwards else 1))
    return llama


def same_order(corpus: dataset.Corpus, config: Config) -> Iterator[dataset.Batch]:
    batches = dataset.batches_of(corpus, config)
    for step in range(config.training.total_train_steps):
        yield {name: rows.reshape(-1, rows.shape[-1]) for name, rows in batches(step).items()}


def own_order(corpus: dataset.Corpus, config: Config) -> Iterator[dataset.Batch]:
    """Windows from anywhere in the text, drawn by torch."""
    training = config.training
    rows = training.micro_batch_size * training.gradient_accumulation_steps
    for _ in range(training.total_train_steps):
        starts = torch.randint(len(corpus.train) - training.seq_length, (rows,)).numpy()
        yield dataset.cut_windows(corpus.train, starts, training.seq_length)


def train(
    llama: torch.nn.Module,
    corpus: dataset.Corpus,
    config: Config,
    batches: Iterator[dataset.Batch],
) -> None:
    training = config.training
    weights = list(llama.parameters())
    groups = [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": training.weight_decay},
        {"params": [w for w in weights if w.ndim < 2], "weight_decay": 0.0},
    ]
    betas = training.adam_beta1, training.adam_beta2
    optimizer = torch.optim.AdamW(groups, betas=betas, eps=training.adam_epsilon)
    for step, batch in enumerate(batches):
        for group in optimizer.param_groups:
            group["lr"] = rate(step, config)
        optimizer.zero_grad()
        loss = loss_of(llama, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, training.max_grad_norm)
        optimizer.step()
        if (step + 1) % config.logging.eval_frequency == 0:
            after = validation_loss(llama, corpus, config)
            print(f"step {step + 1}: validation loss {after:.4f}", flush=True)


def rate(step: int, config: Config) -> float:
    """Linear warm-up, then half a cosine."""
    training = config.training
    peak, floor, warm = training.learning_rate, training.final_learning_rate, training.warmup_steps
    if step < warm:
        return peak * (step + 1) / warm
    progress = (step - warm) / max(training.total_train_steps - warm, 1)
    return floor + (peak - floor) * 0.5 * (1 + math.cos(math.pi * progress))


def loss_of(llama: torch.nn.Module, batch: dataset.Batch) -> torch.Tensor:
    inputs, targets = (torch.from_numpy(batch[n].astype(np.int64)) for n in ("inputs", "targets"))
    return torch.nn.functional.cross_entropy(llama(inputs).logits.flatten(0, 1), targets.flatten())


def validation_loss(llama: torch.nn.Module, corpus: dataset.Corpus, config: Config) -> float:
    with torch.no_grad():
        found = [loss_of(llama, b).item() for b in dataset.validation_batches(corpus, config)]
    return sum(found) / len(found)


def last_validation(log: Path) -> float:
    records = map(json.loads, log.read_text().splitlines())
    return [record["validation_loss"] for record in records if "validation_loss" in record][-1]


if __name__ == "__main__":
    sys.exit(main())
