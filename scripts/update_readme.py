#!/usr/bin/env python
"""Write the table of the shipped weights into README.md, from their model card.

    python scripts/update_readme.py

A test fails when the README and the model card drift apart.
"""

import json
import pathlib
import sys

from pssr_keras import command_line, evaluation, pretrained

ROOT = pathlib.Path(__file__).parents[1]
BEGIN, END = (f"<!-- table of the shipped weights: {edge} -->\n" for edge in ("begin", "end"))


def table(card, paper):
    """The accuracies of a model card beside those of the paper, in Markdown."""
    columns = ["benign", *card["attacks"]]
    lines = ["| accuracy in % | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    for row, cells in card["cells"].items():
        values = []
        for column in columns:
            low, high = (100 * bound for bound in cells[column]["interval_95"])
            values.append(f"{100 * cells[column]['accuracy']:.2f} ({low:.2f} to {high:.2f})")
        lines.append(f"| {row} | " + " | ".join(values) + " |")
        if row in ("undefended", "PSSR"):
            published = dict(zip(paper["columns"], paper[row], strict=True))
            lines.append(f"| {row}, paper | " + " | ".join(f"{published[c]:.2f}" for c in columns) + " |")
    pgd, bim = card["attacks"]["pgd"], card["attacks"]["bim"]
    leaking = ", ".join(evaluation.label_leaks(card["cells"]["PSSR"])) or "no attack"
    lines += [
        "",
        f"Shipped weights, n = {card['n']:,}, data: {card['data']}, seed {card['seed']}; Wilson 95%",
        f"intervals in brackets. Threat model {card['threat_model']}. eps {pgd['eps']:g} (Linf);",
        f"PGD {pgd['steps']} steps of {pgd['step_size']:.2g} from a random start, last iterate; BIM and MIM "
        f"{bim['steps']} steps of {bim['step_size']:.2g}.",
        "`+PS` and `+CAE` are the shipped PSSR with one stage left out, not trained anew without it.",
        f"PSSR more accurate than on benign images, a sign of label leaking: under {leaking}.",
    ]
    return "\n".join(lines) + "\n"


def updated(readme):
    """The text of the README with the table as the model card has it."""
    paper = json.loads((ROOT / "results" / "paper.json").read_text())["mnist"]
    before, _, rest = readme.partition(BEGIN)
    _, _, after = rest.partition(END)
    return before + BEGIN + table(pretrained.model_card("mnist"), paper) + END + after


def update():
    path = ROOT / "README.md"
    path.write_text(updated(path.read_text()))


if __name__ == "__main__":
    sys.exit(command_line.run(update))
