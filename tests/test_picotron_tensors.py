"""Global arrays in files: any process may write any part, and readers take what they need."""

import json
from dataclasses import dataclass

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given, settings
from hypothesis import strategies as st

from picotron import tensors
from picotron.errors import CheckpointError
from picotron.tensors import Arrays, GlobalArray, Part, TensorFile

RANDOM = np.random.default_rng(0)
MATRIX = RANDOM.standard_normal((8, 6), np.float32)


@dataclass
class Shard:
    """One device's part of an array, as JAX describes it."""

    index: tuple
    data: np.ndarray
    replica_id: int = 0


@dataclass
class Sharded:
    shape: tuple
    addressable_shards: list


def over(array, rows, columns, replicas=1):
    """The array as a mesh of rows x columns x replicas would hold it."""
    height, width = array.shape[0] // rows, array.shape[1] // columns
    spans = [
        (slice(i * height, (i + 1) * height), slice(j * width, (j + 1) * width))
        for i in range(rows)
        for j in range(columns)
    ]
    shards = [Shard(at, array[at], copy) for at in spans for copy in range(replicas)]
    return Sharded(array.shape, shards)


@pytest.mark.parametrize("mesh", [(1, 1, 1), (4, 1, 1), (2, 3, 1), (1, 2, 2)])
@pytest.mark.parametrize("turned", [False, True])
def test_what_one_mesh_writes_another_reads(tmp_path, mesh, turned):
    array = GlobalArray.of(over(MATRIX, *mesh))
    assert sum(part.data.size for part in array.parts) == MATRIX.size, "replicas are written once"
    index = tensors.write(
        tmp_path, "model", {"w": array.transposed() if turned else array}, 1 << 20
    )
    whole = MATRIX.T if turned else MATRIX
    found = Arrays(tmp_path, json.loads(json.dumps(index)))
    assert found.shape("w") == whole.shape
    np.testing.assert_array_equal(found.read("w"), whole)
    for rows in (slice(0, 2), slice(3, 6), slice(5, 6)):
        np.testing.assert_array_equal(found.read("w", (rows, slice(1, 5))), whole[rows, 1:5])
    assert found.read("w", (slice(2, 2),)).shape == (0, whole.shape[1])


def test_ranks_write_files_of_their_own(tmp_path):
    halves = [Part((0, 0), MATRIX[:4]), Part((4, 0), MATRIX[4:])]
    index = tensors.merge(
        tensors.write(tmp_path, f"model-rank{rank}", {"w": GlobalArray((8, 6), (part,))}, 99, False)
        for rank, part in enumerate(halves)
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "model-rank0.safetensors",
        "model-rank1.safetensors",
    ]
    assert safetensors.numpy.load_file(tmp_path / "model-rank1.safetensors").keys() == {
        "w[4:8,0:6]"
    }
    np.testing.assert_array_equal(Arrays(tmp_path, index).read("w"), MATRIX)


def test_only_the_files_that_are_needed_are_opened(tmp_path):
    array = GlobalArray.of(over(MATRIX, 4, 1))
    index = tensors.write(tmp_path, "model", {"w": array}, limit=1)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    (tmp_path / "model-00004-of-00004.safetensors").unlink()
    np.testing.assert_array_equal(Arrays(tmp_path, index).read("w", (slice(0, 4),)), MATRIX[:4])


@pytest.mark.parametrize(
    "dtype", ["float32", "float16", "bfloat16", "int32", "uint32", "bool", "float64", "int8"]
)
@pytest.mark.parametrize("shape", [(), (3,), (0, 2), (2, 3)])
def test_types_and_shapes(tmp_path, dtype, shape):
    kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    value = (RANDOM.standard_normal(shape) * 4).astype(kind)
    index = tensors.write(tmp_path, "x", {"a": GlobalArray.of(value)}, 100)
    for found in (Arrays(tmp_path, index), Arrays(tmp_path, tensors.index_of(tmp_path, "x"))):
        read = found.read("a")
        assert (read.dtype, read.shape) == (value.dtype, value.shape)
        np.testing.assert_array_equal(read, value)


def test_an_index_that_promises_too_much_allocates_nothing(tmp_path):
    index = tensors.write(tmp_path, "x", {"a": GlobalArray.of(MATRIX)}, 1000)
    index["a"]["shape"] = (1 << 40, 6)
    with pytest.raises(CheckpointError, match="holds 48 of the 6597069766656 elements of a"):
        Arrays(tmp_path, index).read("a")
    index["a"]["parts"][0]["file"] = "../x.safetensors"
    with pytest.raises(CheckpointError, match="is no name of a file"):
        Arrays(tmp_path, index).read("a")


@pytest.mark.parametrize("file", ["../../etc/passwd", "/etc/passwd", ".hidden", "a/b", "..", ""])
def test_an_index_leads_nowhere_else(tmp_path, file):
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": file}}))
    with pytest.raises(CheckpointError, match="is no name of a file in a checkpoint"):
        tensors.index_of(tmp_path, "model")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_files_are_named_and_nothing_else_happens(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    path = folder / "x.safetensors"
    tensors.write(folder, "x", {"a": GlobalArray.of(MATRIX), "b": GlobalArray.of(MATRIX[0])}, 1000)
    good = path.read_bytes()
    length = int.from_bytes(good[:8], "little")
    at = data.draw(st.integers(0, length + 7))
    change = data.draw(st.sampled_from(["flip", "cut", "insert"]))
    byte = bytes([data.draw(st.integers(0, 255))])
    path.write_bytes(
        good[:at]
        + {"flip": byte, "cut": b"", "insert": byte + good[at : at + 1]}[change]
        + good[at + 1 :]
    )
    try:
        file = TensorFile(path)
        for name in file:
            assert file.read(name).shape == file.shape(name)
    except CheckpointError as error:
        assert str(path) in str(error)
