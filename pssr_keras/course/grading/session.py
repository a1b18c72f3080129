"""The names of a notebook while it runs, and what runs its statements as IPython would."""

import ast
import contextlib
import inspect
import linecache
import signal

if __package__:
    from . import shell, statements
else:
    import shell
    import statements


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
