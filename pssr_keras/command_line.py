"""What commands and scripts share: how they end, and what they print."""

import errno
import os
import signal
import sys
import traceback

from .files import expanded, unwritable
from .inputs import InputError

DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM}  # the user's to mend


def run(function, *arguments):
    """Call function(*arguments); return an exit status, with one clear line for a user's mistake.

    0: done; 2: an input to mend; 130 or 143: interrupted, the same command goes on from there.
    PSSR_TRACEBACK=1 in the environment shows where an error came from.
    """
    signal.signal(signal.SIGTERM, _interrupt)
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


def add_changes(parser, words):
    """Give a parser the option --set; each may name several changes, and all of them count.

    Args:
        parser: an `argparse.ArgumentParser`.
        words: the help of the option.
    """
    parser.add_argument("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE", help=words)


def _interrupt(number, frame):
    raise KeyboardInterrupt
