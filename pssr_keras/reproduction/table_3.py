"""Table 3: adaptive attackers, who know the whole defense."""

import dataclasses
import functools

from .. import attacks, config, evaluation
from ..attacks import adaptive
from ..evaluation import checks
from .records import NAMES, conditions, entry_of, grid, percent


def rows(study):
    """Adaptive, for every purifier: through its surrogates and by queries; the worst case; checks."""
    return {row: functools.partial(attacked, study, row) for row in study.entry.purifiers}


def attacked(study, row):
    """The part of one purifier, in a list."""
    defense = study.defense(row)
    claims = row in study.entry.adaptive_defenses
    names = study.settings.standard_attacks if claims else study.settings.adaptive_attacks
    sources = adaptive.sources(defense, study.settings.surrogates)
    part = study.evaluate(
        sources,
        {row: defense},
        strong=True,
        suite=[attacks.parse(name, study.eps) for name in names],
        black_box={row: defense},
        threat_model=evaluation.ADAPTIVE,
    )
    images = study.images(strong=True)
    few = images.take(slice(0, min(len(images), config.CHECKED_IMAGES)))
    # What a few images of a smoke test cannot show anyway costs little there.
    effort = {"steps": 5, "queries": 10, "draws": 3, "planted": 0} if study.preset == "smoke" else {}
    part["checks"] = {
        name: [
            dataclasses.asdict(found)
            for found in checks.run(defense, few, study.eps, source, progress=True, **effort)
        ]
        for name, source in sources.items()
    }
    part["checked_images"] = len(few)
    return [part]


def section(record, paper):
    order = list(entry_of(record).purifiers)
    parts = sorted(record["parts"], key=lambda part: order.index(*part["cells"]))
    return [
        "## Table 3: adaptive attackers",
        *(paragraph for part in parts for paragraph in told(part, paper)),
    ]


def told(part, paper):
    """The paragraphs of one purifier."""
    ((row, cells),) = part["cells"].items()
    sources = list(part["checks"])
    names = [attack for attack in NAMES if f"{sources[0]} {attack}" in cells]
    lines = []
    for source in sources:
        left = [cells[f"{source} {attack}"] for attack in names]
        verdict = checks.verdict_on_row(part["checks"][source], [cell["accuracy"] for cell in left])
        lines.append([f"`{source}`", *(percent(cell, 1) for cell in left), verdict])
    through = {f"{source} {attack}" for source in sources for attack in names}
    others = [f"{column}: {percent(cells[column], 1)}" for column in cells if column not in through]
    published = paper["table 3"].get(row)
    bpda = (
        f" The paper's BPDA: {published['BPDA']:.2f}, without saying through what; `identity` is the "
        "likeliest reading."
        if published
        else ""
    )
    return [
        f"{row} alone, crafted through surrogates of its gradient (`classifier`: the oblivious attacker). "
        f"n = {part['n']:,}; {conditions(part)}.{bpda}",
        grid(
            ["crafted through", *(NAMES[a] for a in names), f"checks, {part['checked_images']} images"], lines
        ),
        "; ".join(others) + ".",
    ]
