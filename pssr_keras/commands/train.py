"""Train a PSSR from data to table: classifier, adversarial pairs, CAE, evaluation.

    pssr-train --dataset mnist

The same command continues a run that was interrupted, and prints the table of one that is finished.
"""

import functools

from .. import attacks, command_line, config, data, evaluation, files, training
from ..training import devices


def train(arguments):
    chosen = devices.select(arguments.devices)  # before TensorFlow computes anything
    changes = config.parse_changes(arguments.set)
    changes |= {"seed": arguments.seed, "data.exclude_bundled": arguments.exclude_bundled}
    if arguments.eps is not None:
        changes["attack.eps"] = attacks.parse_eps(arguments.eps)
    # Whatever is mistaken is refused before any data are looked for.
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

    name = f"{experiment.dataset}-{experiment.preset}-{experiment.data.source}-seed{experiment.seed}"
    folder = files.expanded(arguments.out or f"runs/{name}")
    if chosen.is_chief:
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


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help=", ".join(config.presets()))
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
