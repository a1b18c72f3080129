"""AutoAttack's parts in mode `fast` against `strict`, each run alone, and whether their verdicts agree."""

from measuring import seconds

from pssr_keras import attacks, evaluation
from pssr_keras.attacks.early_exit import predict


def compare(model, images, eps, repetitions, queries=5000):
    """One row for each part and one for all: seconds of both modes, what remains, verdicts that differ."""
    figures = []
    for part in (attacks.APGDCE, attacks.APGDT, attacks.FABT, attacks.Square):
        fields = {"queries": queries} if part is attacks.Square else {}
        standing = {}

        def run(mode, part=part, fields=fields, standing=standing):
            x_adv = evaluation.craft(part(eps, mode=mode, **fields), model, images)
            standing[mode] = predict(model, x_adv) == images.y

        times = seconds({mode: lambda mode=mode: run(mode) for mode in ("fast", "strict")}, repetitions)
        figures.append(
            {
                "part": part.name,
                **times,
                "remaining": int(standing["fast"].sum()),
                "verdicts_that_differ": int((standing["fast"] != standing["strict"]).sum()),
            }
        )
    total = {mode: sum(row[mode] for row in figures) for mode in ("fast", "strict")}
    total["verdicts_that_differ"] = sum(row["verdicts_that_differ"] for row in figures)
    rows = [*figures, {"part": "all", **total}]
    return [{**row, "ratio": row["fast"] / row["strict"], "eps": eps, "images": len(images)} for row in rows]
