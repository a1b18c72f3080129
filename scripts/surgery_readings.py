#!/usr/bin/env python
"""What each reading of pixel surgery does to accuracy, beside the paper's row "+PS" of Table 4.

    python scripts/surgery_readings.py --n 1000
    python scripts/surgery_readings.py --pretrained cifar10 --n 1000

Two things are kept apart. "remove" zeroes the salient pixels of the image, equation 7: the first stage of
PSSR. "oracle" removes the salient part of the perturbation only, as in Figure 1: x + (x_adv - x) M_t,
which needs the clean image, so that it serves analysis and never a defense.

The last columns are whole defenses: runs of scripts/train.py that differ in the reading alone, named
with --runs. Results go to results/DATASET/surgery_readings.json and .md.
"""

import itertools
import pathlib
import sys

import numpy as np
import tensorflow as tf

from pssr_keras import (
    attacks,
    command_line,
    config,
    data,
    evaluation,
    files,
    pretrained,
    reproduction,
    surgery,
    training,
)
from pssr_keras.reproduction.records import ARCHITECTURES

RESULTS = pathlib.Path(__file__).parents[1] / "results"
COLUMNS = ("benign", "fgsm", "bim", "pgd")


def measure(classifier, images, versions, reading):
    """Accuracy under "remove" and "oracle", and the share of values removed, for each column."""

    @tf.function(reduce_retracing=True)
    def both(x, x_adv):
        salient, trivial = reading.masks(classify, x_adv)
        removed = classify(surgery.component(x_adv, trivial))
        oracle = classify(surgery.perturbation_component(x, x_adv, trivial))
        return tf.argmax(removed, 1), tf.argmax(oracle, 1), tf.reduce_mean(salient, axis=(1, 2, 3))

    def classify(x):
        return classifier(x, training=False)

    cells = {}
    for column, x_adv in versions.items():
        parts = [both(images.x[rows], x_adv[rows]) for rows in evaluation.batches(len(images), 500)]
        removed, oracle, share = (np.concatenate(part) for part in zip(*parts, strict=True))
        cells[column] = {
            "remove": evaluation.measurement(removed == images.y),
            "oracle": evaluation.measurement(oracle == images.y),
            "removed_share": float(share.mean()),
        }
    return cells


def readings_of(channels):
    """Every reading for images of so many channels, {name: `surgery.PixelSurgery`}.

    With one channel, the readings of several do not differ, and their names leave it out.
    """
    kinds = surgery.CHANNELS if channels > 1 else surgery.CHANNELS[:1]
    return {
        ", ".join((score, *([kind] if channels > 1 else []), threshold)): surgery.PixelSurgery(
            score=score, channels=kind, threshold=threshold
        )
        for score, kind, threshold in itertools.product(surgery.SCORES, kinds, surgery.THRESHOLDS)
    }


def readings(arguments):
    pssr = pretrained.load_pretrained(arguments.pretrained)
    settings = config.read(pretrained.model_card(arguments.pretrained)["configuration"])
    dataset, eps = settings["dataset"], settings["attack.eps"]
    images = data.load(dataset, "test", arguments.source, arguments.data_dir)
    images = training.first(images, arguments.n, "test")
    suite = [attacks.create(name, eps=eps) for name in COLUMNS[1:]]
    versions = {"benign": images.x}
    for attack in suite:
        versions[attack.name] = evaluation.craft(attack, pssr.classifier, images, label=attack.name)

    table = {}
    for name, reading in readings_of(images.x.shape[-1]).items():
        if reading.threshold == "dataset":
            reading = reading.fit_mean(
                pssr.classifier, [versions[name] for name in ("benign", "fgsm", "pgd")]
            )
        table[name] = measure(pssr.classifier, images, versions, reading)

    published = reproduction.published_row(reproduction.published(dataset), "table 4", "+PS")
    record = {
        "dataset": dataset,
        "data": images.source,
        "n": len(images),
        "threat_model": evaluation.OBLIVIOUS,
        "alpha": 1.5,
        "attacks": {attack.name: attack.get_config() for attack in suite},
        "seed": 0,
        "versions": evaluation.versions(),
        "classifier": evaluation.weights_hash(pssr.classifier),
        "architecture": settings["classifier.architecture"],
        "paper": {column: published[column] for column in COLUMNS},
        "readings": table,
        "whole_defenses": {run["name"]: run for run in map(whole_defense, arguments.runs)},
    }
    folder = pathlib.Path(arguments.out or RESULTS / dataset)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "surgery_readings.json", record)
    text = markdown(record)
    (folder / "surgery_readings.md").write_text(text)
    print(text)


def whole_defense(folder):
    """Accuracies of the PSSR of one finished run, and the fields that tell the run apart."""
    record = files.read_json(pathlib.Path(folder) / "evaluation.json")
    settings = config.read(record["configuration"])
    channels = data.DATASETS[settings["dataset"]].shape[-1]
    names = {
        "score": "surgery.score",
        "channels": "surgery.channels",
        "threshold": "surgery.threshold",
        "train_limit": "data.train_limit",
        "cae_epochs": "cae.epochs",
        "extrapolator_channels": "cae.extrapolator_channels",
        "seed": "seed",
        "preset": "preset",
    }
    numbers = {name: settings[full] for name, full in names.items()}
    cells = {
        name: {k: v for k, v in cell.items() if k != "correct"}
        for name, cell in record["cells"]["PSSR"].items()
    }
    axes = ("score", "channels", "threshold") if channels > 1 else ("score", "threshold")
    reading = ", ".join(numbers[axis] for axis in axes) if settings["surgery.enabled"] else "no surgery"
    return {"name": reading, "n": record["n"], **numbers, "cells": cells}


MARGIN = 1.96 * 0.5  # of a 95% interval at accuracy 1/2, times the root of n


def markdown(record):
    """The record as tables."""
    dataset = record.get("dataset", "mnist")  # older records know no other
    of_channels = data.DATASETS[dataset].shape[-1] > 1
    axes = "score, channels, threshold" if of_channels else "score, threshold"
    eps = record["attacks"]["pgd"]["eps"]
    option = "" if dataset == "mnist" else f" --pretrained {dataset}"
    lines = [
        f"# Readings of pixel surgery on {data.DATASETS[dataset]}",
        "",
        f"Accuracy in % of the shipped {ARCHITECTURES[record.get('architecture', 'lenet5')]}, "
        f"n = {record['n']:,}, data: {record['data']}; alpha {record['alpha']},",
        f"eps {eps if dataset == 'mnist' else f'{255 * eps:.0f}/255'} (Linf), seed 0; threat model "
        f"{record['threat_model']}. Wilson 95% intervals are in",
        f"`surgery_readings.json`; at this n they are at most {100 * MARGIN / record['n'] ** 0.5:.1f} points "
        "to either side.",
        f"Made by `python scripts/surgery_readings.py{option}`. `remove` zeroes salient pixels of the image "
        "(eq. 7);",
        "`oracle` removes the salient part of the perturbation, which needs the clean image (Fig. 1).",
        "",
        f"| reading ({axes}) | stage | " + " | ".join(COLUMNS) + " |",
        "|---|---|" + "---|" * len(COLUMNS),
        "| paper, Table 4, +PS | | " + " | ".join(f"{record['paper'][c]:.2f}" for c in COLUMNS) + " |",
    ]
    for name, cells in record["readings"].items():
        for stage in ("remove", "oracle"):
            values = " | ".join(f"{100 * cells[c][stage]['accuracy']:.1f}" for c in COLUMNS)
            lines.append(f"| {name} | {stage} | {values} |")
        shares = " | ".join(f"{100 * cells[c]['removed_share']:.1f}" for c in COLUMNS)
        lines.append(f"| {name} | pixels removed | {shares} |")
    if record["whole_defenses"]:
        columns = ("benign", "fgsm", "bim", "mim", "pgd")
        limits = {run.get("train_limit") for run in record["whole_defenses"].values()}
        images = f" on {limits.pop():,} training images" if len(limits) == 1 and None not in limits else ""
        lines += ["", f"Whole PSSRs, trained alike{images} but for the reading:", ""]
        lines += [
            "| reading | epochs of the CAE | n | " + " | ".join(columns) + " | least |",
            "|---|---|---|" + "---|" * 6,
        ]
        for name, run in record["whole_defenses"].items():
            values = [100 * run["cells"][column]["accuracy"] for column in columns]
            cells = " | ".join(f"{value:.2f}" for value in [*values, min(values)])
            lines.append(f"| {name} | {run['cae_epochs']} | {run['n']:,} | {cells} |")
    return "\n".join(lines) + "\n"


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--pretrained", default="mnist", metavar="NAME", help="shipped weights; mnist by default")
    add("--n", type=int, default=1000, help="the first n images of the test split")
    command_line.add_source(parser)
    add(
        "--runs",
        nargs="*",
        action="extend",
        default=[],
        metavar="DIR",
        help="finished runs of scripts/train.py, one a reading",
    )
    add("--out", metavar="DIR", help="results/DATASET by default")
    return command_line.run(readings, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
