"""Reading the record of a table: its rows, columns and cells, and how they are told in Markdown.

A table's record holds `parts`, each a record of `evaluation.evaluate`; `row_of` puts a row together.
"""

from .. import evaluation
from ..experiments import EXPERIMENTS

CW_WITHIN = "cw within budget"
COLUMNS = ("benign", "fgsm", "bim", "mim", "pgd", "autoattack", "cw")
NAMES = {
    "benign": "benign", "fgsm": "FGSM", "bim": "BIM", "mim": "MIM", "pgd": "PGD", "autoattack": "AutoAttack",
    "cw": "CW", "apgd-ce": "APGD-CE", "apgd-t": "APGD-T", "square": "Square",
    "fab-t": "FAB-T", "hop-skip-jump": "HopSkipJump",
}  # fmt: skip
ARCHITECTURES = {
    "lenet5": "LeNet5",
    "resnet18": "ResNet18",
    "densenet121": "DenseNet121",
    "densenet121_strided": "DenseNet121 at half the resolution",
    "multilayer_perceptron": "the perceptron",
}


def entry_of(record):
    """The experiments that a table is about."""
    return EXPERIMENTS[record["dataset"]]


def architecture_of(record):
    """The classifier that a table is about, in words."""
    numbers = entry_of(record).experiment.classifier
    found = record.get("schedule", {"architecture": numbers.architecture, "width": numbers.width})
    name, width = ARCHITECTURES.get(found["architecture"], found["architecture"]), found["width"]
    return name if width == 1 else f"{name} with {width:g} times its width"


def schedule_of(record):
    """The one schedule of all robust rows, in words; empty for a record without such rows."""
    robust = set(rows_of(record)) - {"undefended", *entry_of(record).purifiers}
    if "schedule" not in record or not robust:
        return ""
    numbers = record["schedule"]
    images = "all" if numbers["train_limit"] is None else f"{numbers['train_limit']:,}"
    begun = "began with the weights of the undefended one and " if numbers.get("warm_start") else ""
    return (
        f"All robust classifiers {begun}were trained on {images} images for {numbers['epochs']} epochs, with "
        f"{numbers['inner_steps']} step{'' if numbers['inner_steps'] == 1 else 's'} of their attacks. "
    )


def names_of(record):
    """What the columns of a table are called: {column: words}."""
    return NAMES | {CW_WITHIN: f"CW, L2 at most {entry_of(record).cw_budget:g}"}


def titled(attack):
    """An attack as a table calls it: "PGD" for "pgd", "PGD, steps=5" for "pgd:steps=5"."""
    name, _, fields = attack.partition(":")
    return NAMES.get(name, name) + (f", {fields}" if fields else "")


def row_of(record, row):
    """The cells of a row, {column: cell}, from the parts of a table's record; the first to name one wins.

    Beside CW without a budget stands CW within `cw_budget` of the data set.
    """
    cells = {}
    for part in record["parts"]:
        found = dict(part["cells"].get(row, {}))
        if "cw" in found and "distances" in part["attacks"]["cw"]:
            distances = part["attacks"]["cw"]["distances"]
            found[CW_WITHIN] = evaluation.within_budget(found, "cw", distances, entry_of(record).cw_budget)
        cells = found | cells
    return cells


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
    """The rows of a record: the data set's in its order, others as they were made, last the purifiers."""
    rows = dict.fromkeys(row for part in record["parts"] for row in part["cells"])
    entry = entry_of(record)
    order, last = [*entry.rows, *entry.purifiers, *rows], entry.last_epochs

    def place(row):
        return row.startswith(tuple(entry.purifiers)), order.index(last.get(row, row)), row in last

    return sorted(rows, key=place)


def numbers_of_images(record):
    """How many images each column has, in words."""
    texts = {}
    cells = row_of(record, rows_of(record)[0])
    for column in columns_of(record):
        texts.setdefault(len(cells[column]["correct"]), []).append(names_of(record).get(column, column))
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
        name = entry_of(record).published_as.get(row, row)
        if name in published:
            numbers = dict(zip(COLUMNS, published[name], strict=True))
            values = [numbers.get(column) for column in columns]
            lines.append([f"*{name}, paper*", *("" if v is None else f"*{v:.2f}*" for v in values)])
    return grid(["accuracy in %", *(names_of(record).get(column, column) for column in columns)], lines)


def enumerated(names):
    """Names in words: "a", "a and b", "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)}{' and ' if others else ''}{last}"


def missing(record, published):
    """Rows of the paper's table that the record lacks, in words.

    Args:
        record: of the table.
        published: its rows in the paper, by name.
    """
    known = {entry_of(record).published_as.get(row, row) for row in rows_of(record)}
    rows = [row for row in published if row not in known]
    return f"Not made here: {enumerated(rows)}. " if rows else ""


def leaks(record):
    """A sentence for each row that is more accurate under attack than on benign images."""
    lines = []
    for row in rows_of(record):
        # Only columns of the same images can be compared with the benign one.
        for part in record["parts"]:
            if row in part["cells"] and (found := evaluation.label_leaks(part["cells"][row])):
                lines.append(
                    f"{row}, n = {part['n']:,}, is {evaluation.leak_remark(found, names_of(record))}."
                )
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
        f"{first} against {second}, {names_of(record).get(column, column)}: only the first is right on "
        f"{found['first_only']}, only the second on {found['second_only']} images, p = {found['p']:.2g}"
    )
