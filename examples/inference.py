"""Generate text with a model of random weights: python examples/inference.py"""

from report import show_device, show_generation, show_model, show_predictions

from picotron import model
from picotron.config import ModelConfig
from picotron.prepare import on_device
from picotron.tokenizer import CharTokenizer

PROMPTS = (
    "Hello world",
    "The quick brown fox",
    "Rust is awesome",
    "Machine learning",
    "WebGPU rocks",
)
config = ModelConfig(
    vocab_size=100,
    hidden_size=128,
    num_attention_heads=4,
    num_key_value_heads=4,
    num_hidden_layers=2,
    max_position_embeddings=50,
)

print("🚀 PicoTron WebGPU Inference Example")
print("=====================================")
show_model(config)
print("✅ Configuration validated successfully")
print(f"🔤 Tokenizer created with {CharTokenizer().vocab_size} tokens")
print("🧠 Creating model with random weights...")
params = on_device(model.init(config, seed=0))
print("✅ Model created successfully")
show_device()

print("\n🎯 Generating text with random model:")
print("=====================================")
show_generation(config, params, PROMPTS, max_length=20, temperature=1.0)

print("\n🧮 Testing forward pass:")
print("========================")
show_predictions(config, params)

print("\n🎉 Inference example completed successfully!")
print("💡 Note: This model uses random weights, so the output is gibberish.")
print("   In a real scenario, you would load pre-trained weights.")
