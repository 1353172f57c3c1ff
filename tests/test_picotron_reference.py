"""The reference train step gives the recorded losses of a float64 implementation."""

import json

import numpy as np
import pytest

from picotron import bench, reference
from picotron.errors import ConfigError
from picotron.model import flatten

RECORDED = {
    "small": (
        4.258062318390943,
        (
            6.081109299870925,
            5.106845400019525,
            4.370275884313374,
            3.7823779559846984,
            3.267641663842509,
            2.818687832674092,
        ),
    ),
    "large": (
        5.778681835640756,
        (
            6.023671851176477,
            5.1629212019908834,
            4.65516207977238,
            3.9674350359719988,
            2.7851107811669653,
            2.0786989416477146,
        ),
    ),
}


def test_weights_and_tokens_are_the_recorded_ones():
    params, batch = flatten(reference.weights(reference.SMALL)), reference.batch(reference.SMALL)
    assert reference.hashed(7777, 3).dtype == np.uint32
    # lowbias32(12345), in plain integers
    x = 12345
    x = (x ^ x >> 16) * 0x7FEB352D % 2**32
    x = (x ^ x >> 15) * 0x846CA68B % 2**32
    assert int(reference.hashed(0, 1)[0]) == x ^ x >> 16
    embedding = params["model.embed_tokens.weight"]
    assert embedding.std() == pytest.approx(0.02, rel=0.01)
    assert params["lm_head.weight"].std() == pytest.approx(128**-0.5, rel=0.01)
    np.testing.assert_array_equal(batch["inputs"][0, :, 1:], batch["targets"][0, :, :-1])
    assert (batch["inputs"].min(), batch["inputs"].max()) == (0, 255)


@pytest.mark.device
@pytest.mark.parametrize("name", ["small", pytest.param("large", marks=pytest.mark.slow)])
def test_losses_follow_the_record(name):
    norm, losses = RECORDED[name]
    shapes = {"small": reference.SMALL, "large": reference.LARGE}[name]
    result = bench.run_step(shapes, steps=6)
    np.testing.assert_allclose(result["losses"], losses, rtol=1e-4)
    assert result["grad_norm_step0"] == pytest.approx(norm, rel=1e-4)
    assert result["tok_s"] == pytest.approx(shapes.B * shapes.S / result["ms"] * 1e3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"NH": 3}, "hidden_size 128 must be divisible by model.num_attention_heads 3"),
        ({"V": 0}, "V must be a positive integer, not 0"),
        ({"B": 1.5}, "B must be a positive integer, not 1.5"),
        ({"X": 1}, "unknown key 'X'"),
        ({"V": None}, "V must be a positive integer"),
    ],
)
def test_shapes_are_checked(tmp_path, change, message):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"name": "small", **vars(reference.SMALL), **change}))
    with pytest.raises(ConfigError) as caught:
        bench.read_shapes(path)
    assert message in str(caught.value)


def test_shapes_files(tmp_path):
    path = tmp_path / "shapes.json"
    path.write_text(json.dumps({"name": "large", **vars(reference.LARGE)}))
    assert bench.read_shapes(path) == reference.LARGE
    path.write_text('{"V": 1}')
    with pytest.raises(ConfigError, match="7 problems"):
        bench.read_shapes(path)
    path.write_text("[]")
    with pytest.raises(ConfigError, match="must hold an object"):
        bench.read_shapes(path)
    with pytest.raises(ConfigError, match="cannot read the shapes file"):
        bench.read_shapes(tmp_path / "none.json")
