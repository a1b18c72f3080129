"""Make the paper's tables anew: models, attacks, records, tables, figures, by one command.

    pssr-reproduce --dataset mnist --preset smoke   # minutes: does it work here?
    pssr-reproduce --dataset mnist                  # preset cpu, hours
    pssr-reproduce --dataset mnist --shipped        # with the shipped PSSR: an hour less
    pssr-reproduce --dataset mnist --tables figure_1 figure_7
    pssr-reproduce --dataset cifar10 --tables table_1 --rows TRADES "adversarial training"
    pssr-reproduce --dataset cifar10 --set classifier.width=0.5 --out runs/wider

Everything goes into one folder, and what is finished is read, not repeated: interrupt it when you like, and
the same command goes on. Several may share the folder, each with its own --tables or --rows. The tables are
in report/tables.md of that folder; scripts/report.py publishes them in results/.
"""

import time

from .. import command_line, config, files, reproduction
from ..reproduction import report


def reproduce(arguments):
    name = f"reproduction-{arguments.dataset}-{arguments.preset}{'-shipped' if arguments.shipped else ''}"
    folder = files.expanded(arguments.out or f"runs/{name}")
    start = time.perf_counter()
    print(f"folder of this study: {folder}", flush=True)
    records = reproduction.run(
        arguments.dataset,
        arguments.preset,
        folder,
        arguments.source,
        arguments.data_dir,
        arguments.shipped,
        arguments.tables,
        tuple(arguments.set),
        arguments.rows,
    )
    paper = reproduction.published(arguments.dataset)
    report.write(report.read_records(folder / "records"), folder / "report", paper)
    minutes, tables = (time.perf_counter() - start) / 60, folder / "report" / "tables.md"
    print(f"\n{len(records)} of {len(reproduction.TABLES)} tables in {minutes:.1f} minutes: {tables}")


def main(argv=None):
    parser = command_line.parser_of(__doc__)
    add = parser.add_argument
    add("--dataset", required=True, metavar="NAME", help=", ".join(config.reproductions()))
    add("--preset", default="cpu", metavar="NAME", help="smoke (minutes), cpu (the default), paper (days)")
    add("--shipped", action="store_true", help="use the shipped classifier and PSSR instead of training them")
    add(
        "--tables",
        nargs="+",
        action="extend",
        metavar="NAME",
        help=f"{', '.join(reproduction.TABLES)}; all by default",
    )
    add(
        "--rows",
        nargs="+",
        action="extend",
        metavar="ROW",
        help="rows of Tables 1 to 3, which are made row by row; all by default",
    )
    command_line.add_source(parser)
    command_line.add_changes(parser, "change numbers of every training")
    add("--out", metavar="DIR", help="folder; runs/reproduction-DATASET-PRESET by default")
    return command_line.main(reproduce, parser, argv)
