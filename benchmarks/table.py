"""The page docs/speed.md, made from the record that `run.py` writes."""

NAMES = {
    "libraries": "Against other libraries",
    "modes": "AutoAttack, `fast` against `strict`",
    "purification": "Purification against classification",
    "training_step": "Training step of the CAE",
}
INTRODUCTION = """# Speed

Made from [`results/benchmarks.json`](../results/benchmarks.json) by

    pip install adversarial-robustness-toolbox foolbox   # for the comparison only
    python benchmarks/run.py --out results/benchmarks.json --page docs/speed.md

Within a part everything ran in one process, and each time is the least of several interleaved repetitions.
Compare ratios within a part; seconds are those of its machine.
"""


def table(head, rows):
    """A Markdown table of texts."""
    return "\n".join("| " + " | ".join(cells) + " |" for cells in [head, ["---"] * len(head), *rows]) + "\n"


def libraries(rows):
    lines = [
        [
            f"{row['eps']:.3g}",
            row["attack"],
            row["library"],
            f"{row['seconds']:.2f}",
            "" if row["library"] == "pssr_keras" else f"{row['times_ours']:.2f}",
            f"{100 * row['accuracy']:.1f}",
        ]
        for row in rows
    ]
    head = ["eps", "attack", "library", "seconds", "times the time of pssr_keras", "% that remain"]
    return f"{rows[0]['images']:,} images.\n\n" + table(head, lines)


def modes(rows):
    lines = [
        [
            row["part"],
            f"{row['fast']:.2f}",
            f"{row['strict']:.2f}",
            f"{row['ratio']:.2f}",
            str(row.get("remaining", "")),
            str(row["verdicts_that_differ"]),
        ]
        for row in rows
    ]
    head = ["part", "fast, seconds", "strict, seconds", "ratio", "images that remain", "verdicts that differ"]
    return f"{rows[0]['images']:,} images, eps {rows[0]['eps']:.3g}, each part alone.\n\n" + table(
        head, lines
    )


def purification(row):
    return (
        f"{row['images']:,} images of MNIST: {row['classify']:.3f} s to classify, {row['purify']:.3f} s to "
        f"purify, {row['ratio']:.1f} times as long.\n"
    )


def training_step(row):
    return (
        f"{row['images']} images of MNIST in {1000 * row['seconds']:.0f} ms. That is "
        f"{row['operations'] / 1e9:.1f} GFLOP at {row['rate'] / 1e9:.0f} GFLOP/s, {100 * row['share']:.0f}% "
        f"of the {row['product_rate'] / 1e9:.0f} GFLOP/s at which this machine multiplies large matrices.\n"
    )


def page(record, introduction=INTRODUCTION):
    """The page of a record {subject: {part: {"machine", "figures", ...}}}, as text."""
    lines = [introduction] if introduction else []
    for subject, parts in record.items():
        lines.append(f"## {subject}\n")
        for name, part in parts.items():
            machine = part["machine"]
            lines.append(f"### {NAMES[name]}\n")
            lines.append(globals()[name](part["figures"]))
            lines.append(
                f"{machine['processor']}, {machine['cores']} cores, TensorFlow "
                f"{machine['versions']['tensorflow']}, {machine['date']}.\n"
            )
    return "\n".join(lines)
