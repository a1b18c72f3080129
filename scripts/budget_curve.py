#!/usr/bin/env python
"""Accuracy in the worst case against the budget of the attacker, of several defenses.

    python scripts/budget_curve.py --models mnist mnist-hardened runs/robust --n 100
    python scripts/budget_curve.py --models cifar10 --dataset cifar10 --eps 0 2/255 4/255 8/255

A model is a shipped name, a run folder or a .keras file, with another name for the figure before an equals
sign: "TRADES=runs/trades". At each budget the attacker knows all of the defense and tries every attack
through every surrogate, and what broke an image at a smaller budget breaks it at a larger one too. Writes
the record results/DATASET/budget_curve.json after each budget, so that an interrupted run goes on, and the
figure beside it.
"""

import pathlib
import sys

import numpy as np

from pssr_keras import attacks, command_line, data, evaluation, files, inputs, plotting, training
from pssr_keras.attacks import adaptive
from pssr_keras.commands.evaluate import other_model

RESULTS = pathlib.Path(__file__).parents[1] / "results"
BUDGETS = {  # the first purifiers fall at once, and at 1/2 every image can be made grey
    "mnist": [
        "0", "0.01", "0.02", "0.03", "0.05", "0.1", "0.15",
        "0.2", "0.25", "0.3", "0.35", "0.4", "0.45", "0.5",
    ],
}  # fmt: skip
COLOUR_BUDGETS = ["0", "1/255", "2/255", "4/255", "8/255", "12/255", "16/255"]
ATTACKS = ["pgd:steps=100,best=true", "apgd-ce", "apgd-dlr", "square:queries=1000"]


def draw(arguments):
    entry = data.DATASETS.get(arguments.dataset)
    if entry is None:
        raise inputs.InputError(
            f"unknown data set {arguments.dataset!r}, expected {', '.join(data.DATASETS)}"
        )
    inputs.check_seed(arguments.seed)
    texts = arguments.eps or BUDGETS.get(entry.name, COLOUR_BUDGETS)
    budgets = dict(sorted((inputs.parse_eps(text), text) for text in texts))
    arguments.attacks = arguments.attacks or ATTACKS
    for name in arguments.attacks:
        attacks.parse(name, max(budgets))
    models = dict(named(text) for text in arguments.models)
    for name, model in models.items():
        if not inputs.fits(tuple(model.input_shape[1:]), entry.shape):
            raise inputs.InputError(f"{name} takes images {model.input_shape[1:]}, expected {entry.shape}")
    images = data.load(entry.name, "test", arguments.source, arguments.data_dir)
    images = training.first(images, arguments.n, "test")
    path = files.expanded(arguments.out or RESULTS / entry.name / "budget_curve.json")
    if path.suffix == ".png":
        raise inputs.InputError(
            f"{path} is to be the record, a JSON file; the figure gets its place beside it"
        )
    if arguments.out and path.with_suffix(".png").exists() and not path.exists() and not arguments.overwrite:
        raise inputs.InputError(
            f"{path.with_suffix('.png')} exists, of another record: choose another --out, or --overwrite it"
        )
    record = {
        "dataset": entry.name,
        "data": images.source,
        "n": len(images),
        "indices": evaluation.text_of_indices(images.indices),
        "images_sha256": evaluation.images_hash(images),
        "threat_model": evaluation.ADAPTIVE,
        "norm": "Linf",
        "attacks": arguments.attacks,
        "seed": arguments.seed,
        "versions": evaluation.versions(),
        "weights": {name: evaluation.weights_hash(model) for name, model in models.items()},
    }
    lines = begun(path, record, arguments.overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        line = lines.setdefault(name, {})
        standing = np.ones(len(images), bool)
        for eps, text in budgets.items():
            known = line.get(text)
            if known:
                standing &= evaluation.flags_of(known["correct"])
            elif standing.any():  # what fell to less falls to more
                rows = np.flatnonzero(standing)
                standing[rows] = worst(model, images.take(rows), eps, arguments)
            line[text] = evaluation.measurement(standing)
            files.write_json(path, record | {"lines": lines})
            print(f"{name}, eps {text}: {100 * line[text]['accuracy']:.1f}% of {len(images)}", flush=True)
    numbers = {text: f"{eps:.4g}" for eps, text in budgets.items()}
    panel = {name: {numbers[text]: lines[name][text] for text in budgets.values()} for name in models}
    title = f"{entry.title}, worst case, n = {len(images)}"
    figure = plotting.curves({title: panel}, r"budget $\varepsilon$ (Linf)")
    figure.savefig(path.with_suffix(".png"), dpi=110)
    print(f"{path} and {path.with_suffix('.png').name}: written")


def named(text):
    """(name, model) of "model" or "name=model"."""
    name, equals, where = text.rpartition("=")
    return (name if equals else pathlib.Path(where).name), other_model(where)


def begun(path, record, overwrite):
    """The lines {name: {budget: cell}} that an interrupted run has left, or nothing."""
    if overwrite or not path.is_file():
        return {}
    before = files.read_json(path)
    if not isinstance(before, dict) or not {"lines", "weights"} <= before.keys():
        raise inputs.InputError(f"{path} is no record of a curve: choose another --out, or --overwrite it")
    differing = [
        key for key in record if key not in ("weights", "versions") and before.get(key) != record[key]
    ]
    if differing:
        raise inputs.InputError(
            f"{path} was made with another {differing[0]}: give another --out, or --overwrite"
        )
    same = {name for name, weights in record["weights"].items() if before["weights"].get(name) == weights}
    return {name: line for name, line in before["lines"].items() if name in same}


def worst(model, images, eps, arguments):
    """What an attacker who knows the whole model and has this budget leaves right, (N,) bool."""
    options = {"batch_size": arguments.batch_size}
    if not eps:
        return evaluation.correct(model, images.x, images.y, **options)
    crafted_on = adaptive.sources(model) if hasattr(model, "purify") else {"itself": model}
    found = evaluation.evaluate(
        crafted_on,
        {"model": model},
        images,
        [attacks.parse(name, eps) for name in arguments.attacks],
        black_box={"model": model},
        threat_model=evaluation.ADAPTIVE,
        seed=arguments.seed,
        progress=True,
        **options,
    )
    return evaluation.flags_of(found["cells"]["model"][evaluation.WORST_CASE]["correct"])


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add(
        "--models", nargs="+", action="extend", required=True, metavar="[NAME=]MODEL", help="what is attacked"
    )
    add("--dataset", default="mnist", metavar="NAME", help="of the images; mnist by default")
    add("--eps", nargs="+", metavar="BUDGET", help="such as 0 0.1 8/255; by default those for the data set")
    add("--attacks", nargs="+", metavar="NAME", help=f"{' '.join(ATTACKS)} by default")
    add("--n", type=int, default=100, help="the first n images of the test split")
    command_line.add_source(parser)
    add("--seed", type=int, default=0)
    add("--batch-size", type=int, default=500)
    add("--overwrite", action="store_true", help="begin anew where --out exists")
    add("--out", metavar="FILE", help="results/DATASET/budget_curve.json by default")
    return command_line.run(draw, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
