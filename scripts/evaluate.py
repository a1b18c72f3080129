#!/usr/bin/env python
"""Evaluate a PSSR under attack: the command pssr-evaluate, in pssr_keras/commands/evaluate.py."""

import sys

from pssr_keras.commands.evaluate import main

if __name__ == "__main__":
    sys.exit(main())
