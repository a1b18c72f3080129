"""What commands and scripts share: how they end, and what they print."""

import argparse
import contextlib
import errno
import os
import signal
import sys
import traceback

from . import streams
from .files import expanded, unwritable
from .inputs import InputError

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}  # the user's to mend
READER_GONE = 141  # as a shell has it of a program that a broken pipe ended


def main(function, parser, argv=None, goes_on=lambda arguments: True):
    """`run` a function of what was typed; return an exit status.

    Args:
        function: takes the parsed arguments.
        parser: an `argparse.ArgumentParser`.
        argv: what was typed; `sys.argv[1:]` if None.
        goes_on: function, arguments -> see `run`.
    """
    try:
        with streams.steady(goes_on=False):
            arguments = parser.parse_args(argv)
    except streams.ReaderGone:
        return READER_GONE
    return run(function, arguments, goes_on=goes_on(arguments))


def run(function, *arguments, goes_on=True):
    """Call function(*arguments); return an exit status, with one clear line for a user's mistake.

    0: done; 2: an input to mend; 130 or 143: interrupted, the same command goes on from there; 141: nobody
    reads the output any more, as behind `| head`.
    PSSR_TRACEBACK=1 in the environment shows where an error came from.

    Args:
        goes_on: whether the work goes on, in silence, when nobody reads the output any more, as its results
            are written to files.
    """
    with _terminated_as_interrupted():
        try:
            with streams.steady(goes_on):
                return _status_of(function, *arguments)
        except streams.ReaderGone:
            return READER_GONE


def _status_of(function, *arguments):
    try:
        function(*arguments)
    except InputError as error:
        if os.environ.get("PSSR_TRACEBACK"):
            traceback.print_exc()
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if error.errno not in DISK:
            raise
        print(f"error: {unwritable(error.filename or 'a file', error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


@contextlib.contextmanager
def _terminated_as_interrupted():
    """Within this context the signal that asks a process to end interrupts it, as Ctrl+C does."""
    try:
        before = signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # only the main thread may say what a signal does
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def check_out(path, overwrite):
    """Refuse, before any work, a file that exists or cannot be written.

    Raises:
        InputError: if it is a folder or cannot be written, or exists and is not to be overwritten.
    """
    path = expanded(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder, expected a file name for --out")
    if path.exists() and not overwrite:
        raise InputError(f"{path} exists: choose another --out, or --overwrite it")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(f"{path} cannot be written: choose another --out")


def parser_of(description):
    """A parser that prints the docstring of a command as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def add_source(parser):
    """Give a parser the options that say where images come from."""
    add = parser.add_argument
    add("--source", default="auto", metavar="NAME", help="tfds, bundled, or auto (the default)")
    add("--data-dir", metavar="DIR", help="folder of tensorflow-datasets")


def add_changes(parser, words):
    """Give a parser the option --set; each may name several changes, and all of them count.

    Args:
        parser: an `argparse.ArgumentParser`.
        words: the help of the option.
    """
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=words)


def add_former_name(parser, former, present):
    """Let an option go on under its former name, which says what to type from now on."""

    class Renamed(argparse.Action):
        def __call__(self, parser, namespace, value, option_string=None):
            print(f"{former} is now called {present}", file=sys.stderr)
            setattr(namespace, self.dest, value)

    parser.add_argument(
        former, action=Renamed, dest=present.strip("-").replace("-", "_"), help=argparse.SUPPRESS
    )


def _interrupt(number, frame):
    raise KeyboardInterrupt
