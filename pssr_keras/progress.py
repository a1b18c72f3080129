"""A progress bar for whatever takes long: crafting, checks, training."""

import sys

import keras


class Progress:
    """A progress bar with time to go; silent without a label, sparing where output is no terminal.

    Where there is no output, as in a process without a console, or where it is closed, it is silent too.
    """

    def __init__(self, label, total, unit_name="image"):
        self.bar = None
        if label is None or not _can_be_written(sys.stdout):
            return
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(label.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        self.bar = keras.utils.Progbar(total, interval=0.2 if _is_terminal() else 20, unit_name=unit_name)

    def update(self, done, values=()):
        if self.bar is not None and _can_be_written(sys.stdout):
            self.bar.stateful_metrics.update(name for name, _ in values)  # shown as they are, not averaged
            self.bar.update(done, values)


def _can_be_written(stream):
    """Whether a stream is open and has what Keras' progress bar calls."""
    return all(hasattr(stream, name) for name in ("write", "flush")) and not getattr(stream, "closed", False)


def _is_terminal():
    """Whether output is a terminal; consoles of some editors cannot tell."""
    return hasattr(sys.stdout, "isatty") and sys.stdout.isatty()
