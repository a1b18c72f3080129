#!/usr/bin/env python
"""Grade a folder of submitted notebooks into a table: points for each exercise, and what to say about it.

    python scripts/grade.py submissions --out grades.csv
    python scripts/grade.py submissions --out grades.csv --workers 4 --seconds 120

Each file of the folder gets a row, also one that crashes, hangs or is no notebook. A student is known by the
folder of the file, or by its name: submissions/anna/02.ipynb, or submissions/02_pixel_surgery_anna.ipynb.
Which tutorial it is, its content says. The same command goes on where it was interrupted.

The code of the students runs here, as the user who runs this: tutorials/teaching/README.md says what is
protected and what is not.
"""

import os
import pathlib
import sys

from pssr_keras import command_line
from pssr_keras.course import grading

RESULTS = pathlib.Path(__file__).parents[1] / "results"


def grade(arguments):
    if os.name == "posix" and os.geteuid() == 0:
        print("warning: you are root, and so will be the students' code", file=sys.stderr)
    rows = grading.grade_folder(
        arguments.folder,
        arguments.out,
        arguments.seconds,
        int(arguments.memory * 2**30),
        arguments.workers,
        arguments.overwrite,
        RESULTS,
    )
    look = [row for row in rows if row["total"] is None or row["remarks"]]
    print(f"{arguments.out}: {len(rows)} rows, {len(look)} with a remark to read")


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("folder", metavar="SUBMISSIONS_FOLDER")
    add("--out", required=True, metavar="FILE", help="the table, a CSV file")
    add("--seconds", type=float, default=300, help="time limit for one notebook (default 300)")
    add("--memory", type=float, default=4, help="limit for one notebook in GiB (default 4), on Linux")
    add("--workers", type=int, default=1, help="notebooks at a time (default 1)")
    add("--overwrite", action="store_true", help="replace a table that is there")
    return command_line.run(grade, parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
