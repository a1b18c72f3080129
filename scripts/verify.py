#!/usr/bin/env python
"""Verify a published record: the command pssr-verify, in pssr_keras/commands/verify.py."""

import sys

from pssr_keras.commands.verify import main

if __name__ == "__main__":
    sys.exit(main())
