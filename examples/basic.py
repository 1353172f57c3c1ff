"""Open the device, check a configuration and write it: python examples/basic.py"""

import json
from importlib.metadata import version
from pathlib import Path

import runtime
from picotron import config_file
from picotron.config import Config
from picotron.validate import check

config = check(Config())
info = runtime.default_device().info
print(f"PicoTron WebGPU Version: {version('picotron-webgpu')}")
print(f"GPU Device: {info.name}")
print(f"Backend: {info.backend}")
print(f"Device Type: {info.kind}")
print("Configuration validated successfully")
print(f"Model: {config.logging.run_name}")
print(f"Hidden Size: {config.model.hidden_size}")
print(f"Attention Heads: {config.model.num_attention_heads}")
print(f"Hidden Layers: {config.model.num_hidden_layers}")
Path("config.json").write_text(json.dumps(config_file.to_dict(config), indent=2) + "\n")
print("Configuration saved to config.json")
