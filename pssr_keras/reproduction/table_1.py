"""Table 1: oblivious attackers, who know the classifier and no purifier."""

import functools
import itertools

from .records import (
    accuracies,
    architecture_of,
    conditions,
    entry_of,
    enumerated,
    leaks,
    missing,
    numbers_of_images,
    rows_of,
    schedule_of,
)


def rows(study):
    """Oblivious: every attack crafted on the classifier of its row; purifiers protect the undefended one."""
    found = {}
    for row in study.entry.rows:
        found[row] = functools.partial(attacked, study, row)
        if row == "undefended":
            found |= {name: functools.partial(protected, study, name) for name in study.entry.defenses}
        for last, of in study.entry.last_epochs.items():
            if of == row:
                found[last] = functools.partial(attacked, study, row, last)
    return found


def attacked(study, row, last=None):
    """The parts of a classifier, or of the last epoch of one that keeps its best, named `last`."""
    classifier = study.classifier(row, last=last is not None)
    return study.evaluations(classifier, {last or row: classifier})


def protected(study, name):
    """The parts of a purifier before the undefended classifier."""
    return study.evaluations(study.classifier(), {name: study.defense(name)})


def make(study):
    """What stands beside the rows: how they were trained."""
    return {"schedule": study.schedule(), "trainings": study.trainings()}


def section(record, paper):
    return [
        "## Table 1: oblivious attackers",
        f"Every attack is crafted on the classifier of its row, for {purifiers(record)} on the undefended "
        f"one: it knows nothing of the purifier. {schedule_of(record)}{numbers_of_images(record)}; "
        f"{conditions(record['parts'][0])}. CW looks for the nearest misclassified image: success at "
        "any distance, and within a budget.",
        accuracies(record, paper["table 1"]),
        *leaks(record),
        *record.get("remarks", []),
        f"{missing(record, paper['table 1'])}The paper copied all baselines from their own publications, "
        f"with other networks; ours are trained on {architecture_of(record)}.",
        *held_out(record),
        *pseudo_labels(record),
    ]


def purifiers(record):
    """The purifiers of a record, in words."""
    return enumerated([row for row in rows_of(record) if row in entry_of(record).defenses] or ["purifiers"])


def trainings_of(record):
    """What there is to tell of the trainings, in the order of the rows: {row: its classifier.json}."""
    found = record.get("trainings", {})
    return {row: found[row] for row in rows_of(record) if row in found}


BREAKDOWN = 0.1  # PGD accuracy on 500 images wavers by a few points from epoch to epoch


def largest_fall(values):
    """The most by which a value lies below an earlier one: a scalar, 0 where they only rise."""
    return max(best - value for best, value in zip(itertools.accumulate(values, max), values, strict=True))


def held_out(record):
    """A paragraph on accuracy under PGD after each epoch: did a training overfit to its own attack?"""
    told = {row: notes for row, notes in trainings_of(record).items() if notes.get("held_out")}
    if not told:
        return []
    first = next(iter(told.values()))
    lines, broken = [], []
    for row, notes in told.items():
        values = notes["held_out"]
        kept = f"; epoch {notes['best_epoch']} is kept" if notes["selected"] else ""
        lines.append(f"{row}: {', '.join(f'{100 * value:.0f}' for value in values)}{kept}")
        if values[-1] < max(values) - BREAKDOWN:
            broken.append(f"{row} lost {100 * (max(values) - values[-1]):.0f} points after its best epoch")
        elif (fall := largest_fall(values)) > BREAKDOWN:
            broken.append(f"{row} lost {100 * fall:.0f} points on the way, and won them back")
    verdict = "; ".join(broken) if broken else "none lost more than ten points on the way"
    return [
        f"Accuracy in % under PGD of {first['attack']['steps']} steps after each epoch of training, on "
        f"{first['held_out_images']} images held out from it: {'. '.join(lines)}. Of these, {verdict}."
    ]


def pseudo_labels(record):
    """A sentence for each training with the labels of a teacher: how many were right caps everything."""
    return [
        f"{row}: {notes['labels']:,} true labels; of the teacher's {notes['pseudo_labels']:,}, "
        f"{100 * notes['pseudo_label_accuracy']:.1f}% were right."
        for row, notes in trainings_of(record).items()
        if notes.get("pseudo_labels")
    ]
