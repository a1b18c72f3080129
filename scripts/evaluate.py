#!/usr/bin/env python
"""Evaluate the shipped weights, or a run of scripts/train.py, under attacks on the classifier.

    python scripts/evaluate.py --attacks fgsm pgd --n 1000
    python scripts/evaluate.py --run runs/mnist-cpu-tfds-seed0 --attacks pgd --eps 0.2 --out pgd.json

--images evaluates on your own images: an .npz file of `images` (N, H, W, C), float32 in [0, 1], and
integer `labels` (N,).
"""

import argparse
import os
import pathlib
import sys

import numpy as np

from pssr_keras import attacks, command_line, data, evaluation, inputs, pretrained, training


def evaluate(arguments):
    if arguments.out:
        check_out(pathlib.Path(arguments.out), arguments.overwrite)
    if arguments.run:
        folder = pathlib.Path(arguments.run)
        if not (folder / "pssr.keras").is_file():
            raise inputs.InputError(
                f"{folder} holds no trained PSSR: run scripts/train.py --out {folder} first"
            )
        settings = training.read_json(folder / "config.json")
        pssr = training.load_model(folder / "pssr.keras")
        weights = str(folder)
    else:
        settings = pretrained.model_card(arguments.pretrained)["configuration"]
        pssr = pretrained.load_pretrained(arguments.pretrained)
        weights = f"shipped {arguments.pretrained}"

    inputs.check_seed(arguments.seed)
    eps = settings["eps"] if arguments.eps is None else arguments.eps
    suite = [attacks.create(name, eps=eps) for name in arguments.attacks]
    if arguments.batch_size < 1:
        raise inputs.InputError(f"batch size is {arguments.batch_size}, expected at least 1")
    if arguments.images:
        images = own_images(arguments.images, pssr)
    else:
        images = data.load(settings["dataset"], "test", arguments.source, arguments.data_dir)
        if (
            images.source.startswith("bundled")
            and settings["source"] == "tfds"
            and not settings["exclude_bundled"]
        ):
            raise inputs.InputError(
                f"{weights} was trained on the bundled images too: evaluate it with --source tfds"
            )
    images = training.first(images, arguments.n, "test")

    record = evaluation.evaluate(
        pssr.classifier,
        training.stages(pssr),
        images,
        suite,
        seed=arguments.seed,
        batch_size=arguments.batch_size,
        progress=True,
    )
    record = {"weights_from": weights, "configuration": settings, **record}
    print(f"\n{evaluation.table(record)}")
    for line in evaluation.remarks(record):
        print(line)
    if arguments.out:
        training.write_json(pathlib.Path(arguments.out), record)


def check_out(path, overwrite):
    """Refuse, before any work, a file that exists or cannot be written."""
    if path.is_dir():
        raise inputs.InputError(f"{path} is a folder, expected a file name for --out")
    if path.exists() and not overwrite:
        raise inputs.InputError(f"{path} exists: choose another --out, or --overwrite it")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise inputs.InputError(f"{path} cannot be written: choose another --out")


def own_images(file, pssr):
    """Labelled images of an .npz file, checked against what the model takes."""
    try:
        with np.load(file, allow_pickle=False) as arrays:
            x, y = arrays["images"], arrays["labels"]
    except (OSError, ValueError, KeyError) as error:
        raise inputs.InputError(f"{file} is no .npz file with `images` and `labels` ({error})") from error
    classes = pssr.classifier.output_shape[-1]
    x = inputs.check_images(x, pssr.input_shape[1:])
    y = inputs.check_labels(y, len(x), classes)
    return data.Images(x, y, classes, f"images of {file}", np.arange(len(x)))


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--run", metavar="DIR", help="a run folder of scripts/train.py, instead of the shipped weights")
    add("--pretrained", default="mnist", metavar="NAME", help="shipped weights; mnist by default")
    add(
        "--attacks",
        nargs="+",
        default=["fgsm", "bim", "mim", "pgd"],
        metavar="NAME",
        help=", ".join(attacks.REGISTRY),
    )
    add("--eps", help="attack budget, such as 0.3 or 8/255; that of the training by default")
    add("--n", type=int, help="the first n images of the test split; all by default")
    add("--batch-size", type=int, default=500)
    add("--seed", type=int, default=0)
    add("--source", default="auto", metavar="NAME", help="tfds, bundled, or auto (the default)")
    add("--data-dir", metavar="DIR", help="folder of tensorflow-datasets")
    add("--images", metavar="FILE", help="your own images and labels, an .npz file")
    add("--out", metavar="FILE", help="write the record to this JSON file")
    add("--overwrite", action="store_true", help="replace the file of --out")
    return command_line.run(evaluate, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
