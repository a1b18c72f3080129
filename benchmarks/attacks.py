#!/usr/bin/env python
"""The attacks against other libraries, and AutoAttack's modes against each other: `run.py` with these parts.

pip install adversarial-robustness-toolbox foolbox   # for the comparison only
python benchmarks/attacks.py
"""

import sys

from run import main

if __name__ == "__main__":
    sys.exit(main(["--parts", "libraries", "modes", *sys.argv[1:]]))
