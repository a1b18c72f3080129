"""What the scripts share: how they end, and what they print."""

import os
import signal
import sys
import traceback

from .inputs import InputError


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
    except KeyboardInterrupt:
        print("\ninterrupted: the same command goes on from here", file=sys.stderr)
        return 130
    return 0


def _interrupt(number, frame):
    raise KeyboardInterrupt
