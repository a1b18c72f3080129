#!/usr/bin/env python
"""Publish the records of scripts/reproduce.py: JSON, tables in Markdown, figures, and the README's tables.

python scripts/report.py --dataset mnist --study runs/reproduction-mnist-cpu
python scripts/report.py --dataset mnist       # again from the records that results/ holds
"""

import pathlib
import sys

from pssr_keras import InputError, command_line, config, reproduction
from pssr_keras.reproduction import report

RESULTS = pathlib.Path(__file__).parents[1] / "results"


def publish(arguments):
    reproduction.check_dataset(arguments.dataset)
    folder = pathlib.Path(arguments.out or RESULTS / arguments.dataset)
    source = pathlib.Path(arguments.study) / "records" if arguments.study else folder
    paper, records = reproduction.published(arguments.dataset), report.read_records(source)
    for name, record in records.items():
        if record["dataset"] != arguments.dataset:
            raise InputError(f"{name} in {source} is about {record['dataset']}, expected {arguments.dataset}")
    report.write(records, folder, paper)
    print(f"{folder / 'tables.md'}: written; run scripts/update_readme.py for the README")


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help=", ".join(config.reproductions()))
    add("--study", metavar="DIR", help="a folder of scripts/reproduce.py; results/DATASET itself by default")
    add("--out", metavar="DIR", help="results/DATASET by default")
    return command_line.run(publish, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
