"""Standard output and errors that a command can write to, whatever became of them."""

import contextlib
import errno
import os
import sys

GONE = (errno.EPIPE, errno.EIO)  # who read it has ended; the terminal was closed


class ReaderGone(BaseException):
    """Nobody reads the output any more. As with an interrupt, what catches errors does not catch it."""


class Stream:
    """A text stream that takes everything: without a reader it is silent, what it cannot encode is escaped.

    Args:
        stream: `sys.stdout` or `sys.stderr`; None where it was closed before Python started.
        goes_on: whether the work goes on without a reader.

    Raises:
        ReaderGone: when written to, if the reader is gone and the work does not go on.
    """

    def __init__(self, stream, goes_on=True):
        self.stream = _nowhere() if stream is None else stream
        self.goes_on = goes_on

    def write(self, text):
        try:
            self._call("write", text)
        except UnicodeEncodeError:
            encoding = getattr(self.stream, "encoding", None) or "ascii"
            text = text.replace("━", "=")  # of which Keras draws its progress bar
            self._call("write", text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self):
        self._call("flush")

    def __getattr__(self, name):
        return getattr(self.stream, name)

    def _call(self, name, *arguments):
        if getattr(self.stream, "closed", False):
            self.stream = _nowhere()
        try:
            getattr(self.stream, name)(*arguments)
        except OSError as error:
            if error.errno not in GONE:
                raise
            self._silence()

    def _silence(self):
        nowhere = _nowhere()
        with contextlib.suppress(OSError, ValueError, AttributeError):
            # What is left in its buffer is written when the process ends, and would fail once more.
            os.dup2(nowhere.fileno(), self.stream.fileno())
        self.stream = nowhere
        if not self.goes_on:
            raise ReaderGone


@contextlib.contextmanager
def steady(goes_on=True):
    """Within this context `sys.stdout` and `sys.stderr` are each a `Stream`; only the first ends the work."""
    kept = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = Stream(sys.stdout, goes_on), Stream(sys.stderr)
    try:
        yield
    finally:
        written, (sys.stdout, sys.stderr) = (sys.stdout, sys.stderr), kept
        for stream in written:
            stream.flush()


def _nowhere():
    return open(os.devnull, "w", encoding="utf-8")
