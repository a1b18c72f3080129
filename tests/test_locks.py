"""One process at a time: others are refused or wait, and nobody is locked out by who is gone."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from pssr_keras import InputError, locks

HOLDER = """
import importlib.util, sys, types
package = types.ModuleType("held"); package.__path__ = [sys.argv[1]]; sys.modules["held"] = package
import held.locks
with held.locks.alone(sys.argv[2], "is busy"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def other_process(tmp_path):
    """Function: start a process that holds the lock of a file until its standard input ends."""
    started = []

    def hold(path):
        program = [sys.executable, "-c", HOLDER, os.path.dirname(locks.__file__), str(path)]
        started.append(subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        assert started[-1].stdout.readline() == "held\n"
        return started[-1]

    yield hold
    for process in started:
        process.kill()
        process.wait()
        process.stdout.close()


def test_another_process_is_named_and_refused(other_process, tmp_path):
    process = other_process(tmp_path / "lock")
    expected = rf"another process \(pid {process.pid} on .+, since \d{{4}}-.*\) is busy: wait for it"
    with pytest.raises(InputError, match=expected), locks.alone(tmp_path / "lock", "is busy: wait for it"):
        pytest.fail("two hold the lock")
    process.communicate("")
    with locks.alone(tmp_path / "lock", "is busy"):
        assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such signal")
def test_a_process_that_was_killed_locks_nobody_out(other_process, tmp_path):
    process = other_process(tmp_path / "lock")
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert (tmp_path / "lock").exists()
    with locks.alone(tmp_path / "lock", "is busy"):
        pass
    (tmp_path / "lock").write_bytes(b"\xff of a machine that lost its power")
    with locks.alone(tmp_path / "lock", "is busy"):
        pass


def test_who_waits_says_so_and_goes_on(other_process, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(locks, "SECONDS", 0.02)
    process = other_process(tmp_path / "lock")
    threading.Timer(0.2, process.stdin.close).start()
    with locks.in_turn(tmp_path / "lock", "trains a model"):
        assert process.wait() == 0
    assert capsys.readouterr().out.endswith("trains a model: waiting for it\n")


def test_many_take_turns_though_each_removes_the_file(tmp_path, monkeypatch):
    """A file that its holder removed is no lock for those who had opened it."""
    monkeypatch.setattr(locks, "SECONDS", 0.001)
    inside, most = [], []

    def work():
        for _ in range(20):
            with locks.in_turn(tmp_path / "lock"):
                inside.append(1)
                most.append(len(inside))
                time.sleep(0.0005)
                inside.pop()

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert max(most) == 1
    assert len(most) == 80


def test_a_folder_without_locks_is_used_with_a_warning(tmp_path, monkeypatch):
    def unsupported(handle):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(locks, "_lock", unsupported)
    with pytest.warns(UserWarning, match="let no other process work there"), locks.alone(tmp_path / "a", ""):
        pass


def test_a_lock_that_cannot_be_made_is_one_error(tmp_path):
    with pytest.raises(InputError, match="cannot be written"), locks.alone(tmp_path / "no" / "lock", ""):
        pass
