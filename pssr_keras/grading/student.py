"""The program in which a student's code runs, and the language it speaks with the grader.

It reads a notebook, runs what its answers need, and hands them in. It judges nothing: answers are data, and
a function is called by the grader from outside, so whatever the notebook does to the checks or to this
program, it can give answers only. It is run as a file and needs Python alone, so that an answer without
TensorFlow costs no TensorFlow.

A message is a line: its length, and JSON. No pickle, for unpickling runs code.
"""

import base64
import ctypes
import json
import linecache
import os
import sys

if __package__:
    from . import statements
else:
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


def run(chosen, hand_in):
    """Run statements one by one in a module of their own; what fails does not stop the others.

    Returns:
        A text for each cell in which something failed.
    """
    names = {
        "__name__": "__main__",
        "__builtins__": __builtins__,
        "display": lambda *things, **options: None,
        "get_ipython": lambda: None,
        statements.HAND_IN: hand_in,
    }
    errors = {}
    for number, statement in enumerate(chosen):
        place = f"<statement {number} of cell {statement.cell}>"
        # tf.function reads the source of what it compiles.
        lines = statement.source.splitlines(keepends=True)
        linecache.cache[place] = (len(statement.source), None, lines, place)
        try:
            exec(compile(statement.source, place, "exec"), names)
        except BaseException as error:  # sys.exit too
            errors.setdefault(statement.cell, f"cell {statement.cell}: {told(error)}")
    return list(errors.values())


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
    functions = []

    def say(**message):
        data = frame(message)
        while data:
            data = data[os.write(writing, data) :]

    def hand_in(check, *answers, **named):
        given = [encode(answer, functions) for answer in answers]
        say(check=check, answers=given, named=[[name, encode(a, functions)] for name, a in named.items()])

    task = receive(stream)
    limit(task["memory"], task["largest_file"])
    try:
        with open(task["notebook"], "rb") as file:
            cells = code_cells(file.read())
    except (ValueError, OSError) as error:
        say(refused=str(error)[:200])
        return
    everything, errors = statements.parse(cells, task["checks"])
    say(names={name: sum(cell.count(name) for cell in cells) for name in task["checks"]})
    sys.path[0] = os.getcwd()
    sys.argv = [""]
    errors += run(statements.needed(everything), hand_in)
    say(errors=errors[:5])
    while (call := receive(stream)) is not None:
        try:
            say(result=encode(functions[call["function"]](*map(decode, call["arguments"]))))
        except BaseException as error:
            say(failed=told(error))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
