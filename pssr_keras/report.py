"""The records of a study as Markdown and figures, each number beside the paper's.

Nothing is computed here that a record does not hold, but means, ranges and McNemar's test of its flags.
"""

import itertools
import pathlib

from . import config, evaluation, plotting, training
from .inputs import InputError
from .reproduction import CW_WITHIN, TABLES, row_of

COLUMNS = ("benign", "fgsm", "bim", "mim", "pgd", "autoattack", "cw")
NAMES = {
    "benign": "benign", "fgsm": "FGSM", "bim": "BIM", "mim": "MIM", "pgd": "PGD", "autoattack": "AutoAttack",
    "cw": "CW", CW_WITHIN: f"CW, L2 at most "
    f"{config.CW_BUDGET:g}", "apgd-ce": "APGD-CE", "apgd-t": "APGD-T", "square": "Square",
}  # fmt: skip


def percent(cell, digits=2):
    """A cell's accuracy and its interval, such as "98.20 (97.17 to 98.86)"."""
    if cell is None:
        return ""
    low, high = (100 * bound for bound in cell["interval_95"])
    return f"{100 * cell['accuracy']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def grid(head, lines):
    """A Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(map(str, row)) + " |" for row in rows)


def columns_of(record):
    """The columns of a table's record, in the order of the paper where it has them."""
    found = {column for row in rows_of(record) for column in row_of(record, row)}
    return sorted(found, key=lambda column: (COLUMNS.index(column) if column in COLUMNS else 99, column))


def rows_of(record):
    """The rows of a table's record, in their order; the defense comes after those it is compared with."""
    rows = list(dict.fromkeys(row for part in record["parts"] for row in part["cells"]))
    return sorted(rows, key=lambda row: row.startswith("PSSR"))


def numbers_of_images(record):
    """How many images each column has, in words."""
    texts = {}
    cells = row_of(record, rows_of(record)[0])
    for column in columns_of(record):
        texts.setdefault(len(cells[column]["correct"]), []).append(NAMES.get(column, column))
    return "; ".join(f"n = {count:,} ({', '.join(names)})" for count, names in texts.items())


def conditions(part):
    """Data, seed and budgets of a part, in words."""
    return f"data: {part['data']}, seed {part['seed']}; {evaluation.budgets(part)}; Wilson 95% intervals"


def accuracies(record, published=None):
    """Rows of accuracies, each followed by the paper's where it has one."""
    published = published or {}
    columns = columns_of(record)
    lines = []
    for row in rows_of(record):
        cells = row_of(record, row)
        lines.append([row, *(percent(cells.get(column)) for column in columns)])
        if row in published:
            numbers = dict(zip(COLUMNS, published[row], strict=True))
            values = [numbers.get(column) for column in columns]
            lines.append([f"*{row}, paper*", *("" if v is None else f"*{v:.2f}*" for v in values)])
    return grid(["accuracy in %", *(NAMES.get(column, column) for column in columns)], lines)


def leaks(record):
    """A sentence for each row that is more accurate under attack than on benign images."""
    lines = []
    for row in rows_of(record):
        # Only columns of the same images can be compared with the benign one.
        for part in record["parts"]:
            if row in part["cells"] and (found := evaluation.label_leaks(part["cells"][row])):
                lines.append(f"{row}, n = {part['n']:,}, is {evaluation.leak_remark(found, NAMES)}.")
    return lines


def trained(record):
    """The schedule of the variants, in words."""
    numbers = record["training"]
    images = "all" if numbers["train_limit"] is None else f"{numbers['train_limit']:,}"
    text = (
        f"Every CAE here was trained on {images} training images for {numbers['cae_epochs']} epochs in "
        f"batches of {numbers['cae_batch_size']}"
    )
    if record["preset"] == "paper":
        return f"{text}."
    return f"{text}: a shorter schedule than that of the PSSR in Tables 1 to 3."


def compared(record, first, second, column):
    """McNemar's test of two rows in one column, in words."""
    flags = [evaluation.flags_of(row_of(record, row)[column]["correct"]) for row in (first, second)]
    found = evaluation.mcnemar(*flags)
    return (
        f"{first} against {second}, {NAMES.get(column, column)}: only the first is right on "
        f"{found['first_only']}, only the second on {found['second_only']} images, p = {found['p']:.2g}"
    )


def table_1(record, paper):
    return [
        "## Table 1: oblivious attackers",
        "Every attack is crafted on the classifier of its row, for PSSR on the undefended one: it "
        f"knows nothing of the purifier. {numbers_of_images(record)}; "
        f"{conditions(record['parts'][0])}. CW looks for the nearest misclassified image: success at "
        "any distance, and within a budget.",
        accuracies(record, paper["table 1"]),
        *leaks(record),
        "Not made here: ARN and PCL. The paper copied all baselines from their own publications, with other "
        "networks; ours are trained on LeNet5.",
    ]


def table_2(record, paper):
    substitutes = sorted({part["substitute"] for part in record["parts"]})
    return [
        "## Table 2: transfer",
        "Crafted on a substitute, trained as the classifier of the row is, on the same data with "
        f"another seed. Substitutes: {'; '.join(substitutes)}. Other architecture: the perceptron. +CAE&ARD "
        "and +PS&CAE&ARD are those of Table 4, on a shorter schedule, without and with surgery. "
        f"{numbers_of_images(record)}; {conditions(record['parts'][0])}.",
        accuracies(record, paper["table 2"]),
        *leaks(record),
    ]


def table_3(record, paper):
    (part,) = record["parts"]
    cells = part["cells"]["PSSR"]
    sources = list(part["checks"])
    names = [attack for attack in NAMES if f"{sources[0]} {attack}" in cells]
    lines = []
    for source in sources:
        failed = sum(finding["verdict"] == "FAIL" for finding in part["checks"][source])
        verdict = f"UNRELIABLE: {failed} FAIL" if failed else "no check failed"
        lines.append([f"`{source}`", *(percent(cells[f"{source} {a}"], 1) for a in names), verdict])
    others = [
        f"{column}: {percent(cells[column], 1)}"
        for column in cells
        if column.startswith("PSSR ") or column in ("benign", evaluation.WORST_CASE)
    ]
    return [
        "## Table 3: adaptive attackers",
        f"PSSR alone, crafted through surrogates of its gradient (`classifier`: the oblivious attacker). "
        f"n = {part['n']:,}; {conditions(part)}. The paper's BPDA: {paper['table 3']['PSSR']['BPDA']:.2f}, "
        "without saying through what; `identity` is the likeliest reading.",
        grid(
            ["crafted through", *(NAMES[a] for a in names), f"checks, {part['checked_images']} images"], lines
        ),
        "; ".join(others) + ".",
    ]


def table_4(record, paper):
    published = dict(paper["table 4"])
    published["+PS&CAE&ARD"] = published.pop("PSSR")
    oracle = [
        "+PS as oracle, x + delta M_t",
        "",
        *(percent(record["oracle"].get(column)) for column in columns_of(record)[1:]),
    ]
    body = accuracies(record, published)
    head, line, *rest = body.split("\n")
    place = next(i for i, text in enumerate(rest) if text.startswith("| *+PS, paper*"))
    rest.insert(place, "| " + " | ".join(oracle) + " |")
    tests = [
        compared(record, first, second, column)
        for first, second in (("+CAE", "+PS&CAE"), ("+PS&CAE", "+PS&CAE&ARD"), ("+CAE&ARD", "+PS&CAE&ARD"))
        for column in ("benign", "pgd")
    ]
    return [
        "## Table 4: ablation",
        "Oblivious, crafted on the classifier. +PS is equation 7, which zeroes pixels of the "
        "attacked image; the oracle row removes the salient part of the perturbation only and needs "
        f"the clean image. {trained(record)} Without ARD k = 1. {numbers_of_images(record)}; "
        f"{conditions(record['parts'][0])}.",
        "\n".join([head, line, *rest]),
        *leaks(record),
        "McNemar's exact test on the same images: " + "; ".join(tests) + ".",
    ]


def figure_1(record, paper):
    first = next(iter(record["cells"].values()))
    parts = list(next(iter(first.values())))
    lines = [
        [f"{score} saliency, {NAMES[attack]}", *(percent(cells[part], 1) for part in parts)]
        for score, table in record["cells"].items()
        for attack, cells in table.items()
    ]
    return [
        "## Figure 1: salient and trivial perturbations",
        "Accuracy of the undefended classifier where only a part of the perturbation is left: an "
        f"analysis that needs the clean image. The last column is equation 7. n = {record['n']:,}; "
        f"{conditions(record)}.",
        grid(["", *parts], lines),
        "![Figure 1](figure_1.png)",
    ]


def figure_7(record, paper):
    alphas = list(next(iter(next(iter(record["cells"].values())).values())))
    lines = [
        [f"{score}, {NAMES[attack]}, {part}", *(f"{100 * cells[a][part]['accuracy']:.1f}" for a in alphas)]
        for score, table in record["cells"].items()
        for attack, cells in table.items()
        for part in ("trivial component", "trivial perturbation")
    ]
    return [
        "## Figure 7: the threshold alpha",
        "Accuracy of the undefended classifier on what alpha leaves: the trivial component of "
        f"equation 7, and the clean image with the trivial perturbation. n = {record['n']:,}; "
        f"{conditions(record)}, in the record.",
        grid(["accuracy in %, alpha =", *alphas], lines),
        "![Figure 7](figure_7.png)",
    ]


def figure_10b(record, paper):
    rows = rows_of(record)
    # The paper's claims: two passes are far better than one, and more bring no clear gain.
    tests = [
        compared(record, first, second, column)
        for first, second in itertools.pairwise(rows[:3])
        for column in columns_of(record)
    ]
    return [
        "## Figure 10(b): k passes of adversarial R-drop",
        f"Oblivious. {trained(record)} {numbers_of_images(record)}; {conditions(record['parts'][0])}.",
        accuracies(record),
        *leaks(record),
        "McNemar's exact test on the same images: " + "; ".join(tests) + ".",
        "![Figure 10b](figure_10b.png)",
    ]


def label_leak(record, paper):
    lines = []
    for row in rows_of(record):
        cells = [part["cells"][row] for part in record["parts"]]
        columns = [column for column in cells[0] if column != "benign"]
        values = [percent(cells[0]["benign"])]
        values += [percent(cell[column]) for cell in cells for column in columns]
        lines.append([row, *values])
    head = ["E trained with", "benign"]
    head += [
        f"{NAMES[c]}, {part['labels']}"
        for part in record["parts"]
        for c in part["cells"][rows_of(record)[0]]
        if c != "benign"
    ]
    part = record["parts"][0]
    rises = [
        f"E trained with {row}, images crafted with {other['labels']}: {evaluation.with_chance(found, NAMES)}"
        for row in rows_of(record)
        for other in record["parts"]
        if (found := evaluation.label_leaks(other["cells"][row]))
    ]
    return [
        "## Control: does E need a true label in the perturbation?",
        "E is trained, and judged, with images crafted away from the true labels, away from the predicted "
        "classes, and towards random classes. Only the first kind is made with true labels. But all lead "
        "away from what F saw, which is nearly always the true class, so the control does not clear every "
        f"suspicion. {trained(record)} n = {part['n']:,}; {conditions(part)}.",
        grid(head, lines),
        "Above the benign column, McNemar's exact test: " + "; ".join(rises) + ".",
    ]


def mask_exchange(record, paper):
    rows, suite = list(record["cells"]), list(record["attacks"])
    first = record["cells"][rows[0]][suite[0]]
    names, tests = list(first), []
    lines = [
        [f"{row}: {name}", *(percent(record["cells"][row][attack][name]) for attack in suite)]
        for row in rows
        for name in names
    ]
    ink = record["ink_removed"]
    lines.append(
        ["clean ink removed by the attacked mask, in %", *(f"{100 * ink[attack]:.1f}" for attack in suite)]
    )
    for row in rows:
        for attack in suite:
            flags = [evaluation.flags_of(record["cells"][row][attack][name]["correct"]) for name in names]
            chances = [
                f"{name} {100 * (found.mean() - flags[0].mean()):+.2f} points, "
                f"p = {evaluation.mcnemar(flags[0], found)['p']:.2g}"
                for name, found in zip(names[1:], flags[1:], strict=True)
            ]
            tests.append(f"{row}, {NAMES[attack]}: {', '.join(chances)}")
    return [
        "## Control: pixels or mask?",
        "E is given the pixels of a clean digit or of the attacked one, under the mask of the one or the "
        f"other. Clean masks remove {100 * ink['benign']:.1f}% of the clean ink. PSSR is that of Tables 1 to "
        f"3, the other row that of Table 4. Oblivious, n = {record['n']:,}; {conditions(record)}, in the "
        "record.",
        grid(["accuracy in %", *(NAMES[attack] for attack in suite)], lines),
        "Against clean pixels under the clean mask, McNemar's exact test: " + "; ".join(tests) + ".",
    ]


def seeds(record, paper):
    rows, columns = rows_of(record), columns_of(record)
    lines = []
    for column in columns:
        values = [100 * row_of(record, row)[column]["accuracy"] for row in rows]
        shown = [f"{value:.2f}" for value in values]
        mean = sum(values) / len(values)
        lines.append([NAMES[column], *shown, f"{mean:.2f}", f"{max(values) - min(values):.2f}"])
    part = record["parts"][0]
    return [
        "## Several seeds",
        f"The same classifier, the CAE trained with another seed. Oblivious. {trained(record)} "
        f"n = {part['n']:,}; {conditions(part)} are in the record.",
        grid(["accuracy in %", *rows, "mean", "range"], lines),
    ]


SECTIONS = {
    "table_1": table_1,
    "table_2": table_2,
    "table_3": table_3,
    "table_4": table_4,
    "figure_1": figure_1,
    "figure_7": figure_7,
    "figure_10b": figure_10b,
    "label_leak": label_leak,
    "mask_exchange": mask_exchange,
    "seeds": seeds,
}


def report(records, paper):
    """All records of a study as one Markdown text.

    Args:
        records: {table: record}; what is missing is named as missing.
        paper: the published numbers of the data set.
    """
    first = next(iter(records.values()))
    weights = "the shipped weights" if first["shipped"] else "weights trained for it"
    paragraphs = [
        f"# The paper's tables, {first['dataset']}, preset {first['preset']}",
        f"Our reimplementation, {weights}, beside the numbers of the paper (*in italics*). Made by "
        "`python scripts/reproduce.py`; what was measured, and what not, is told in "
        "[docs/reproduction.md](../../docs/reproduction.md).",
    ]
    for name, section in SECTIONS.items():
        if name in records:
            paragraphs += section(records[name], paper)
        else:
            paragraphs += [f"## {name.replace('_', ' ').capitalize()}", "Not made in this study."]
    return "\n\n".join(paragraphs) + "\n"


# --- figures -------------------------------------------------------------------------------------


def draw_figure_1(record):
    names = {part: part for part in ("full", "salient perturbation", "trivial perturbation")}
    panels = {
        f"{score} saliency": {NAMES[attack]: cells for attack, cells in table.items()}
        for score, table in record["cells"].items()
    }
    return plotting.bars(panels, names)


def draw_figure_7(record):
    panels = {
        f"{score} saliency": {
            f"{NAMES[attack]}, {part}": {alpha: cells[part] for alpha, cells in by_alpha.items()}
            for attack, by_alpha in table.items()
            for part in ("trivial component", "trivial perturbation")
        }
        for score, table in record["cells"].items()
    }
    return plotting.curves(panels, "alpha")


def draw_figure_10b(record):
    rows = {row.removeprefix("k = "): row_of(record, row) for row in rows_of(record)}
    lines = {
        NAMES[column]: {passes: cells[column] for passes, cells in rows.items()}
        for column in columns_of(record)
    }
    lowest = min(cell["interval_95"][0] for cells in rows.values() for cell in cells.values())
    return plotting.curves({"": lines}, "k, passes of R-drop", lowest=int(100 * lowest) - 1)


FIGURES = {"figure_1": draw_figure_1, "figure_7": draw_figure_7, "figure_10b": draw_figure_10b}


# --- files ---------------------------------------------------------------------------------------


def read_records(folder):
    """The records of a study or a report, {table: record}.

    Raises:
        InputError: if there are none.
    """
    folder = pathlib.Path(folder)
    paths = {name: folder / f"{name}.json" for name in TABLES}
    records = {name: training.read_json(path) for name, path in paths.items() if path.is_file()}
    if not records:
        raise InputError(f"{folder} holds no records: run scripts/reproduce.py first")
    return records


def write(records, folder, paper):
    """Write records, `tables.md` and figures into a folder; those of an earlier report are replaced."""
    folder = pathlib.Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, record in records.items():
            training.write_json(folder / f"{name}.json", record)
        text = report(records, paper)
        training.write_atomically(folder / "tables.md", lambda partial: partial.write_text(text))
        for name in FIGURES.keys() & records.keys():
            figure = FIGURES[name](records[name])
            training.write_atomically(
                folder / f"{name}.png", lambda partial, figure=figure: figure.savefig(partial, dpi=150)
            )
    except OSError as error:
        raise InputError(f"{folder} cannot be written ({error.strerror}): choose another --out") from error
