#!/usr/bin/env python
"""Speed as ratios, measured in one run on one machine, and the page that shows them.

    pip install adversarial-robustness-toolbox foolbox   # for the comparison only
    python benchmarks/run.py                              # prints the page
    python benchmarks/run.py --out results/benchmarks.json --page docs/speed.md
    python benchmarks/run.py --parts libraries --model resnet18 --n 100 --eps 8/255

Parts:

    libraries      PGD-40 and APGD-CE against cleverhans, ART and foolbox, at each `--eps`: by default 0.3,
                   where every image of MNIST falls, and 0.1, at which about half of them stand
    modes          AutoAttack's parts in mode `fast` against `strict`, at the last `--eps`
    purification   purification of MNIST against its classification
    training_step  the CAE's training step as a share of the machine's rate of matrix products

A part that is run replaces itself in the record; the others stay as they are.
"""

import argparse
import importlib.util
import pathlib
import sys

import defense
import libraries
import modes
import table
from measuring import machine, subject

from pssr_keras.command_line import parser_of, run
from pssr_keras.files import read_json, write_json
from pssr_keras.inputs import InputError, parse_eps

PARTS = ("libraries", "modes", "purification", "training_step")
OF_MNIST = ("purification", "training_step")  # of the shipped weights, whatever `--model` says


def measure(part, arguments, classifier, plain, images):
    """The figures of one part."""
    budgets, repetitions = arguments.eps, arguments.repetitions
    if part == "libraries":
        some = images.take(slice(0, arguments.n))
        return [
            row for eps in budgets for row in libraries.compare(plain, classifier, some, eps, repetitions)
        ]
    if part == "modes":
        some = images.take(slice(0, arguments.n_modes))
        return modes.compare(classifier, some, budgets[-1], repetitions, arguments.queries)
    return getattr(defense, part)(repetitions)


def read_record(path):
    """The record at a path, or an empty one if there is none yet."""
    return read_json(path) if path and path.is_file() else {}


def is_page(path):
    """Whether this program has written a file: it begins as every page does."""
    return path.read_text(errors="replace").startswith(table.page({}).splitlines()[0])


def execute(arguments):
    missing = [package for package in ("art", "foolbox") if not importlib.util.find_spec(package)]
    if "libraries" in arguments.parts and missing:
        print(f"{' and '.join(missing)} not installed and left out; see the head of benchmarks/run.py")
    if arguments.page and arguments.page.is_file() and not is_page(arguments.page):
        raise InputError(f"{arguments.page} is no page of figures: choose another --page")
    record = read_record(arguments.out)
    described, classifier, plain, images = subject(arguments.model, arguments.width)
    for part in arguments.parts:
        figures = measure(part, arguments, classifier, plain, images)
        name = "MNIST, shipped weights" if part in OF_MNIST else described
        measured = {"machine": machine(), "repetitions": arguments.repetitions, "figures": figures}
        record.setdefault(name, {})[part] = measured
        print(table.page({name: {part: measured}}, introduction=""), flush=True)
        if arguments.out:
            write_json(arguments.out, record)
    if arguments.page:
        arguments.page.write_text(table.page(record))


def budget(text):
    try:
        return parse_eps(text)
    except InputError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def main(given=None):
    parser = parser_of(__doc__)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="what to measure")
    parser.add_argument("--model", default="lenet5", help="lenet5, resnet18 or a .keras file")
    parser.add_argument("--width", type=float, default=0.25, help="of resnet18")
    parser.add_argument("--n", type=int, default=500, help="images for the comparison of libraries")
    parser.add_argument("--n-modes", type=int, default=128, help="images for fast against strict")
    parser.add_argument("--queries", type=int, default=5000, help="of Square, for fast against strict")
    parser.add_argument("--eps", nargs="+", type=budget, default=[0.3, 0.1], help="budgets, such as 8/255")
    parser.add_argument("--repetitions", type=int, default=3, help="of which the least time counts")
    parser.add_argument("--out", type=pathlib.Path, help="the record, a JSON file")
    parser.add_argument("--page", type=pathlib.Path, help="write the Markdown page of the record here")
    return run(execute, parser.parse_args(given))


if __name__ == "__main__":
    sys.exit(main())
