"""What a check found, how sure it is of it, and what that says of a cell of a table.

A check looks at few images, so it knows a share only up to an interval. It says

    PASS   the share is within what is tolerated
    WARN   it is not, but so few images may show that by chance
    FAIL   the images contradict the tolerance: were it just kept, so many would come up in at most 5 of
           100 cases (an exact test of a share, a paired test of a difference)

What is not a share (an image outside the budget, logits that are none) is a fact: one image decides.
"""

import dataclasses
import itertools

from .statistics import chance_of_rise, chance_of_share, exact_interval

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
LEVEL = 0.05  # how often an attack that just keeps to a tolerance may be called failed
POINT = 0.01  # one percentage point of accuracy, the tolerance of most checks

RELIABLE = "no check failed"
UNRELIABLE = "UNRELIABLE"
BROKEN = "nothing left"


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check.

    Attributes:
        name: of the check.
        verdict: PASS, WARN or FAIL.
        figure: what was measured, in words.
        expected: what was expected, in words.
        n: number of images that a share is of.
        interval: of the share; each end alone errs in 5 of 100 cases.
        p: the chance of what was seen, or more, where what is tolerated were just kept.
    """

    name: str
    verdict: str
    figure: str
    expected: str
    n: int | None = None
    interval: tuple[float, float] | None = None
    p: float | None = None


def fact(good, figure, expected, bad=FAIL):
    """A finding that one image decides."""
    return Finding("", PASS if good else bad, figure, expected)


def share(bad, total, tolerance, words, *, complement=False, worst=FAIL):
    """A finding about the share of images on which an attack does what a working one hardly does.

    Args:
        bad: number of those images.
        total: number of images.
        tolerance: their largest share that is expected.
        words: what is measured, with a place {} for the share.
        complement: print the share of the other images.
        worst: the verdict where the images contradict the tolerance.
    """
    p = chance_of_share(bad, total, tolerance)
    interval = exact_interval(bad, total)
    verdict = PASS if bad <= tolerance * total + 1e-9 else worst if p < LEVEL else WARN
    shown, limits, sign, bound = bad / total, interval, "<=", tolerance
    if complement:
        shown, limits, sign, bound = 1 - shown, (1 - interval[1], 1 - interval[0]), ">=", 1 - tolerance
    low, high = (100 * limit for limit in limits)
    figure = words.format(f"{100 * shown:.1f}% [{low:.1f}, {high:.1f}]") + f", n = {total}"
    return Finding("", verdict, figure, f"{sign} {100 * bound:g}%", total, limits, p)


def no_rise(curve, tolerance, words, expected):
    """A finding about accuracies that should not rise along a curve.

    Args:
        curve: two or more flags (n,) of the same images, such as under more and more steps.
        tolerance: the rise that is expected, a share.
        words: the accuracies in words.
        expected: in words.
    """
    total = len(curve[0])
    pairs = list(itertools.pairwise(curve))
    changes = [(int((after & ~before).sum()), int((before & ~after).sum())) for before, after in pairs]
    # The least likely of several rises is less unlikely than one alone (Bonferroni).
    p = min(1.0, len(pairs) * min(chance_of_rise(won, lost, total, tolerance) for won, lost in changes))
    won, lost = max(changes, key=lambda change: change[0] - change[1])
    if won - lost <= tolerance * total + 1e-9:
        return Finding("", PASS, f"{words}, n = {total}", expected, total, p=p)
    figure = f"{words}; {won} won, {lost} lost of {total} (p = {p:.2g})"
    return Finding("", FAIL if p < LEVEL else WARN, figure, expected, total, p=p)


def failed(findings):
    """The names of the checks that failed; findings may also be dictionaries, as a record holds them."""
    plain = [finding if isinstance(finding, dict) else vars(finding) for finding in findings]
    return [finding["name"] for finding in plain if finding["verdict"] == FAIL]


def reliable(findings):
    """Whether no check failed."""
    return not failed(findings)


def verdict(findings, accuracy=None):
    """What the checks of an attack say of the accuracy that it left.

    An image that an attack broke is broken, whatever the checks say. They qualify only what is left.

    Args:
        findings: of the checks, as `Finding` or as dictionaries of a record.
        accuracy: of the defense under that attack, from 0 to 1; None if it is not known.

    Returns:
        RELIABLE; UNRELIABLE: a check failed, and images are left that a better attack may break; or BROKEN:
        a check failed, but at most one image in a hundred is left, less than checks tell apart.
    """
    if reliable(findings):
        return RELIABLE
    return UNRELIABLE if accuracy is None or accuracy > POINT else BROKEN


def verdict_on_row(findings, accuracies):
    """`verdict` on several attacks through one model in words, for a line of a table."""
    names = failed(findings)
    verdicts = {verdict(findings, accuracy) for accuracy in accuracies}
    if not names:
        return RELIABLE
    if verdicts == {UNRELIABLE}:
        return f"{UNRELIABLE}: {len(names)} FAIL"
    if verdicts == {BROKEN}:
        return f"{BROKEN}; {len(names)} FAIL"
    return f"{UNRELIABLE} where more than {100 * POINT:g}% is left: {len(names)} FAIL"
