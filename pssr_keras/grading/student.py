"""The program in which a student's code runs, and the language it speaks with the grader.

It reads a notebook, runs what its answers need, or all of it, and hands them in. It judges nothing: answers
are data, and a function is called by the grader from outside, so whatever the notebook does to the checks or
to this program, it can give answers only. It is run as a file and needs Python alone (IPython for a cell with
magics, where it is installed), so that an answer without TensorFlow costs no TensorFlow.

A message is a line: its length, and JSON. No pickle, for unpickling runs code.
"""

import ast
import base64
import contextlib
import ctypes
import inspect
import json
import linecache
import os
import re
import signal
import sys
import time
import types

if __package__:
    from . import shell, statements
else:
    import shell
    import statements

LONGEST = 16 * 2**20  # bytes of a message; ours, because 100 images take half a mebibyte


class Unreadable:
    """What was handed in is neither number nor text, nor an array or a collection of them."""

    def __init__(self, kind):
        self.kind = kind

    def __repr__(self):
        return f"<{self.kind}>"


def encode(value, functions=None):
    """A value in JSON. Functions are kept in the list `functions`, and named by their place in it."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int | float):
        return float(value) if isinstance(value, float) else int(value)
    for kind in (tuple, list, set, frozenset):
        if isinstance(value, kind):
            return {kind.__name__: [encode(item, functions) for item in value]}
    if hasattr(value, "__array__"):  # numpy, TensorFlow
        import numpy as np

        array = np.asarray(value)
        if array.dtype.kind in "biuf":
            if not array.shape and isinstance(value, np.generic):
                return encode(array.item())
            text = base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()
            return {"array": [array.dtype.str, list(array.shape), text]}
    if callable(value) and functions is not None:
        functions.append(value)
        return {"function": len(functions) - 1}
    return {"other": type(value).__name__}


def decode(value, function=None):
    """The inverse of `encode`; `function` makes something callable of a number."""
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    kinds = {"tuple": tuple, "list": list, "set": set, "frozenset": frozenset}
    if kind in kinds:
        return kinds[kind](decode(item, function) for item in content)
    if kind == "array":
        import numpy as np

        dtype, shape, text = content
        if np.dtype(dtype).kind not in "biuf":
            raise ValueError(f"an array of {dtype}")
        return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)
    if kind == "function" and function is not None:
        return function(content)
    return Unreadable(str(content)[:50])


def frame(message):
    """A message as bytes."""
    text = json.dumps(message).encode()
    return b"%d\n%s" % (len(text), text)


def receive(stream):
    """The next message; None at the end."""
    length = stream.readline()
    return json.loads(stream.read(int(length))) if length else None


def code_cells(text):
    """Sources of the code cells of a notebook, given as bytes, of any version of the format.

    Raises:
        ValueError: if it is none.
    """
    try:
        notebook = json.loads(text)
        cells = notebook["cells"] if "cells" in notebook else notebook["worksheets"][0]["cells"]
        code = [cell for cell in cells if cell["cell_type"] == "code"]
        sources = [cell["source"] if "source" in cell else cell["input"] for cell in code]
        return [source if isinstance(source, str) else "".join(source) for source in sources]
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        detail = f": {error}" if isinstance(error, json.JSONDecodeError) else ""
        raise ValueError(f"no notebook{detail}") from error


def told(error):
    """An error in one line."""
    try:
        text = " ".join(str(error).split())[:200]
    except BaseException:  # of a class whose __str__ fails
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


class TooLong(BaseException):
    """A statement took the time that others need."""


class Session:
    """The names of a notebook, and what runs its statements as IPython would.

    Args:
        hand_in: a function (name of a check, answers).
        names: a dictionary for the global names.
        checks: as of `statements.parse`.
    """

    def __init__(self, hand_in, names, checks=None):
        self.names, self.checks, self.loop, self.errors = names, checks or {}, None, {}
        self.last, self.count = None, 0
        self.shell = shell.ZMQInteractiveShell(names, self.run_cell)
        names |= {
            "__name__": "__main__",
            "__builtins__": __builtins__,
            "display": shell.display,
            "get_ipython": lambda: self.shell,
            statements.HAND_IN: hand_in,
        }

    def run(self, statement, seconds=None):
        """Run a statement; what fails is kept in `errors`, one for each cell.

        Args:
            statement: a `Statement`.
            seconds: for one that no answer was seen to need; its errors count only if it took too long.
        """
        self.count += 1
        self.shell.cell = statement.cell
        place = f"<statement {self.count} of cell {statement.cell}>"
        # tf.function reads the source of what it compiles.
        lines = statement.source.splitlines(keepends=True)
        linecache.cache[place] = (len(statement.source), None, lines, place)
        try:
            with _at_most(seconds):
                self._execute(statement, place)
        except BaseException as error:  # sys.exit too
            if seconds is None or isinstance(error, TooLong):
                self.errors.setdefault(statement.cell, f"cell {statement.cell}: {told(error)}")

    def _execute(self, statement, place):
        flags = statement.flags | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
        kind = "eval" if statement.shown else "exec"
        code = compile(statement.source, place, kind, flags, dont_inherit=True)
        waits = code.co_flags & inspect.CO_COROUTINE
        if self.loop is None and (waits or "asyncio" in self.names or "asyncio" in code.co_names):
            import asyncio

            self.loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self.loop)

        async def step():  # within the loop, as in a notebook
            value = eval(code, self.names)
            return await value if waits else value

        if (
            self.loop is None or self.loop.is_running() or "run" in code.co_names
        ):  # asyncio.run wants no running loop
            value = eval(code, self.names)
        else:
            value = self.loop.run_until_complete(step())
        if statement.shown and value is not None:
            self._keep(value, statement.cell)

    def _keep(self, value, cell):
        """Give a value the names _ and Out that IPython gives it, unless the notebook uses _ itself."""
        self.names.setdefault("Out", {})[cell] = self.names[f"_{cell}"] = value
        if self.names.get("_", self.last) is self.last:
            self.names["___"], self.names["__"] = self.names.get("__", ""), self.names.get("_", "")
            self.names["_"] = self.last = value

    def run_cell(self, source, *arguments, **options):
        """Run a cell that the notebook makes while it runs."""
        found, errors = statements.parse([source], self.checks)
        for statement in found:
            self._execute(statement, f"<cell in cell {self.shell.cell}>")
        if errors:
            raise SyntaxError(errors[0])


@contextlib.contextmanager
def _at_most(seconds):
    if seconds is None:
        yield
        return

    def stop(*_):
        raise TooLong(f"it took {seconds:.0f} s, half of the time left, and no answer was seen to need it")

    signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.1))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def run(chosen, hand_in):
    """Run statements one by one in a session of their own; what fails does not stop the others.

    Returns:
        A text for each cell in which something failed.
    """
    session = Session(hand_in, {})
    for statement in chosen:
        session.run(statement)
    return list(session.errors.values())


def limit(memory, largest_file):
    """Bound what this process and its children may take, in bytes, where the platform can."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file))
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    except (ImportError, ValueError, OSError):
        pass
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG: die with the grader


def main(reading, writing):
    for descriptor in (reading, writing):
        os.set_inheritable(descriptor, False)
    stream = os.fdopen(reading, "rb")
    functions, pressing = [], False

    def say(**message):
        data = frame(message)
        while data:
            data = data[os.write(writing, data) :]

    def serve():
        """Compute functions for the grader, until it says that no more is asked."""
        while (call := receive(stream)) is not None and "function" in call:
            try:
                say(result=encode(functions[call["function"]](*map(decode, call["arguments"]))))
            except BaseException as error:
                say(failed=told(error))

    def hand_in(check, *answers, **named):
        before = len(functions)
        given = [encode(answer, functions) for answer in answers]
        named = [[name, encode(answer, functions)] for name, answer in named.items()]
        waits = pressing and len(functions) > before
        say(check=check, answers=given, named=named, waits=waits)
        if waits:
            serve()

    task = receive(stream)
    until = time.monotonic() + task["seconds"]
    limit(task["memory"], task["largest_file"])
    try:
        with open(task["notebook"], "rb") as file:
            sources = code_cells(file.read())
    except (ValueError, OSError) as error:
        say(refused=str(error)[:200])
        return
    sys.path[0] = os.getcwd()
    sys.argv = [""]
    everything, errors = statements.parse(sources, task["checks"])
    chosen = statements.needed(everything)
    until_last = everything[: max((n for n, one in enumerate(everything, 1) if one.hands_in), default=0)]
    whole = task["whole"] or any(statements.EVERYTHING in one.loads for one in until_last)
    nothing_left_out = whole or len(until_last) == len(chosen)
    say(
        names={name: sum(source.count(name) for source in sources) for name in task["checks"]},
        certain=list(task["checks"] if nothing_left_out else statements.certain(everything, task["checks"])),
    )
    session = Session(hand_in, vars(_main_module()), task["checks"])
    if any(re.search(r"\bIPython\b", source) and "get_ipython" in source for source in sources):
        with contextlib.suppress(ImportError):
            import IPython

            IPython.get_ipython = IPython.core.getipython.get_ipython = session.names["get_ipython"]
    needed = {id(statement) for statement in chosen}
    changed = {id(statement) for statement in statements.changed_later(chosen)}
    for statement in until_last if whole else chosen:
        pressing = id(statement) in changed
        session.run(statement, None if id(statement) in needed else (until - time.monotonic()) / 2)
    say(errors=(errors + list(session.errors.values()))[:5], left_out=session.shell.left_out[:5])
    serve()


def _main_module():
    """A module for the notebook in this program's place; the names of our modules are free for its own."""
    for name in ("cells", "effects", "shell", "statements"):
        sys.modules.pop(name, None)
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    return module


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
