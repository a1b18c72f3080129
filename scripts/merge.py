#!/usr/bin/env python
"""Merge the shards of one evaluation into the record that one process would have made.

    for i in 1 2 3; do python scripts/evaluate.py --n 1000 --shard $i/3 --out part-$i.json; done
    python scripts/merge.py part-*.json --out whole.json

A shard that is missing, there twice, damaged, or of another evaluation is refused.
"""

import pathlib
import sys

from pssr_keras import command_line, evaluation, files
from pssr_keras.evaluation import shards


def merge(arguments):
    command_line.check_out(arguments.out, arguments.overwrite)
    files.check_not_input(arguments.out, arguments.parts)
    record = shards.merge([(path, shards.read(path)) for path in arguments.parts])
    print(evaluation.table(record))
    for line in evaluation.remarks(record):
        print(line)
    files.write_json(pathlib.Path(arguments.out), record)


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("parts", nargs="+", metavar="FILE", help="the records of all shards, in any order")
    add("--out", required=True, metavar="FILE", help="write the whole record to this JSON file")
    add("--overwrite", action="store_true", help="replace the file of --out")
    return command_line.run(merge, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
