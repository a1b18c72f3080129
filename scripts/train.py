#!/usr/bin/env python
"""Train a PSSR from data to table: the command pssr-train, in pssr_keras/commands/train.py."""

import sys

from pssr_keras.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
