#!/usr/bin/env python
"""Make the PSSR of a finished run the shipped weights of its data set, with a model card.

python scripts/publish_weights.py runs/mnist-cpu-tfds-seed0
"""

import argparse
import sys

from pssr_keras import command_line, pretrained


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", help="folder of a finished run of scripts/train.py")
    parser.add_argument("--name", help="name of the shipped weights; that of the data set by default")
    arguments = parser.parse_args(argv)
    return command_line.run(pretrained.publish, arguments.run, arguments.name)


if __name__ == "__main__":
    sys.exit(main())
