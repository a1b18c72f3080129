#!/usr/bin/env python
"""PGD-40 against plain cleverhans, purification and the CAE's step: `run.py` with these parts.

python benchmarks/speed.py
"""

import sys

from run import main

if __name__ == "__main__":
    sys.exit(main(["--parts", "libraries", "purification", "training_step", *sys.argv[1:]]))
