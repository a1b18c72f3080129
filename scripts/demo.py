#!/usr/bin/env python
"""A page to play with: attack the shipped PSSR in a browser, oblivious beside adaptive.

    pip install -e ".[demo]" && python scripts/demo.py

It is served to this machine alone unless --host says otherwise, writes nothing and needs no network.
"""

import sys

from pssr_keras import command_line
from pssr_keras.demo import server


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to serve; 0.0.0.0 lets all machines of the network in")
    add("--port", type=int, default=8501)
    arguments = parser.parse_args(argv)
    return command_line.run(server.start, arguments.host, arguments.port)


if __name__ == "__main__":
    sys.exit(main())
