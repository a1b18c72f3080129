"""The program in which a student's code runs, and the language it speaks with the grader.

It reads a notebook, runs what its answers need, or all of it, and hands them in. It judges nothing: answers
are data, and a function is called by the grader from outside, so whatever the notebook does to the checks or
to this program, it can give answers only. It is run as a file and needs Python alone (IPython for a cell with
magics, where it is installed), so that an answer without TensorFlow costs no TensorFlow.

A message is a line: its length, and JSON. No pickle, for unpickling runs code.
"""

import base64
import contextlib
import ctypes
import json
import os
import re
import sys
import time
import types

if __package__:
    from . import statements
    from .session import Session, told
else:
    import statements
    from session import Session, told

LONGEST = 16 * 2**20  # bytes of a message; 100 images take half a mebibyte


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
    for name in ("cells", "effects", "known", "session", "shell", "statements"):
        sys.modules.pop(name, None)
    sys.modules["__main__"] = module = types.ModuleType("__main__")
    return module


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
