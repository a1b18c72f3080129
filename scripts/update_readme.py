#!/usr/bin/env python
"""Write the tables of README.md, docs/numbers.md and docs/reproduction.md, from cards and records.

    python scripts/update_readme.py

A test fails when a page and the records drift apart.
"""

import json
import pathlib
import sys

from pssr_keras import checks, command_line, config, data, evaluation, pretrained, reproduction
from pssr_keras.evaluation import in_pixels
from pssr_keras.experiments import EXPERIMENTS
from pssr_keras.reproduction import model_cards
from pssr_keras.reproduction.report import NAMES, percent, read_records

ROOT = pathlib.Path(__file__).parents[1]
RESULTS = ROOT / "results"
BUDGET = EXPERIMENTS["mnist"].cw_budget
ACROSS = (
    ("PSSR, benign", "table_1", "PSSR", "benign"),
    ("PSSR, PGD crafted on its classifier", "table_1", "PSSR", "pgd"),
    ("PSSR, PGD crafted on a classifier of another seed", "table_2", "PSSR", "pgd"),
    ("PSSR, PGD crafted on a perceptron", "table_2", "PSSR, other architecture", "pgd"),
    ("undefended, PGD crafted on a perceptron", "table_2", "undefended, other architecture", "pgd"),
    ("PSSR, worst case of all that know it", "table_3", "PSSR", "worst case"),
    ("E trained without surgery, benign", "table_4", "+CAE", "benign"),
    ("E trained with surgery, benign", "table_4", "+PS&CAE", "benign"),
    ("E trained without surgery, PGD", "table_4", "+CAE", "pgd"),
    ("E trained with surgery, PGD", "table_4", "+PS&CAE", "pgd"),
)


def headline(cards):
    """What is shipped, in a few rows: benign, under PGD on the classifier, in the worst case; in Markdown."""
    lines = ["| accuracy in % | benign | PGD, oblivious | worst case, adaptive |", "|---|---|---|---|"]
    for name, card in cards.items():
        dataset = config.read(card["configuration"])["dataset"]
        record = RESULTS / dataset / "table_3.json"
        own = {"parts": [card["adaptive"]]} if "adaptive" in card else None  # where the card has it
        table_3 = json.loads(record.read_text()) if record.is_file() else None
        found = model_cards.measured_worst_case(card, own or table_3)
        worst = "not measured" if found is None else f"**{brief(found[1])}**, n = {found[0]['n']:,}"
        bpda = reproduction.published(dataset)["table 3"]["PSSR"]["BPDA"]
        for row, cells in card["cells"].items():
            if row.startswith("+") or (row == "undefended" and name != dataset):
                continue  # a stage, or a classifier that stands there already
            numbers = " | ".join(brief(cells[column]) for column in ("benign", "pgd"))
            last = "" if row == "undefended" else worst
            lines.append(f"| {data.DATASETS[dataset]}, {row_name(name, dataset, row)} | {numbers} | {last} |")
            if name == dataset and row == "PSSR":
                table = reproduction.published(dataset)
                published = reproduction.published_row(table, "table 1", row)
                numbers = " | ".join(f"{published[column]:.2f}" for column in ("benign", "pgd"))
                lines.append(f"| {data.DATASETS[dataset]}, PSSR, paper | {numbers} | {bpda:.2f} (BPDA) |")
    measured = {}
    for name, card in cards.items():
        measured.setdefault((card["n"], in_pixels(card["attacks"]["pgd"]["eps"])), []).append(name)
    budgets = [f"{', '.join(names)}: n = {n:,}, eps {eps}" for (n, eps), names in measured.items()]
    lines += [
        "",
        f"Shipped weights, Wilson 95% intervals. {'; '.join(budgets)} (Linf); n of a worst case is its own.",
    ]
    return "\n".join(lines) + "\n"


def brief(cell):
    """An accuracy in % with its interval, in two words."""
    return percent(cell).replace(" to ", "-")


def row_name(name, dataset, row):
    """A row of a card, named after the weights where they are not the data set's first."""
    return row if name == dataset else f"`{name}`"


def shipped(card, paper):
    """The accuracies of a model card beside those of the paper, in Markdown."""
    columns = ["benign", *card["attacks"]]
    lines = ["| accuracy in % | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row, cells in card["cells"].items():
        lines.append(f"| {row} | " + " | ".join(percent(cells[column]) for column in columns) + " |")
        if row in paper["table 1"]:
            published = reproduction.published_row(paper, "table 1", row)
            lines.append(f"| {row}, paper | " + " | ".join(f"{published[c]:.2f}" for c in columns) + " |")
    pgd, bim = card["attacks"]["pgd"], card["attacks"]["bim"]
    defense, cells = list(card["cells"].items())[-1]
    leaking = ", ".join(evaluation.label_leaks(cells)) or "no attack"
    lines += [
        "",
        f"Shipped weights, n = {card['n']:,}, data: {card['data']}, seed {card['seed']}; Wilson 95%",
        f"intervals in brackets. Threat model {card['threat_model']}. eps {in_pixels(pgd['eps'])} (Linf);",
        f"PGD {pgd['steps']} steps of {in_pixels(pgd['step_size'])} from a random start, last iterate; "
        f"BIM and MIM {bim['steps']} steps of {in_pixels(bim['step_size'])}.",
    ]
    if "+PS" in card["cells"]:
        lines.append(
            "`+PS` and `+CAE` are the shipped PSSR with one stage left out, not trained anew without it."
        )
    lines.append(f"{defense} more accurate than on benign images: under {leaking}.")
    return "\n".join(lines) + "\n"


def stronger(table_1, table_2, table_3, paper):
    """The PSSR under AutoAttack, CW, substitutes and surrogates, beside the paper, in Markdown."""
    published = reproduction.published_row(paper, "table 1", "PSSR")
    (oblivious,) = (part for part in table_1["parts"] if "PSSR" in part["cells"] and "cw" in part["attacks"])
    cells = reproduction.row_of({**table_1, "parts": [oblivious]}, "PSSR")
    within = reproduction.row_of({**table_1, "parts": [oblivious]}, "undefended")[reproduction.CW_WITHIN]
    distance = oblivious["attacks"]["cw"]["distance"]["median_of_moved"]
    lines = [
        "| threat model | attack | PSSR, accuracy in % | paper |",
        "|---|---|---|---|",
        f"| oblivious | none | {percent(cells['benign'], 1)} | {published['benign']:.2f} |",
        f"| oblivious | AutoAttack | {percent(cells['autoattack'], 1)} | {published['autoattack']:.2f} |",
        f"| oblivious | CW, no L2 budget | {percent(cells['cw'], 1)} | {published['cw']:.2f} |",
        f"| oblivious | CW, L2 at most {BUDGET:g} | {percent(cells[reproduction.CW_WITHIN], 1)} | |",
    ]
    # Its number of images is that of the rows that name none.
    part = next(part for part in table_3["parts"] if "PSSR" in part["cells"])
    published = reproduction.published_row(paper, "table 2", "PSSR")
    for row, substitute in (("PSSR", "another LeNet5"), ("PSSR, other architecture", "a perceptron")):
        cells = reproduction.row_of(table_2, row)
        for column, name in (("bim", "BIM"), ("autoattack", "AutoAttack"), ("cw", "CW, no L2 budget")):
            count = len(cells[column]["correct"])
            named = "" if count == part["n"] else f", n = {count:,}"
            number = f"{published[column]:.2f}" if row == "PSSR" else ""
            lines.append(
                f"| transfer from {substitute} | {name}{named} | {percent(cells[column], 1)} | {number} |"
            )
    cells = part["cells"]["PSSR"]
    surrogates = [name for name in part["checks"] if name != "classifier"]
    for surrogate in surrogates:
        for attack, name in (("pgd", "PGD-100"), ("apgd-ce", "APGD-CE"), ("apgd-t", "APGD-T")):
            bpda = (
                f"{paper['table 3']['PSSR']['BPDA']:.2f}"
                if (surrogate, attack) == ("identity", "pgd")
                else ""
            )
            cell = percent(cells[f"{surrogate} {attack}"], 1)
            lines.append(f"| adaptive, `{surrogate}` | {name} | {cell} | {bpda} |")
    queries = part["attacks"]["PSSR square"]["queries"]
    pgd = part["attacks"]["identity pgd"]
    failed = [name for name in surrogates if not checks.reliable(part["checks"][name])]
    left = [
        name
        for name in failed
        if any(
            checks.verdict(part["checks"][name], cells[column]["accuracy"]) == checks.UNRELIABLE
            for column in cells
            if column.startswith(f"{name} ")
        )
    ]
    passed = [name for name in surrogates if name not in failed]
    lines += [
        f"| adaptive, queries only | Square, {queries:,} queries | {percent(cells['PSSR square'], 1)} | |",
        f"| adaptive | **worst case of all** | **{percent(cells['worst case'], 1)}** | |",
        "",
        f"Shipped weights, data: {part['data']}, seed {part['seed']}; Wilson 95% intervals in brackets;",
        f"n = {part['n']:,} and eps {pgd['eps']:g} (Linf) unless named otherwise. PGD-{pgd['steps']}: steps",
        f"of {pgd['step_size']:.2g}, {pgd['restarts']} restarts, best iterate. CW moves images by an L2",
        f"distance of {distance:.2f} (median); within {BUDGET:g} it leaves the undefended classifier",
        f"{100 * within['accuracy']:.1f}%. The paper says neither how it counts CW nor what its BPDA",
        f"differentiates. Checks (`--checks`, {part['checked_images']} images) of attacks through",
        f"{quoted(failed)} FAIL, those through {quoted(passed)} pass.",
        "What an attack broke is broken whatever its checks say; what it left is no measure under",
        f"{quoted(left)}.",
    ]
    return "\n".join(lines) + "\n"


def across():
    """What the tables of all data sets say of PSSR, each number beside the paper's, in Markdown."""
    titles = [str(entry) for entry in data.DATASETS.values()]
    lines = ["| accuracy in % | " + " | ".join(titles) + " |", "|---|" + "---|" * len(titles)]
    records = {name: read_records(RESULTS / name) for name in data.DATASETS}
    papers = {name: reproduction.published(name) for name in records}
    counts = {name: {} for name in records}
    for words, table, row, column in ACROSS:
        line = []
        for name, tables in records.items():
            cell = reproduction.row_of(tables[table], row)[column]
            counts[name].setdefault(column, set()).add(len(cell["correct"]))
            line.append(brief(cell) + beside(papers[name], table.replace("_", " "), row, column))
        lines.append(f"| {words} ({table.replace('_', ' ').capitalize()}) | {' | '.join(line)} |")
    told = []
    for name, title in zip(records, titles, strict=True):
        part = next(part for part in records[name]["table_1"]["parts"] if "pgd" in part["attacks"])
        images = [
            f"{count:,} ({NAMES.get(column, column)})"
            for column, found in counts[name].items()
            for count in found
        ]
        eps = in_pixels(part["attacks"]["pgd"]["eps"])
        told.append(
            f"{title}: {part['data']}, seed {part['seed']}, eps {eps} (Linf), n = {', '.join(images)}"
        )
    lines += [
        "",
        "In brackets Wilson 95% intervals, *in italics the paper*. Tables 1 and 4: oblivious, 2: transfer, "
        f"3: adaptive. {'; '.join(told)}.",
    ]
    return "\n".join(lines) + "\n"


def beside(paper, table, row, column):
    """The paper's number for a cell, to be put behind ours; empty where it has none."""
    if row not in paper[table]:
        return ""
    if table == "table 3":
        return f", *{paper[table][row]['BPDA']:.2f}, BPDA*"
    return f", *{reproduction.published_row(paper, table, row)[column]:.2f}*"


def quoted(names):
    return ", ".join(f"`{name}`" for name in names) or "none"


def between(text, title, content):
    """`text` with `content` between the marks of this title."""
    begin, end = (f"<!-- {title}: {edge} -->\n" for edge in ("begin", "end"))
    before, found, rest = text.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"there is no place for the {title}")
    return before + begin + content + end + after


def read(*names):
    return json.loads(RESULTS.joinpath(*names).read_text())


def front(text):
    """The text of the README with its table as the records have it."""
    cards = {name: pretrained.model_card(name) for name in pretrained.names()}
    order = sorted(cards, key=lambda name: (list(data.DATASETS).index(name.partition("-")[0]), name))
    return between(text, "table of what is shipped", headline({name: cards[name] for name in order}))


def numbers(text):
    """The text of docs/numbers.md with its tables as the records have them."""
    for name in pretrained.names():
        card = pretrained.model_card(name)
        dataset = config.read(card["configuration"])["dataset"]
        title = "table of the shipped weights" + ("" if name == "mnist" else f", {name}")
        text = between(text, title, shipped(card, reproduction.published(dataset)))
    paper = reproduction.published("mnist")
    records = [read("mnist", f"{name}.json") for name in ("table_1", "table_2", "table_3")]
    return between(text, "table of stronger attackers", stronger(*records, paper))


def findings(text):
    """The text of docs/reproduction.md with its table as the records have it."""
    return between(text, "table of three data sets", across())


PAGES = {"README.md": front, "docs/numbers.md": numbers, "docs/reproduction.md": findings}


def update():
    for name, updated in PAGES.items():
        path = ROOT / name
        path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    sys.exit(command_line.run(update))
