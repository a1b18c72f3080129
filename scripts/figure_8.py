#!/usr/bin/env python
"""Figure 8 of the paper from shipped weights: what surgery removes from attacked images, what E makes of it.

    python scripts/figure_8.py --pretrained cifar10

The images are the first of the test split, chosen by nobody. Writes results/DATASET/figure_8.png.
"""

import pathlib
import sys

import numpy as np

from pssr_keras import attacks, command_line, config, data, files, plotting, pretrained, training

RESULTS = pathlib.Path(__file__).parents[1] / "results"


def draw(arguments):
    if arguments.out:
        command_line.check_out(arguments.out, arguments.overwrite)
    pssr = pretrained.load_pretrained(arguments.pretrained)
    settings = config.read(pretrained.model_card(arguments.pretrained)["configuration"])
    entry = data.DATASETS[settings["dataset"]]
    images = data.load(entry.name, "test", arguments.source, arguments.data_dir)
    images = training.first(images, arguments.n, "test")
    x_adv = attacks.PGD(settings["attack.eps"])(pssr.classifier, images.x, images.y)
    rows, texts = stages(pssr, images, x_adv, entry)
    path = files.expanded(arguments.out or RESULTS / entry.name / "figure_8.png")
    path.parent.mkdir(parents=True, exist_ok=True)
    plotting.images(rows, columns=texts).savefig(path, dpi=110)
    print(f"{path}: written, n = {len(images)}, data: {images.source}")


def stages(pssr, images, x_adv, entry):
    """Rows of images for `plotting.images`, and for each row what is answered to it."""

    def answers(x):
        labels = np.asarray(pssr.classify(x)).argmax(axis=1)
        marks = np.where(labels == images.y, "", " !")
        return [f"{entry.name_of(label)}{mark}" for label, mark in zip(labels, marks, strict=True)]

    _, trivial = pssr.surgery.masks(pssr.guiding_logits, x_adv)
    x_t = pssr.remove(x_adv)
    rows = {
        "$x$": images.x,
        "$x^{adv}$": x_adv,
        "$M_t$": np.asarray(trivial),
        "$x_t^{adv}$": np.asarray(x_t),
        "$E(x_t^{adv})$": np.asarray(pssr.restore(x_t)),
        "$E(x_t)$": np.asarray(pssr.purify(images.x)),
    }
    texts = {label: answers(x) for label, x in rows.items() if label != "$M_t$"}
    return rows, texts


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--pretrained", default="mnist", metavar="NAME", help="shipped weights; mnist by default")
    add("--n", type=int, default=10, help="the first n images of the test split")
    command_line.add_source(parser)
    add("--out", metavar="FILE", help="results/DATASET/figure_8.png by default, which is replaced")
    add("--overwrite", action="store_true", help="replace the file of --out")
    return command_line.run(draw, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
