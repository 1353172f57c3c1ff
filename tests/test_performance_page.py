"""docs/performance.md says what was measured: its tables are what their generator writes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def generator():
    spec = importlib.util.spec_from_file_location("performance", ROOT / "docs" / "performance.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date():
    module = generator()
    assert module.PAGE.read_text() == module.page(), "run python docs/performance.py"


def test_a_table_holds_the_numbers_of_its_file(tmp_path, monkeypatch):
    module = generator()
    case = dict(case="8x8x8", ms=0.5, device_ms=0.4, tflops=1.25, gbytes_s=20.0, error=1e-7)
    case |= dict(share_of_roof=0.5, peer_ms=0.25, ratio=0.5, ratio_least=0.4, ratio_most=0.6)
    result = dict(family="gemm", dtype="float32", adapter="chip", cases=[case])
    result |= dict(peer=dict(name="torch", version="2", device="card"))
    result |= dict(roof=dict(flops=2.5e12, nbytes=1e12, source="label"))
    (tmp_path / "machine").mkdir()
    (tmp_path / "machine" / "gemm.json").write_text(json.dumps(result))
    monkeypatch.setattr(module, "MEASURED", tmp_path)
    lines = module.kernels("gemm").splitlines()
    assert lines[0].startswith("gemm, float32, chip against torch 2 on card; roof 2.5 TF/s")
    row = "| 8x8x8 | 0.5 | 0.4 | 1.25 | 20 | 0.50 | 1.0e-07 | 0.25 | 0.50 (0.40-0.60) |"
    assert lines[-1] == row
    assert module.decode().count("\n") == module.step().count("\n") == 2  # heads alone
