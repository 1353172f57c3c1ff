"""Fine-tune a Hugging Face LLaMA and hand the result back as a folder that transformers loads.

    python examples/finetune.py                                  a tiny folder of random weights
    python examples/finetune.py --model SmolLM-135M --data notes.txt --out notes-lm

The same by verbs: picotron eval, train --init-from, eval, export and generate.
"""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file

import picotron
from picotron import PicoTronConfig
from picotron.export import export
from picotron.pretrained import open_folder
from picotron.tokenizer import CharTokenizer

LAYERS, WIDTH, INNER, HEADS, KEY_HEADS = 2, 64, 128, 4, 2
TEXT = "the cat sat on the mat, and the dog sat on the cat. "


def random_folder(folder: Path) -> Path:
    """What `save_pretrained` writes for a LLaMA, with normal weights and characters as tokens."""
    folder.mkdir(parents=True)
    tokenizer = CharTokenizer()
    tokenizer.save(folder / "tokenizer.json")
    config = {
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
        "vocab_size": tokenizer.vocab_size, "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS,
        "num_key_value_heads": KEY_HEADS, "max_position_embeddings": 64, "rope_theta": 10000.0,
        "rms_norm_eps": 1e-5, "tie_word_embeddings": True, "torch_dtype": "float32",
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    key_width = WIDTH * KEY_HEADS // HEADS
    shapes = {"model.embed_tokens.weight": (tokenizer.vocab_size, WIDTH)}
    for layer in (f"model.layers.{n}." for n in range(LAYERS)):
        shapes |= {layer + f"self_attn.{n}_proj.weight": (WIDTH, WIDTH) for n in "qo"}
        shapes |= {layer + f"self_attn.{n}_proj.weight": (key_width, WIDTH) for n in "kv"}
        shapes |= {layer + f"mlp.{n}_proj.weight": (INNER, WIDTH) for n in ("gate", "up")}
        shapes[layer + "mlp.down_proj.weight"] = WIDTH, INNER
    draw = np.random.default_rng(0)
    weights = {n: 0.05 * draw.standard_normal(s, np.float32) for n, s in shapes.items()}
    norms = [f"model.layers.{n}.{w}" for n in range(LAYERS)
             for w in ("input_layernorm", "post_attention_layernorm")]  # fmt: skip
    weights |= {f"{name}.weight": np.ones(WIDTH, np.float32) for name in [*norms, "model.norm"]}
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


def settings(source: Path, data: str, out: Path, steps: int, rate: float) -> PicoTronConfig:
    """A run of the folder's model: its shape, its weights, its tokenizer."""
    run = PicoTronConfig.default().starting_from(source)
    return replace(
        run,
        dataset=replace(run.dataset, path=data),
        training=replace(
            run.training, total_train_steps=steps, learning_rate=rate, warmup_steps=steps // 10
        ),
        checkpoint=replace(run.checkpoint, save_dir=str(out)),
        logging=replace(run.logging, run_name="run", log_frequency=max(1, steps // 5)),
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, help="a folder of Hugging Face's")
    parser.add_argument("--data", help="a text")
    parser.add_argument("--out", type=Path, default=Path("finetuned"), help="a new folder")
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, help="learning rate; 1e-4, or 1e-2 of random weights")
    parser.add_argument("--prompt", default="the cat ")
    args = parser.parse_args()
    args.out.mkdir(parents=True)
    source = args.model or random_folder(args.out / "random")
    if args.data is None:
        args.data = str(args.out / "text.txt")
        Path(args.data).write_text(TEXT * 100)
    rate = args.rate or (1e-4 if args.model else 1e-2)

    print(f"before: {picotron.generate(source, args.prompt, 40, temperature=0.0)!r}")
    trainer = picotron.Trainer(settings(source, args.data, args.out, args.steps, rate))
    trainer.validate()
    trainer.run()  # which validates at the end

    result = args.out / "exported"
    files = export(open_folder(trainer.folder), result, dtype=None, limit=5 * 10**9)
    print(f"{result}: {', '.join(path.name for path in files)}")
    print(f"after: {picotron.generate(result, args.prompt, 40, temperature=0.0)!r}")
    print(f"transformers.AutoModelForCausalLM.from_pretrained({str(result)!r}) loads it")


if __name__ == "__main__":
    main()
