#!/usr/bin/env python
"""Train a run by its translation into PyTorch, on a machine whose GPU TensorFlow does not reach.

    python scripts/train_in_torch.py export cifar10.npz --dataset cifar10
    python scripts/train_in_torch.py train cifar10.npz weights.npz   # there, with PyTorch and numpy alone
    python scripts/train_in_torch.py import weights.npz --out runs/cifar10
    python scripts/train.py --dataset cifar10 --out runs/cifar10     # evaluates what is trained

"export" writes the numbers of the run and its training images, and the weights of a classifier that is not
to be trained again: --classifier FILE.keras. "import" makes a run folder whose classifier and defense are
finished.
The recipe is that of the package, see scripts/translation; what is random differs, as with another seed.
"""

import argparse
import dataclasses
import json
import pathlib
import sys

import numpy as np


def export(arguments):
    """Numbers, images and perhaps a classifier into one file."""
    from translation import weights

    from pssr_keras import command_line, config, data, files, inputs, settings, training

    command_line.check_out(arguments.file, overwrite=False)
    changes = settings.parse_changes(arguments.set or ())
    experiment = config.experiment(arguments.dataset, arguments.preset, **changes, seed=arguments.seed)
    if experiment.cae.extrapolator_weights:
        raise inputs.InputError("cae.extrapolator_weights is not translated: leave it out")
    source = data.resolve_source(arguments.dataset, arguments.source, arguments.data_dir, ("train", "test"))
    experiment = settings.changed(experiment, {"data.source": source})
    train, _, _ = training.load_splits(experiment, arguments.data_dir)
    arrays = {}
    if arguments.classifier:
        classifier = files.load_model(pathlib.Path(arguments.classifier))
        arrays = {f"classifier/{name}": value for name, value in weights.from_keras(classifier).items()}
    np.savez_compressed(
        arguments.file,
        numbers=json.dumps(dataclasses.asdict(experiment)),
        statistics=json.dumps(data.DATASETS[arguments.dataset].statistics),
        images=np.round(255 * train.x).astype(np.uint8),
        labels=train.y.astype(np.int64),
        **arrays,
    )
    print(f"{len(train):,} images of {train.source} in {arguments.file}")


def train(arguments):
    """The classifier, unless the file has one, and the defense."""
    import torch
    from translation import models, training, weights

    if pathlib.Path(arguments.weights).exists():
        sys.exit(f"error: {arguments.weights} exists: choose another file for the weights")
    content = np.load(arguments.file)
    experiment = json.loads(str(content["numbers"]))
    numbers = flat(experiment)
    images = np.ascontiguousarray(content["images"].transpose(0, 3, 1, 2))
    x = torch.from_numpy(images).to(training.DEVICE).contiguous(memory_format=torch.channels_last)
    y = torch.from_numpy(content["labels"]).to(training.DEVICE)
    shape, classes = content["images"].shape[1:], int(y.max()) + 1
    torch.manual_seed(numbers["seed"])
    name, width = numbers["classifier.architecture"], numbers["classifier.width"]
    classifier = models.classifier(name, classes, width, json.loads(str(content["statistics"])))
    given = part_of(content, "classifier")
    if given:
        classifier = weights.to_torch(classifier, given)
    else:
        print(f"training {name}")
        classifier = training.train_classifier(numbers, classifier, x, y)

    is_hardened = numbers["defense"] == "hardened"
    group = "hardened" if is_hardened else "cae"
    kind = numbers.get(f"{group}.extrapolator", "bottleneck")  # runs of before knew no other
    extrapolator = models.extrapolator(kind, shape, *of_extrapolator(numbers, group))
    print(f"training E, {numbers['defense']}")
    mean = None
    if is_hardened:
        extrapolator = training.train_hardened(numbers, classifier, extrapolator, x, y)
    else:
        extrapolator, mean = training.train_cae(numbers, classifier, extrapolator, x, y)
    parts = {"classifier": classifier, "extrapolator": extrapolator}
    found = {
        f"{part}/{name}": value
        for part, model in parts.items()
        for name, value in weights.from_torch(model).items()
    }
    extra = {} if mean is None else {"mean": mean}
    np.savez(arguments.weights, numbers=content["numbers"], **found, **extra)


def bring(arguments):
    """A run folder with the classifier and the defense of a file of weights."""
    from translation import weights

    from pssr_keras import cae, classifiers, data, defense, files, inputs, training

    content = np.load(arguments.weights)
    experiment = json.loads(str(content["numbers"]))
    folder = files.expanded(arguments.out)
    if folder.is_dir() and any(folder.iterdir()):
        raise inputs.InputError(f"{folder} is not empty: choose another --out")
    folder.mkdir(parents=True, exist_ok=True)
    files.write_json(folder / "config.json", experiment)
    read = training.readable(folder / "config.json")
    entry = data.DATASETS[read["dataset"]]

    classifier = classifiers.create(
        read["classifier.architecture"],
        entry.shape,
        entry.classes,
        read["classifier.width"],
        entry.statistics,
    )
    weights.to_keras(classifier, part_of(content, "classifier"))
    files.write_atomically(folder / "classifier.keras", classifier.save)
    classifier.trainable = False
    is_hardened = read["defense"] == "hardened"
    group = "hardened" if is_hardened else "cae"
    kind = read[f"{group}.extrapolator"]
    extrapolator = cae.create(kind, entry.shape, *of_extrapolator(read, group))
    weights.to_keras(extrapolator, part_of(content, "extrapolator"))
    surgery = None if is_hardened else training.unfitted_surgery(experiment_of(experiment))
    if surgery is not None and surgery.threshold == "dataset":
        surgery = dataclasses.replace(surgery, dataset_mean=float(content["mean"]))
    name = read["defense"]
    whole = defense.PSSR(classifier, surgery, extrapolator, name=name)
    files.write_atomically(folder / f"{name}.keras", whole.save)
    print(f"{folder} holds {read['classifier.architecture']} and {name}.keras")


def of_extrapolator(numbers, group):
    """What `cae.create` takes after the kind and the shape."""
    names = ("extrapolator_channels", "extrapolator_bottleneck", "dropout", "extrapolator_start")
    contrast = numbers.get(f"{group}.extrapolator_contrast", 0.0)  # only a hardened E has one
    return [*(numbers[f"{group}.{name}"] for name in names), contrast]


def part_of(content, part):
    """{name: array} of one model in a file of several."""
    return {key.removeprefix(f"{part}/"): content[key] for key in content if key.startswith(f"{part}/")}


def flat(content, prefix=""):
    """Nested dictionaries as one: {dotted name: value}. The package's own is not there where this trains."""
    found = {}
    for name, value in content.items():
        found |= flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {prefix + name: value}
    return found


def experiment_of(content):
    """The experiment of a record."""
    from pssr_keras import config, settings

    found = config.read(content)
    return settings.changed(config.experiment(found["dataset"], found["preset"]), found)


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(required=True)
    command = commands.add_parser("export")
    command.add_argument("file", help="where the images go (.npz)")
    command.add_argument("--dataset", required=True)
    command.add_argument("--preset", default="cpu")
    command.add_argument("--set", nargs="+", action="extend", metavar="NAME=VALUE")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--classifier", help="a classifier (.keras) that is not to be trained")
    command.add_argument("--source", default="auto")
    command.add_argument("--data-dir")
    command.set_defaults(function=export)
    command = commands.add_parser("train")
    command.add_argument("file")
    command.add_argument("weights", help="where the weights go (.npz)")
    command.set_defaults(function=train)
    command = commands.add_parser("import")
    command.add_argument("weights")
    command.add_argument("--out", required=True, help="the run folder to make")
    command.set_defaults(function=bring)
    arguments = parser.parse_args(argv)
    if arguments.function is train:  # without the package
        return train(arguments)
    from pssr_keras import command_line

    return command_line.run(arguments.function, arguments)


if __name__ == "__main__":
    sys.exit(main())
