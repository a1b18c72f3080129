"""Train a PSSR from data to table: classifier, adversarial pairs, CAE, evaluation.

    pssr-train --dataset mnist
    pssr-train --data mine.npz

--data is a data set of your own: an .npz file of x_train, y_train, x_test and y_test, images (N, H, W, C),
uint8 or float32 in [0, 1], and integer labels; or a folder of pictures, FOLDER/train/<class>/* and
FOLDER/test/<class>/*, or FOLDER/<class>/*.

The same command continues a run that was interrupted, and prints the table of one that is finished.
"""

import functools
import pathlib

from .. import attacks, command_line, config, data, evaluation, files, inputs, training
from ..training import devices


def train(arguments):
    chosen = devices.select(arguments.devices)  # before TensorFlow computes anything
    own_architecture = ("classifier.architecture",) if arguments.data is not None else ()
    changes = config.parse_changes(arguments.set, own_architecture)
    changes |= {"seed": arguments.seed, "data.exclude_bundled": arguments.exclude_bundled}
    if arguments.eps is not None:
        changes["attack.eps"] = attacks.parse_eps(arguments.eps)
    notes = ()
    if arguments.data is not None:
        check_own(arguments)
        arguments.dataset, notes = config.add_own(arguments.data)
    # Whatever is mistaken is refused before any data are looked for, but for a user's own.
    training.check_names(config.experiment(arguments.dataset, arguments.preset, **changes))
    if arguments.classifier:
        training.classifier_of(arguments.classifier, data.DATASETS[arguments.dataset])
    if arguments.out:
        chosen.on_chief(functools.partial(training.check_free, arguments.out))
    changes["data.source"] = chosen.chief_first(
        lambda: data.resolve_source(
            arguments.dataset, arguments.source, arguments.data_dir, ("train", "test")
        )
    )
    experiment = config.experiment(arguments.dataset, arguments.preset, **changes)

    name = f"{name_of(experiment)}-seed{experiment.seed}"
    folder = files.expanded(arguments.out or f"runs/{name}")
    if chosen.is_chief:
        for line in (*notes, *description(experiment, arguments.classifier)):
            print(line)
        print(f"run folder: {folder}", flush=True)
        if arguments.devices or chosen.count > 1:
            print(f"training on {chosen}", flush=True)
    record = training.run(
        experiment, folder, arguments.data_dir, arguments.classifier, arguments.overwrite, chosen
    )
    if chosen.is_chief:
        print(f"\n{evaluation.table(record)}")
        for line in evaluation.remarks(record):
            print(line)


def check_own(arguments):
    """Refuse options that belong to the data sets that are downloaded."""
    for option, given in (
        ("--source", arguments.source != "auto"),
        ("--data-dir", arguments.data_dir is not None),
        ("--exclude-bundled", arguments.exclude_bundled),
    ):
        if given:
            raise inputs.InputError(f"{option} belongs to --dataset: leave it out beside --data")


def name_of(experiment):
    """What a run folder is called by default, but for its seed."""
    own = experiment.own
    if own.path:
        return f"{pathlib.Path(own.path).stem}-{own.sha256[:8]}-{experiment.preset}"
    return f"{experiment.dataset}-{experiment.preset}-{experiment.data.source}"


def description(experiment, classifier_file=None):
    """What was found in a user's own data set and chosen for it, in lines; none of any other."""
    own, numbers = experiment.own, experiment.data
    if not own.path:
        return []
    height, width, channels = own.shape
    kind = "grey" if channels == 1 else "colour"
    names = f": {', '.join(own.class_names[:10])}{', ...' * (own.classes > 10)}" if own.class_names else ""
    classifier = classifier_file or experiment.classifier.architecture
    eps = evaluation.in_pixels(experiment.attack.eps)
    return [
        f"data set {own.path}: {own.train:,} training and {own.test:,} test images of {height}x{width}, "
        f"{kind}, {own.classes} classes{names}",
        f"chosen for it: classifier {classifier}, eps {eps}, {numbers.validation_size:,} training images for "
        "validation; change them by --set classifier.architecture=NAME data.validation_size=NUMBER and --eps",
    ]


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--dataset", metavar="NAME", help=", ".join(config.presets()))
    images.add_argument("--data", metavar="PATH", help="a data set of your own: an .npz file or a folder")
    add("--preset", default="cpu", metavar="NAME", help="smoke (a minute), cpu (the default), paper (hours)")
    command_line.add_source(parser)
    add("--out", metavar="DIR", help="run folder; runs/DATASET-PRESET-SOURCE-seedSEED by default")
    add("--seed", type=int, default=0)
    add("--eps", default=None, help="attack budget, such as 0.3 or 8/255")
    add("--classifier", metavar="FILE", help="a .keras file of your own classifier, instead of training one")
    command_line.add_changes(
        parser, "change numbers of the experiment, such as cae.epochs=5; see pssr_keras/settings.py"
    )
    add("--exclude-bundled", action="store_true", help="mnist: leave out the 5,000 bundled images")
    add("--overwrite", action="store_true", help="delete what an earlier run left in the folder")
    add(
        "--devices",
        metavar="NUMBER",
        help="train on all GPUs of this machine, all, or on so many of them; see docs/scaling.md",
    )
    return command_line.main(train, parser, argv)
