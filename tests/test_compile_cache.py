"""The cache on disk: what hits, what misses, and that no damage to it is an error."""

import json
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

from codegen.compile import compile_graph
from codegen.profile import PROFILES
from ir.fingerprint import fingerprint
from picotron import cli, doctor
from runtime import programs
from runtime import store as store_module
from runtime.store import Store
from tracer import debug, graph_of, jit, kept, lax
from tracer import numpy as jnp

PROFILE = PROFILES["webgpu-default"]
X = np.ones((4, 8), np.float32)


@pytest.fixture
def store(tmp_path, monkeypatch):
    """The store of this process, empty; every compile is worth keeping."""
    made = Store(tmp_path / "programs")
    monkeypatch.setattr(programs, "default_store", lambda: made)
    monkeypatch.setattr(store_module, "default_store", lambda: made)
    monkeypatch.setattr(doctor, "default_store", lambda: made)
    monkeypatch.setattr(programs, "WORTH_KEEPING_S", 0)
    return made


@pytest.fixture
def compiles(monkeypatch):
    """One entry for each compile."""
    seen = []

    def counted(*args, **kwargs):
        seen.append(args)
        return compile_graph(*args, **kwargs)

    monkeypatch.setattr(programs, "compile_anew", counted)
    return seen


def graph(fun=lambda x: jnp.sum(jnp.sin(x) * 2.0, axis=1)):
    return graph_of(fun)(X)


# --- the store ----------------------------------------------------------------------------------


def test_what_is_put_is_got(store):
    assert store.get("one") is None
    assert store.put("one", b"bytes" * 1000)
    assert store.get("one") == b"bytes" * 1000
    assert store.clear() == 1 and store.get("one") is None and store.entries() == []


DAMAGE = {
    "cut short": lambda data: data[: len(data) // 2],
    "a bit": lambda data: data[:-3] + bytes([data[-3] ^ 1]) + data[-2:],
    "empty": lambda data: b"",
    "no digest": lambda data: b"x" * 80,
    "digest of other bytes": lambda data: data.split(b"\n")[0] + b"\n" + b"not what was written",
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_entry_is_a_miss_and_goes(store, name):
    store.put("one", b"bytes" * 100)
    (path, _, _), *_ = store.entries()
    path.write_bytes(DAMAGE[name](path.read_bytes()))
    assert store.get("one") is None
    assert store.entries() == []


def test_a_folder_that_cannot_be_used_is_no_error(tmp_path):
    (tmp_path / "file").write_text("in the way")
    broken = Store(tmp_path / "file")
    assert broken.get("one") is None and not broken.put("one", b"x")
    assert broken.entries() == [] and broken.clear() == 0
    (tmp_path / "programs" / "one.entry").mkdir(parents=True)  # a folder where a file should be
    odd = Store(tmp_path / "programs")
    assert odd.get("one") is None and not odd.put("one", b"x")


def test_what_was_not_used_for_longest_goes_first(tmp_path):
    small = Store(tmp_path, limit=3000)
    for at, key in enumerate("abc"):
        small.put(key, np.random.default_rng(at).bytes(800))
        os.utime(tmp_path / f"{key}.entry", (at, at))
    assert small.get("a") is not None  # which is a use
    small.put("d", np.random.default_rng(9).bytes(800))
    assert [key for key in "abcd" if small.get(key)] == ["a", "c", "d"]


def test_many_writers_of_one_key_leave_one_whole_entry(store):
    contents = [bytes([n]) * 5000 for n in range(8)]
    writers = [threading.Thread(target=store.put, args=("one", c)) for c in contents * 4]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert store.get("one") in contents and len(store.entries()) == 1


# --- programs -----------------------------------------------------------------------------------


def test_a_program_is_compiled_once(store, compiles):
    first = programs.program_of(graph(), PROFILE, (), "main")
    assert programs.program_of(graph(), PROFILE, (), "main") == first
    assert len(compiles) == 1
    store.clear()
    assert programs.program_of(graph(), PROFILE, (), "main") == first
    assert len(compiles) == 2


OTHERS = {
    "a constant": lambda: (graph(lambda x: jnp.sum(jnp.sin(x) * 3.0, axis=1)), PROFILE, ()),
    "an axis": lambda: (graph(lambda x: jnp.sum(jnp.sin(x) * 2.0, axis=0)), PROFILE, ()),
    "a line": lambda: (graph(lambda x: jnp.sum(jnp.sin(x) * 2.0, axis=1)), PROFILE, ()),
    "the profile": lambda: (graph(), PROFILES["lavapipe"], ()),
    "a donation": lambda: (graph_of(lambda x: x + 1.0)(X), PROFILE, ((0, 0),)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_another_program_is_another_entry(store, compiles, name):
    programs.program_of(graph(), PROFILE, (), "main")
    programs.program_of(graph_of(lambda x: x + 1.0)(X), PROFILE, (), "main")
    wanted, profile, donate = OTHERS[name]()
    found = programs.program_of(wanted, profile, donate, "main")
    assert len(compiles) == 3 and found == compile_graph(wanted, profile, donate, "main")


def test_a_change_of_the_source_is_a_miss(store, compiles, tmp_path, monkeypatch):
    (tmp_path / "ir").mkdir()
    (tmp_path / "codegen").mkdir()
    for place in ("ir/a.py", "codegen/b.py"):
        (tmp_path / place).write_text("x = 1\n")
    monkeypatch.setattr(programs, "_ROOT", tmp_path)
    for change in (lambda: None, lambda: (tmp_path / "codegen/b.py").write_text("x = 2\n")):
        change()
        programs.source_digest.cache_clear()
        programs.program_of(graph(), PROFILE, (), "main")
        programs.program_of(graph(), PROFILE, (), "main")
    assert len(compiles) == 2
    for path in tmp_path.rglob("*.py"):
        path.unlink()
    programs.source_digest.cache_clear()
    assert programs.source_digest("ir", "codegen") is None
    programs.source_digest.cache_clear()


def test_a_memory_budget_is_part_of_the_key(store, compiles):
    wanted = graph()
    first = programs.program_of(wanted, PROFILE, (), "main")
    roomy = programs.program_of(wanted, PROFILE, (), "main", memory_budget=first.peak_bytes * 2)
    assert roomy == first and len(compiles) == 2
    programs.program_of(wanted, PROFILE, (), "main", memory_budget=first.peak_bytes * 2)
    assert len(compiles) == 2


def test_only_what_takes_long_is_kept(store, monkeypatch):
    monkeypatch.setattr(programs, "WORTH_KEEPING_S", 3600)
    programs.program_of(graph(), PROFILE, (), "main")
    assert store.entries() == []


def test_loops_and_nested_graphs_have_fingerprints_and_callbacks_have_none():
    def loop(x):
        return lax.fori_loop(0, 3, lambda i, y: jnp.sin(y) * 0.5, x)

    assert fingerprint(graph(loop)) == fingerprint(graph(loop))
    assert fingerprint(graph(loop)) != fingerprint(graph())
    told = graph(lambda x: (debug.print("{}", x), x + 1.0)[1])
    assert fingerprint(told) is None


# --- traces -------------------------------------------------------------------------------------


def traced(by, scale=2.0, calls=None):
    """The graph of a function that says what determines it; `calls` records its traces."""

    def step(x):
        if calls is not None:
            calls.append(by)
        return jnp.sum(x * scale) + jnp.asarray(np.arange(8, dtype=np.float32))

    return jit(kept.determined(step, *by)).lower(X).graph


def test_a_function_that_says_what_determines_it_is_traced_once(store):
    calls = []
    first = traced((1,), calls=calls)
    assert traced((1,), calls=calls).key() == first.key() and calls == [(1,)]
    assert traced((2,), 3.0, calls).key() != first.key() and calls == [(1,), (2,)]


def test_constants_and_results_are_those_of_a_fresh_trace(store):
    def step(x):
        return {"sum": jnp.sum(x) + jnp.asarray(np.float32([1.0, 2.0])), "same": (x, 3.0)}

    def ran():
        return jit(kept.determined(step, "results"))(X)

    fresh = ran()
    assert store.entries()
    again = ran()
    assert list(again) == list(fresh) and again["same"][1].weak_type == fresh["same"][1].weak_type
    np.testing.assert_array_equal(np.asarray(again["sum"]), np.asarray(fresh["sum"]))
    np.testing.assert_array_equal(np.asarray(again["same"][0]), X)


def test_types_settings_and_source_are_part_of_the_key(store, monkeypatch):
    from tracer import debug_key_reuse

    def key(source="s"):
        lowered = jit(kept.determined(lambda x: x, 1)).lower(X)
        return kept.key_of(lowered._jitted._fun, lowered._signature, source)

    plain = key()
    assert key("t") != plain and key() == plain
    with debug_key_reuse(True):
        assert key() != plain
    assert key(None) is None


def test_an_entry_that_would_do_something_is_not_read(store):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(store.folder / "made"),)

    for number, data in enumerate((pickle.dumps(Evil()), b"no pickle", b"")):
        store.put(str(number), data)
        assert kept.load(store, str(number)) is None
    assert not (store.folder / "made").exists()


def test_what_calls_the_host_is_not_kept(store):
    def step(x):
        debug.print("{}", x)
        return x + 1.0

    jit(kept.determined(step, 1)).lower(X)
    assert store.entries() == []


# --- processes ----------------------------------------------------------------------------------


def test_a_second_process_finds_trace_and_program(tmp_path):
    shapes = {"V": 32, "H": 16, "NH": 2, "NKV": 1, "L": 1, "I": 32, "S": 8, "B": 2}
    (tmp_path / "tiny.json").write_text(json.dumps(shapes))
    script = (
        "import importlib, sys\n"
        "p, j = map(importlib.import_module, ('runtime.programs', 'tracer.jit'))\n"
        "p.WORTH_KEEPING_S = 0\n"
        "def told(name, f):\n"
        "    return lambda *a, **k: (print(name), f(*a, **k))[1]\n"
        "p.compile_anew = told('compiled', p.compile_anew)\n"
        "j.trace = told('traced', j.trace)\n"
        "from picotron import bench_compile\n"
        "import json, time\n"
        "order = {'shapes': json.load(open(sys.argv[1])), 'adapter': None}\n"
        "bench_compile.stages({**order, 'profile': 'webgpu-default', 'started': time.time()})\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "tiny.json")]
    environment = {**os.environ, "PICOTRON_CACHE": str(tmp_path / "cache")}

    def start():
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)

    both = [start(), start()]  # two at once: what one has put there, the other may find
    told = [process.communicate(timeout=120)[0].split() for process in both]
    assert not any(process.returncode for process in both)
    assert {word for words in told for word in words} == {"traced", "compiled"}
    third = start()
    assert third.communicate(timeout=120)[0] == "" and third.returncode == 0


def test_bench_compile_tells_both_starts(tmp_path, capsys):
    shapes = {"V": 32, "H": 16, "NH": 2, "NKV": 1, "L": 1, "I": 32, "S": 8, "B": 2}
    (tmp_path / "tiny.json").write_text(json.dumps(shapes))
    options = ["--config", str(tmp_path / "tiny.json"), "--profile", "webgpu-default"]
    assert cli.main(["bench", "compile", *options]) == 0
    cold, cached = capsys.readouterr().out.splitlines()
    assert cold.split()[0] == "cold" and cached.split()[:2] == ["from", "cache"]
    assert all(stage in cold for stage in ("import", "trace", "compile", "together"))
    assert cli.main(["bench", "compile", "--profile", "none"]) != 0
    assert "there is no profile 'none'" in capsys.readouterr().err


def test_doctor_shows_and_clears_the_cache(store, capsys):
    store.put("one", b"x")
    check = doctor._check_programs()
    assert check.found.startswith("1 entries") and "--clear-cache" in check.found
    assert cli.main(["doctor", "--clear-cache"]) == 0
    assert "dropped 1 entries" in capsys.readouterr().out and store.entries() == []
