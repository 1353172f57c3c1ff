"""Waits that a driver imposes: they are told of, and signals end them all the same."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time

import pytest

from picotron import cli, supervisor
from picotron.commands.doctor import Doctor
from picotron.heartbeat import first_told, telling
from picotron.report import Clock

# Holds the main thread as a driver does that compiles: natively, deaf to signals.
BLOCKED = """
import hashlib, os
from picotron import interrupt as module
from picotron.interrupt import Interrupt, prompt_end
module._PATIENCE_S = {patience}
with {context} as interrupt:
    print("ready", flush=True)
    hashlib.pbkdf2_hmac("sha256", b"", b"", {rounds})
print(interrupt.signal, flush=True)
"""


def blocked(context: str, rounds: int, patience: float = 1.0) -> subprocess.Popen:
    text = BLOCKED.format(context=context, rounds=rounds, patience=patience)
    process = subprocess.Popen(
        [sys.executable, "-c", text],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    time.sleep(0.2)  # from the line to the native call
    return process


def test_a_second_signal_ends_a_program_whose_main_thread_is_held():
    process = blocked("Interrupt(lambda text: print(text, flush=True))", 2_000_000_000)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline().startswith("stopping after the step under way; a second")
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (143, "", "")


def test_the_first_signal_ends_a_command_with_nothing_to_save():
    process = blocked("prompt_end()", 2_000_000_000)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=20)
    assert (process.returncode, output, errors) == (130, "", "")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_trainer_that_was_told_to_end_is_not_started_again(number, monkeypatch):
    monkeypatch.setattr(supervisor, "_attempt", lambda *_: (-number, None))
    assert supervisor.supervise(["train"], 3) == 128 + number


def test_an_interrupted_import_leaves_no_stack_trace():
    """optree says so when a Ctrl-C comes while it is initialised."""

    def run(self):
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt as cause:
            raise ImportError("initialization failed") from cause

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Doctor, "run", run)
        assert cli.main(["doctor"]) == 130


def test_a_step_that_ends_in_time_has_the_signal_and_no_message():
    begin = time.perf_counter()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 200_000)
    a_second_and_a_half = int(200_000 * 1.5 / (time.perf_counter() - begin))
    process = blocked("Interrupt(print)", a_second_and_a_half, patience=30.0)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output, errors) == (0, f"{signal.SIGINT:d}\n", "")


def test_a_long_wait_is_told_and_a_short_one_is_not():
    told: list[str] = []
    with telling(told.append, "compiling", first=0.05, every=0.05):
        hashlib.pbkdf2_hmac("sha256", b"", b"", 1)
        time.sleep(0.25)
    assert len(told) >= 2
    assert told[0] == "still compiling: 0 s so far"
    count = len(told)
    time.sleep(0.1)
    assert len(told) == count
    with pytest.raises(KeyError), telling(told.append, "compiling"):
        raise KeyError
    assert len(told) == count


def test_pieces_pass_while_the_wait_for_the_first_is_told(monkeypatch, capsys):
    monkeypatch.setattr("picotron.heartbeat.FIRST_S", 0.05)

    def slow():
        time.sleep(0.2)
        yield from ("a", "b")

    assert list(first_told(slow(), "reading the prompt")) == ["a", "b"]
    assert capsys.readouterr().err.startswith("picotron: still reading the prompt: 0 s so far\n")
    assert list(first_told(iter(()), "reading the prompt")) == []


def test_steps_that_were_done_while_another_was_waited_for_tell_nothing_of_speed(monkeypatch):
    times = iter([0.0, 2.0, 9.0, 11.0])
    monkeypatch.setattr("picotron.report.time.perf_counter", lambda: next(times))
    clock = Clock()
    clock.tick()
    clock.tick()
    assert clock.seconds_per_step == 2.0
    clock.pause()
    clock.tick()  # reads no time
    clock.skip()
    clock.tick()
    assert clock.seconds_per_step == 2.0
    clock.tick()
    assert clock.seconds_per_step == 2.0
