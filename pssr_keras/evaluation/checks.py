"""Signs that an attack failed rather than that a defense held.

A high accuracy under attack means little by itself: most broken evaluations had one. Each check here
measures something that holds for a working attack whatever the defense does, and says PASS, WARN or FAIL
with its figure and its resolution, see `findings`. After a FAIL the accuracy that the attack left is
UNRELIABLE; what it broke stays broken. The ideas are those of Carlini et al. 2019, "On evaluating
adversarial robustness", Tramer et al. 2020 and Pintor et al. 2022; the thresholds are ours.

A further check is one function of `Measurements` under `check("its name")`.
"""

import dataclasses
import typing

import numpy as np

from ..attacks.base import compiled_logits, distances
from ..attacks.finite_gradient import place_of
from ..attacks.names import norms_of
from ..attacks.square import Square
from ..batching import batches, pad
from ..inputs import InputError, check_logits
from ..progress import Progress
from .findings import (
    BROKEN,
    FAIL,
    PASS,
    POINT,
    RELIABLE,
    UNRELIABLE,
    WARN,
    Finding,
    fact,
    failed,
    no_rise,
    reliable,
    share,
    verdict,
    verdict_on_row,
)
from .measurements import SAME, Measurements
from .text import text_of_findings as text

__all__ = [
    "BROKEN", "CHECKS", "FAIL", "PASS", "RELIABLE", "UNRELIABLE", "WARN", "Finding", "Measurements", "check",
    "failed", "reliable", "run", "text", "verdict", "verdict_on_row",
]  # fmt: skip

NEWLY_BROKEN = 0.002  # share that a weaker attack may break and a stronger one not; AutoAttack's own

CHECKS: dict[str, "Check"] = {}


@dataclasses.dataclass(frozen=True)
class Check:
    """A function of `Measurements` that returns a `Finding`, or None if there is nothing to say.

    Attributes:
        decisive: after a FAIL no further check makes sense.
    """

    function: typing.Callable
    decisive: bool = False


def check(name, decisive=False):
    """Decorator: make a check known; checks run in the order in which they are defined."""

    def decorate(function):
        CHECKS[name] = Check(function, decisive)
        return function

    return decorate


def run(
    model: typing.Any,
    images: typing.Any,
    eps: float | str,
    surrogate: typing.Any = None,
    seed: int = 0,
    steps: int = 100,
    queries: int = 500,
    draws: int = 100,
    progress: bool = False,
    planted: int = 20,
    norm: str = "Linf",
) -> list[Finding]:
    """The whole battery.

    Args:
        model: the defense, images -> logits: whose accuracy counts.
        images: about a hundred: (x, y), a tf.data.Dataset, or `data.Images`; see `data.images_of`.
        eps: the budget of the evaluation.
        surrogate: what the attacker differentiates; the model itself if None. Naming the classifier
            checks an oblivious evaluation, and rightly fails.
        seed: integer.
        steps: steps of the longest PGD.
        queries: queries of Square.
        draws: random points of the eps-ball for each image, corners of it in Linf.
        progress: show a progress bar.
        planted: images of the binarisation test, each with a readout of its own; that test knows Linf only.
        norm: of the budget, "Linf", "L2" or "L1".

    Returns:
        A list of `Finding`.

    Raises:
        InputError: for images, labels or models that do not fit; see `inputs`.
    """
    measured = Measurements(model, images, eps, surrogate, seed, steps, queries, draws, planted, norm)
    bar = Progress("checks" if progress else None, len(CHECKS), unit_name="check")
    found = []
    for done, (name, one) in enumerate(CHECKS.items(), 1):
        finding = one.function(measured)
        bar.update(done)
        if finding is not None:
            found.append(dataclasses.replace(finding, name=name_in(measured, name)))
            if one.decisive and finding.verdict == FAIL:
                break
    return found


def name_in(measured, name):
    """The name of a check as a reader of this norm understands it."""
    return name if measured.norm == "Linf" else name.replace("eps = 1", f"eps = {measured.furthest:g}")


# --- answers: facts that one image decides -------------------------------------------------------


def finite_logits(logits):
    expected = "logits, finite"
    try:
        check_logits(logits)
    except InputError as error:
        return fact(False, str(error), expected)
    return fact(True, f"from {logits.min():.3g} to {logits.max():.3g}", expected)


@check("logits", decisive=True)
def logits(measured):
    return finite_logits(measured.answers)


def difference(measured, other):
    """How much other logits of the first images differ at most, as a share of the largest logit."""
    size = max(np.abs(measured.answers).max(), 1e-12)
    return np.abs(other - measured.answers[: len(other)]).max() / size


@check("same answer twice")
def same_twice(measured):
    differs = difference(measured, measured.repeated)
    return fact(not measured.is_random, f"differs by {differs:.1e}", f"<= {SAME:g} of the largest logit")


@check("same answer alone")
def same_alone(measured):
    answer = compiled_logits(measured.model)
    alone = [answer(measured.x[i : i + 1]).numpy() for i in range(min(8, len(measured.x)))]
    differs = difference(measured, np.concatenate(alone))
    return fact(differs <= 1e-3, f"differs by {differs:.1e}", "<= 0.001 of it")


@check("logits of the surrogate", decisive=True)
def logits_of_surrogate(measured):
    """Said only where they are none."""
    if measured.surrogate is measured.model:
        return None
    found = finite_logits(compiled_logits(measured.surrogate)(measured.x).numpy())
    return found if found.verdict == FAIL else None


@check("gradient is finite", decisive=True)
def gradient_is_finite(measured):
    """Said only where it is not: no attack could follow it."""
    bad = ~np.isfinite(measured.gradient).all(axis=1)
    if not bad.any():
        return None
    place = place_of(measured.surrogate, measured.x[bad], measured.y[bad], measured.eps)
    return fact(False, f"NaN or infinite for {bad.sum()} images{place}", "finite")


@check("same forward pass")
def same_forward_pass(measured):
    """What the attacker differentiates has the answers of the defense."""
    differs = np.abs(measured.answers - compiled_logits(measured.surrogate)(measured.x).numpy()).max()
    return fact(differs <= 1e-3, f"logits differ by {differs:.1e}", "<= 0.001", WARN)


# --- gradients -----------------------------------------------------------------------------------


@check("images without gradient")
def images_without_gradient(measured):
    """An image without gradient is hidden from the attack: it counts like a point of accuracy."""
    flat = int((np.abs(measured.gradient).max(axis=1) == 0).sum())
    return share(flat, len(measured.x), POINT, "{}")


@check("pixels with a gradient")
def pixels_with_a_gradient(measured):
    return fact(True, f"{100 * (measured.gradient != 0).mean():.1f}%", "for information")


@check("gradient is that of finite differences")
def gradient_is_true(measured):
    """Of the defense, in float64. No failure: a surrogate may rightly differ, and networks have kinks."""
    errors = None if measured.is_random else measured.errors_of_gradient
    if errors is None:
        return None
    off = int((errors > 0.05).sum())
    return share(off, len(errors), 0.1, "slopes off by > 5% for {} of the images", worst=WARN)


@check("the expectation needs no more draws")
def draws_suffice(measured):
    """Said only of a random defense: an attack on the mean over more draws finds no more."""
    if not measured.is_random:
        return None
    flags = measured.by_expectation
    return no_rise(list(flags.values())[::-1], POINT, accuracies(flags), "more draws find <= 1 point more")


@check("a perturbation that exists is found")
def planted_is_found(measured):
    """The binarisation test of Zimmermann et al. 2022; see `binarisation`."""
    result = measured.planted_found
    if result is None or not len(result.found):
        return None
    missed = int((~result.found).sum())
    guessed, total = int(result.guessed.sum()), len(result.guessed)
    finding = share(missed, total, 0.05, "{} not found")
    words = f"{finding.figure}; {guessed} by guessing, {result.inseparable} inseparable"
    return dataclasses.replace(finding, figure=words)


# --- more steps ----------------------------------------------------------------------------------


def accuracies(named_flags):
    return ", ".join(f"{name}: {100 * flags.mean():.0f}" for name, flags in named_flags.items()) + "%"


@check("accuracy by steps does not rise")
def by_steps(measured):
    curve = {steps: flags for steps, (_, flags) in measured.by_steps.items()}
    return no_rise(list(curve.values()), POINT, accuracies(curve), "rises by <= 1 point")


@check("more steps change little")
def more_steps(measured):
    """No failure of the attack, but more effort would find more."""
    *_, (_, before), (_, after) = measured.by_steps.values()
    change = before.mean() - after.mean()
    return fact(change <= POINT + 1e-9, f"{100 * change:.1f} points, n = {len(after)}", "<= 1", WARN)


@check("feasible, and judged the same again")
def feasible(measured):
    """Within the budget and the range: facts. Judged alike by the model as it is, not compiled: a share."""
    x, x_adv, total = measured.x, measured.x_adv, len(measured.x)
    again = [
        np.asarray(measured.model(pad(x_adv[rows], 250)))[: rows.stop - rows.start]
        for rows in batches(total, 250)
    ]
    differ = int(((np.concatenate(again).argmax(axis=-1) == measured.y) != measured.robust).sum())
    largest = distances(x, x_adv, measured.norm).max()
    found = share(differ, total, NEWLY_BROKEN, f"largest change {largest:.6g}, {{}} judged otherwise")
    expected = f"<= {measured.eps:g} within [0, 1], {found.expected}"
    summed = 0 if measured.norm == "Linf" else 1e-5 * measured.eps  # what rounding adds up to
    if largest > measured.eps + 1e-6 + summed or x_adv.min() < 0 or x_adv.max() > 1:
        return fact(False, found.figure, expected)
    return dataclasses.replace(found, expected=expected)


# --- weaker attackers ----------------------------------------------------------------------------


@check("attacked <= clean")
def attacked_and_clean(measured):
    under, over = measured.robust, measured.clean
    words = f"{100 * under.mean():.1f}% <= {100 * over.mean():.1f}%"
    return no_rise([over, under], 0, words, "no more than clean")


@check("iterated <= one step")
def iterated_and_one_step(measured):
    under, over = measured.robust, measured.by_one_step
    words = f"PGD {100 * under.mean():.1f}%, FGSM {100 * over.mean():.1f}%"
    return no_rise([over, under], 0, words, "PGD no higher")


def missed(measured, flags, name):
    """The share of images that stand under PGD and fall under a weaker attacker."""
    newly = int((measured.robust & ~flags).sum())
    return share(newly, len(flags), NEWLY_BROKEN, f"{name} alone breaks {{}}")


@check("white box no weaker than Square")
def no_weaker_than_square(measured):
    """Said only where Square knows the norm."""
    if measured.norm not in norms_of(Square):
        return None
    return missed(measured, measured.by_square, "Square")


@check("white box no weaker than noise")
def no_weaker_than_noise(measured):
    return missed(measured, measured.by_noise, "noise")


# --- more budget ---------------------------------------------------------------------------------


@check("accuracy by eps does not rise")
def by_eps(measured):
    curve = {f"{eps:.2f}": flags for eps, flags in measured.by_eps.items()}
    return no_rise(list(curve.values()), POINT, accuracies(curve), "rises by <= 1 point")


@check("eps = 1 breaks all")
def unbounded(measured):
    flags = measured.without_bounds
    return share(int(flags.sum()), len(flags), POINT, "{} remain")


# --- the loss on the way -------------------------------------------------------------------------


@check("loss rises")
def loss_rises(measured):
    """The attack raises the loss of what it attacks, on nearly every image that is right at first."""
    looked = measured.clean if measured.clean.any() else np.ones_like(measured.clean)
    rose = (measured.losses.max(axis=0) > measured.losses[0])[looked]
    return share(int((~rose).sum()), len(rose), POINT, "for {} of the images", complement=True)


@check("a small step raises the defense's loss")
def small_step(measured):
    """Not of what is attacked but of the defense: along noise it rises about every other time."""
    before, after = measured.small_step
    worse = int((after <= before).sum())
    return share(worse, len(before), 0.1, "for {} of the images", complement=True, worst=WARN)
