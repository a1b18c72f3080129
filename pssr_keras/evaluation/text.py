"""Records in words: the table, and what its reader must know."""

import typing

from .findings import BROKEN, UNRELIABLE, failed, verdict
from .statistics import label_leaks


def align(lines: typing.Iterable[typing.Sequence[str]]) -> str:
    """Lines of cells as text in columns."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def in_pixels(number: float) -> str:
    """A budget or a step as people write it: 0.3, or 8/255 where the decimals have no end."""
    return f"{number:g}" if number > 1 or len(f"{number:g}") <= len("0.125") else f"{255 * number:.3g}/255"


def budgets(record: dict[str, typing.Any]) -> str:
    """The budgets of a record's attacks in words, such as "eps 0.3 (Linf)"."""
    texts = set()
    for config in record["attacks"].values():
        budget = "no budget" if config["eps"] is None else f"eps {in_pixels(config['eps'])}"
        texts.add(f"{budget} ({config.get('norm', 'Linf')})")
    return ", ".join(sorted(texts))


def table(record: dict[str, typing.Any]) -> str:
    """The record as text, percent with Wilson 95% intervals, and what was measured.

    Rows are models and columns attacks; with many attacks on one model it is the other way round.
    """
    columns = list(next(iter(record["cells"].values())))
    lines = [["", *columns]]
    for row, cells in record["cells"].items():
        lines.append([row])
        for column in columns:
            low, high = (100 * bound for bound in cells[column]["interval_95"])
            lines[-1].append(f"{100 * cells[column]['accuracy']:.2f} [{low:.1f}, {high:.1f}]")
    if len(columns) > 6 and len(columns) > len(lines):
        lines = [list(line) for line in zip(*lines, strict=True)]
    described = budgets(record)
    return (
        f"{align(lines)}\n\naccuracy in %, Wilson 95% intervals; n = {record['n']}; "
        f"{described + '; ' if described else ''}seed {record['seed']}; data: {record['data']}\n"
        f"threat model {record['threat_model']}"
    )


def with_chance(leaks: dict[str, typing.Any], names: dict[str, str] | None = None) -> str:
    """The attacks of `label_leaks` with their p-values, in words; `names` are those to print."""
    return ", ".join(
        (names or {}).get(name, name) + ("" if p is None else f" (p = {p:.2g})") for name, p in leaks.items()
    )


def leak_remark(leaks: dict[str, typing.Any], names: dict[str, str] | None = None) -> str:
    """What `label_leaks` found, in words."""
    return (
        f"more accurate under {with_chance(leaks, names)} than on the same benign images (McNemar's exact "
        "test), so these attacks are no measure of robustness; where p is small, suspect label leaking"
    )


def certificates(found: dict[str, typing.Any]) -> list[str]:
    """What `certifying.certified` found, one line each."""
    lines = []
    for row, cell in found["cells"].items():
        low, high = (100 * bound for bound in cell["interval_95"])
        lines.append(
            f"{row}: {100 * cell['accuracy']:.2f}% [{low:.1f}, {high:.1f}] certified by {found['method']} "
            f"within eps {in_pixels(found['eps'])} ({found['norm']}): no attack changes these images"
        )
    return lines + [f"{row} is not certified: {reason}" for row, reason in found["refused"].items()]


def remarks(record: dict[str, typing.Any]) -> list[str]:
    """What a reader of the table must know, one line each."""
    lines = [
        f"{row} is {leak_remark(leaks)}"
        for row, cells in record["cells"].items()
        if (leaks := label_leaks(cells))
    ]
    lines += certificates(record["certified"]) if "certified" in record else []
    for column, config in record.get("attacks", {}).items():
        norm = config.get("norm", "Linf")
        if norm != "Linf":
            reading = "no budget: success at any distance" if config["eps"] is None else "success within eps"
            distance = config["distance"]
            lines.append(
                f"{column} moves {distance['moved']} of {record['n']} images, by an {norm} distance of "
                f"{distance['median_of_moved']:.2f} (median); {reading}"
            )
    for source, findings in record.get("checks", {}).items():
        lines += check_remarks(record, source, findings)
    return lines


def check_remarks(record, source, findings):
    """What the checks of attacks crafted on one source say of the cells of a record."""
    names = ", ".join(failed(findings))
    columns = {
        column: max(cells[column]["accuracy"] for cells in record["cells"].values())
        for column, config in record["attacks"].items()
        if config.get("crafted_on", source) == source
    }
    verdicts = {column: verdict(findings, accuracy) for column, accuracy in columns.items()}
    broken = ", ".join(column for column, found in verdicts.items() if found == BROKEN)
    lines = []
    if UNRELIABLE in verdicts.values():
        lines.append(f"UNRELIABLE where crafted on the {source}: failed {names}")
    if broken:
        lines.append(
            f"{broken}: at most one image in a hundred is left, and what an attack broke is broken, whatever "
            f"checks of it failed ({names})"
        )
    return lines


def text_of_findings(findings, accuracy=None):
    """The findings as a table, and what they say of the accuracy that the attack left, if it is known."""
    lines = [["", "check", "measured", "expected"]]
    lines += [[f.verdict, f.name, f.figure, f.expected] for f in findings]
    said = verdict(findings, accuracy)
    if said == UNRELIABLE:
        said = (
            "UNRELIABLE: a check failed, so what the attack left counts for nothing; what it broke is broken"
        )
    elif said == BROKEN:
        said = "a check failed, but the attack left nothing: what it broke is broken"
    return (
        f"{align(lines)}\n[from, to]: exact limits, each wrong in 5 of 100 cases; FAIL where they contradict "
        f"what is expected, WARN where only the share does\n{said}"
    )
