#!/usr/bin/env python
"""Make the paper's tables anew: the command pssr-reproduce, in pssr_keras/commands/reproduce.py."""

import sys

from pssr_keras.commands.reproduce import main

if __name__ == "__main__":
    sys.exit(main())
