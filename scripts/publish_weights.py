#!/usr/bin/env python
"""Make the PSSR of a finished run the shipped weights of its data set, with a model card.

    python scripts/publish_weights.py runs/mnist-cpu-tfds-seed0 --overwrite   # in place of those shipped now
    python scripts/publish_weights.py runs/hardened --adaptive hardened.json

The second one puts the worst case into the card that scripts/evaluate.py --run runs/hardened --threat-model
adaptive --out hardened.json measured.
"""

import sys

from pssr_keras import command_line, pretrained


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    parser.add_argument("run", help="folder of a finished run of scripts/train.py")
    parser.add_argument("--name", help="name of the shipped weights, such as mnist-hardened")
    parser.add_argument("--adaptive", metavar="FILE", help="record of an attacker who knows the defense")
    parser.add_argument(
        "--note", help="a sentence for the model card, such as where the weights were trained"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace weights that are shipped already")
    return command_line.run(publish, parser.parse_args(argv))


def publish(arguments):
    pretrained.publish(
        arguments.run,
        arguments.name,
        adaptive=arguments.adaptive,
        note=arguments.note,
        overwrite=arguments.overwrite,
    )


if __name__ == "__main__":
    sys.exit(main())
