"""A process for one notebook: started in an empty folder, spoken to, and killed with all its children.

It bounds time, memory and size of files, and keeps the variables of the environment to itself. It does not
hide the files of the user, nor the network: for that, run the grader in a container or as another user.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

from . import student

STUDENT = pathlib.Path(student.__file__)
PASSED_ON = (
    "PATH", "PYTHONPATH", "LD_LIBRARY_PATH", "CONDA_PREFIX", "LANG", "LC_ALL",
    "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS",
)  # fmt: skip
AT_MOST_SAID = 64 * 2**20  # bytes in all; ours, as four of the longest messages
DIGITS = 12  # of the length of a message, at most


class Stopped(Exception):
    """The process came to an end before the notebook did; the text says why."""


class Processes:
    """All processes of a grading, so that none outlives it.

    A process that leaves its group and its parent is adopted by this one, on Linux, and found among its
    children.
    """

    def __init__(self):
        self.lock = threading.Lock()
        self.running, self.closed = {}, False
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)  # PR_SET_CHILD_SUBREAPER
        self.others = self.children()

    def children(self):
        found = set()
        for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(path.read_text(errors="replace").rpartition(")")[2].split()[1])
            except (OSError, ValueError, IndexError):  # ended meanwhile
                continue
            if parent == os.getpid():
                found.add(int(path.parent.name))
        return found

    def start(self, *arguments, **options):
        with self.lock:
            if self.closed:
                raise Stopped("stopped: the grading was interrupted")
            process = subprocess.Popen(*arguments, start_new_session=True, **options)
            self.running[process.pid] = process
        return process

    def kill(self, process):
        """Kill a process, its group, and whatever was adopted."""
        _kill(os.killpg, process.pid)
        process.wait()
        with self.lock:
            self.running.pop(process.pid, None)
            while strays := self.children() - self.others - set(self.running):
                for stray in strays:
                    _kill(os.kill, stray)
                    with contextlib.suppress(ChildProcessError):
                        os.waitpid(stray, 0)

    def kill_all(self):
        """Kill every process, and start no more."""
        with self.lock:
            self.closed = True
        for process in list(self.running.values()):
            self.kill(process)


def _kill(function, number):
    with contextlib.suppress(ProcessLookupError, PermissionError):
        function(number, signal.SIGKILL)


class Sandbox:
    """One process of `student.py`, as a context: at its end the process is dead and its folder gone.

    Args:
        notebook: path of a file; the process gets a copy.
        results: a folder that the notebooks know as ../results, or None.
        seconds: time limit for everything.
        memory: bytes.
        processes: those of the grading.
        deadline: of `time.monotonic()`, where some of the time was used before.
    """

    def __init__(self, notebook, results, seconds, memory, processes, deadline=None):
        self.deadline = time.monotonic() + seconds if deadline is None else deadline
        self.notebook, self.results = notebook, results
        self.seconds, self.memory, self.processes = seconds, memory, processes
        self.unread, self.said = bytearray(), 0

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="pssr-grading-"))
        inside = self.folder / "tutorials"
        inside.mkdir()
        shutil.copyfile(self.notebook, inside / "notebook.ipynb")
        if self.results is not None and self.results.is_dir():
            (self.folder / "results").symlink_to(self.results.resolve(), target_is_directory=True)
        to_student, self.writing = os.pipe()
        self.reading, from_student = os.pipe()
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        environment |= {
            "HOME": str(self.folder),
            "TMPDIR": str(self.folder),
            "MPLBACKEND": "Agg",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONHASHSEED": "0",
            "CUDA_VISIBLE_DEVICES": "-1",
        }
        if "site-packages" not in str(STUDENT):  # the package of this process, also where it is not installed
            paths = [str(STUDENT.parents[2]), environment.get("PYTHONPATH", "")]
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, paths))
        self.process = self.processes.start(
            [sys.executable, str(STUDENT), str(to_student), str(from_student)],
            cwd=inside,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(to_student, from_student),
        )
        os.close(to_student)
        os.close(from_student)
        for descriptor in (self.reading, self.writing):
            os.set_blocking(descriptor, False)
        return self

    def __exit__(self, *error):
        self.processes.kill(self.process)
        os.close(self.reading)
        os.close(self.writing)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _wait(self, descriptor, to_write=False):
        left = self.deadline - time.monotonic()
        wanted = ([], [descriptor], []) if to_write else ([descriptor], [], [])
        if left <= 0 or not any(select.select(*wanted, left)):
            raise Stopped(f"stopped after {self.seconds:g} s, the time limit")

    def say(self, **message):
        data = memoryview(student.frame(message))
        while data:
            self._wait(self.writing, to_write=True)
            try:
                data = data[os.write(self.writing, data) :]
            except BlockingIOError:
                continue
            except BrokenPipeError:
                raise Stopped(self.how_it_ended()) from None

    def hear(self):
        """The next message of the process, a dictionary.

        Raises:
            Stopped: if the process ended, ran out of time, said too much, or nothing that can be read.
        """
        while b"\n" not in self.unread[:DIGITS]:
            self._check(len(self.unread) < DIGITS)
            self._read()
        length, *_ = bytes(self.unread[:DIGITS]).partition(b"\n")
        self._check(length.isdigit() and int(length) <= student.LONGEST)
        del self.unread[: len(length) + 1]
        while len(self.unread) < int(length):
            self._read()
        text = bytes(self.unread[: int(length)])
        del self.unread[: int(length)]
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        self._check(isinstance(message, dict))
        return message

    def _check(self, readable):
        if not readable:
            raise Stopped("stopped: its process said what cannot be read")

    def _read(self):
        self._wait(self.reading)
        data = os.read(self.reading, 2**20)
        if not data:
            raise Stopped(self.how_it_ended())
        self.said += len(data)
        if self.said > AT_MOST_SAID:
            raise Stopped("stopped: it handed in too much")
        self.unread += data

    def how_it_ended(self):
        try:
            status = self.process.wait(timeout=max(0.1, min(5, self.deadline - time.monotonic())))
        except subprocess.TimeoutExpired:
            return "stopped: its process no longer answers"
        reason = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
        return f"its process ended by itself ({reason})"
