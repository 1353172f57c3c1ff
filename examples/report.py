"""What the three introductory examples print in common."""

import numpy as np

import runtime
from picotron import model
from picotron.generator import Generator
from picotron.tokenizer import CharTokenizer
from tracer import jit, nn


def show_model(config):
    print("📊 Model Configuration:")
    print(f"  - Vocabulary Size: {config.vocab_size}")
    print(f"  - Hidden Size: {config.hidden_size}")
    print(f"  - Attention Heads: {config.num_attention_heads}")
    print(f"  - Hidden Layers: {config.num_hidden_layers}")
    print(f"  - Max Position: {config.max_position_embeddings}")


def show_device():
    info = runtime.default_device().info
    print(f"🖥️  GPU Device: {info.name}")
    print(f"🔧 Backend: {info.backend}")


def show_generation(config, params, prompts, max_length, temperature):
    """Each prompt continued to `max_length` tokens, the prompt among them."""
    tokenizer = CharTokenizer()
    generator = Generator(config, params, tokenizer)
    for number, prompt in enumerate(prompts, 1):
        ids = tokenizer.encode(prompt, start=True).tolist()
        room = max(0, max_length - len(ids))
        text = prompt + "".join(generator.stream(prompt, room, temperature, seed=number))
        print(f'\n📝 Prompt {number}: "{prompt}"')
        print(f"🔢 Input tokens: {ids}")
        print(f"🎲 Generated tokens: {tokenizer.encode(text, start=True).tolist()}")
        print(f'📖 Generated text: "{text}"')
        print(f"📊 Generated {len(text) - len(prompt)} new tokens")


def show_predictions(config, params, tokens=(1, 5, 10, 15, 20)):
    """The five likeliest tokens after `tokens`."""
    tokenizer = CharTokenizer()
    logits = jit(lambda p, t: nn.softmax(model.forward(p, t, config)[0, -1]))
    probabilities = np.asarray(logits(params, np.array([tokens], np.int32)))
    print(f"📊 Input tokens: {list(tokens)}")
    print(f"🎯 Output logits shape: {len(probabilities)}")
    print("🏆 Top 5 predictions:")
    for rank, token in enumerate(np.argsort(-probabilities)[:5], 1):
        shown = tokenizer.decode([token]) if token < tokenizer.vocab_size else ""
        print(f'  {rank}. Token {token} ("{shown}"): {probabilities[token]:.4f}')
