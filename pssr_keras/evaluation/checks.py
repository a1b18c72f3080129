"""Signs that an attack failed rather than that a defense held.

A high accuracy under attack means little by itself: most broken evaluations had one. Each check here
measures something that holds for a working attack whatever the defense does, and says PASS, WARN or FAIL
with its figure. After a FAIL the table is UNRELIABLE. The ideas are those of Carlini et al. 2019, "On
evaluating adversarial robustness", Tramer et al. 2020 and Pintor et al. 2022; the thresholds are ours.

Left out, for they need a randomised defense or much more time: expectation over transformations, the
binarisation test of Zimmermann et al. 2022, gradients in float64.
"""

import dataclasses

import numpy as np
import tensorflow as tf

from ..attacks.base import (
    ball,
    compiled_logits,
    cross_entropy,
    distances,
    logits_loss_gradient,
    project,
    uniform_noise,
)
from ..attacks.gradient import FGSM, PGD, sign_step, trajectory
from ..attacks.square import Square
from ..inputs import InputError, check_logits, parse_eps
from ..progress import Progress
from .crafting import batches, correct, craft, logits_of, pad
from .text import align

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"
POINT = 0.01 + 1e-9  # one percentage point of accuracy, the tolerance of most checks
UNBOUNDED = 0.01  # accuracy that may remain at eps = 1, where any image may become any other
NEWLY_BROKEN = (
    0.002  # share of images that a weaker attack may break and a stronger one not; AutoAttack's own
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """One check: its name, PASS, WARN or FAIL, the figure, and what was expected."""

    name: str
    verdict: str
    figure: str
    expected: str


def graded(name, good, figure, expected, bad=FAIL):
    return Finding(name, PASS if good else bad, figure, expected)


def reliable(findings):
    """Whether no check failed."""
    return all(finding.verdict != FAIL for finding in findings)


def text(findings):
    """The findings as a table, and the verdict."""
    lines = [["", "check", "measured", "expected"]]
    lines += [[f.verdict, f.name, f.figure, f.expected] for f in findings]
    verdict = "no check failed" if reliable(findings) else "UNRELIABLE: a check failed"
    return f"{align(lines)}\n{verdict}"


def outputs(model, x):
    """The model returns finite logits, the same each time, and the same for an image alone.

    Returns:
        Findings; no attack makes sense if one of the first two fails.
    """
    logits = compiled_logits(model)
    first = logits(x).numpy()
    try:
        check_logits(first)
        found = [Finding("logits", PASS, f"from {first.min():.3g} to {first.max():.3g}", "logits, finite")]
    except InputError as error:
        return [Finding("logits", FAIL, str(error), "logits, finite")]
    size = max(np.abs(first).max(), 1e-12)
    repeated = np.abs(logits(x).numpy() - first).max() / size
    expected = "<= 0.0001 of the largest logit"
    found.append(graded("same answer twice", repeated <= 1e-4, f"differs by {repeated:.1e}", expected))
    few = min(8, len(x))
    alone = np.concatenate([logits(x[i : i + 1]).numpy() for i in range(few)])
    alone = np.abs(alone - first[:few]).max() / size
    found.append(graded("same answer alone", alone <= 1e-3, f"differs by {alone:.1e}", "<= 0.001 of it"))
    return found


def gradients(model, surrogate, images, batch_size=250):
    """What the attacker differentiates has the answers of the defense, and a gradient for every image."""
    x, y = images.x, tf.constant(images.y)
    difference = np.abs(compiled_logits(model)(x).numpy() - compiled_logits(surrogate)(x).numpy()).max()
    logits = compiled_logits(surrogate)
    parts = []
    for rows in batches(len(x), batch_size):
        _, _, part = logits_loss_gradient(
            logits, lambda z, labels=y[rows]: cross_entropy(labels, z), tf.constant(x[rows])
        )
        parts.append(part.numpy())
    gradient = np.concatenate(parts).reshape(len(x), -1)
    flat = int((np.abs(gradient).max(axis=1) == 0).sum())
    share = (gradient != 0).mean()
    return [
        graded(
            "same forward pass", difference <= 1e-3, f"logits differ by {difference:.1e}", "<= 0.001", WARN
        ),
        graded("images without gradient", flat == 0, f"{flat} of {len(x)}", "0"),
        Finding("pixels with a gradient", PASS, f"{100 * share:.1f}%", "for information"),
    ]


def run(model, images, eps, surrogate=None, seed=0, steps=100, queries=500, draws=100, progress=False):
    """The whole battery.

    Args:
        model: the defense, images -> logits: whose accuracy counts.
        images: `data.Images`, about a hundred.
        eps: the budget of the evaluation, Linf.
        surrogate: what the attacker differentiates; the model itself if None. Naming the classifier
            checks an oblivious evaluation, and rightly fails.
        seed: integer.
        steps: steps of the longest PGD.
        queries: queries of Square.
        draws: random corners of the eps-ball for each image.
        progress: show a progress bar.

    Returns:
        A list of `Finding`.
    """
    eps = parse_eps(eps)
    surrogate = model if surrogate is None else surrogate
    found = outputs(model, images.x)
    if found[0].verdict == FAIL:
        return found
    if surrogate is not model and (wrong := outputs(surrogate, images.x)[0]).verdict == FAIL:
        return [*found, dataclasses.replace(wrong, name="logits of the surrogate")]
    found += gradients(model, surrogate, images)

    x, y = images.x, images.y
    bar = Progress("checks" if progress else None, 16, unit_name="attack")
    done = 0

    def attacked(attack, on=surrogate):
        """Which images the model still classifies correctly, and the attacked images."""
        nonlocal done
        x_adv = craft(attack, on, images, seed)
        done += 1
        bar.update(done)
        return correct(model, x_adv, y), x_adv

    def pgd(eps, steps):
        return PGD(eps, steps=steps, step_size=max(2.5 * eps / steps, eps / 40), best=True)

    clean = correct(model, x, y)

    # More steps.
    counts = [n for n in (1, 3, 10, 30) if n < steps] + [steps]
    by_steps = {n: attacked(pgd(eps, n)) for n in counts}
    robust, x_adv = by_steps[steps]
    curve = [by_steps[n][0].mean() for n in counts]
    shown = ", ".join(f"{n}: {100 * value:.0f}" for n, value in zip(counts, curve, strict=True))
    rise = max(np.diff(curve), default=0)
    found.append(graded("accuracy by steps does not rise", rise <= POINT, f"{shown}%", "rises by <= 1 point"))
    still = curve[-2] - curve[-1]
    found.append(
        graded("more steps change little", still <= POINT, f"{100 * still:.1f} points", "<= 1", WARN)
    )

    # Feasible, and judged the same by the model as it is, not compiled.
    largest = distances(x, x_adv, "Linf").max()
    in_range = x_adv.min() >= 0 and x_adv.max() <= 1
    again = np.concatenate([np.asarray(model(pad(x_adv[rows], 250)))[: rows.stop - rows.start]
                            for rows in batches(len(x), 250)]).argmax(axis=-1) == y  # fmt: skip
    differ = int((again != robust).sum())
    found.append(
        graded(
            "feasible, and judged the same again",
            largest <= eps + 1e-6 and in_range and differ == 0,
            f"largest change {largest:.6g}, {differ} judged otherwise",
            f"<= {eps:g} within [0, 1], 0",
        )
    )

    # Against weaker attackers.
    under, over = robust.mean(), clean.mean()
    found.append(
        graded(
            "attacked <= clean",
            under <= over,
            f"{100 * under:.1f}% <= {100 * over:.1f}%",
            "no more than clean",
        )
    )
    one_step, _ = attacked(FGSM(eps))
    found.append(
        graded(
            "iterated <= one step",
            under <= one_step.mean() + 1e-9,
            f"PGD {100 * under:.1f}%, FGSM {100 * one_step.mean():.1f}%",
            "PGD no higher",
        )
    )
    by_square, _ = attacked(Square(eps, queries=queries), model)
    missed = (robust & ~by_square).mean()
    found.append(
        graded(
            "white box no weaker than Square",
            missed <= NEWLY_BROKEN,
            f"Square alone breaks {100 * missed:.1f}%",
            f"<= {100 * NEWLY_BROKEN:g}%",
        )
    )
    by_noise = clean.copy()
    for draw in range(draws):
        noise = np.sign(uniform_noise(seed + 1, images.indices, x.shape[1:], draw).numpy())
        by_noise &= correct(model, np.clip(x + np.float32(eps) * noise, 0, 1), y)
    done += 1
    bar.update(done)
    missed = (robust & ~by_noise).mean()
    found.append(
        graded(
            "white box no weaker than noise",
            missed <= NEWLY_BROKEN,
            f"noise alone breaks {100 * missed:.1f}%",
            f"<= {100 * NEWLY_BROKEN:g}%",
        )
    )

    # More budget.
    budgets = np.linspace(0, 1, 8)
    curve = [attacked(pgd(budget, min(steps, 30)))[0].mean() for budget in budgets]
    shown = ", ".join(f"{b:.2f}: {100 * value:.0f}" for b, value in zip(budgets, curve, strict=True))
    rise = max(np.diff(curve))
    found.append(graded("accuracy by eps does not rise", rise <= POINT, f"{shown}%", "rises by <= 1 point"))
    unbounded = attacked(pgd(1.0, steps))[0].mean() if curve[-1] > UNBOUNDED else curve[-1]
    found.append(
        graded("eps = 1 breaks all", unbounded <= UNBOUNDED, f"{100 * unbounded:.1f}% remain", "<= 1%")
    )

    # The loss on the way.
    losses, _ = trajectory(pgd(eps, min(steps, 30)), surrogate, x, y, seed, images.indices)
    rose = (losses.max(axis=0) > losses[0])[clean].mean() if clean.any() else 1.0
    verdict = PASS if rose >= 0.99 else WARN if rose >= 0.95 else FAIL
    found.append(
        Finding("loss rises", verdict, f"for {100 * rose:.1f}% of the images", ">= 99%, fails below 95%")
    )
    noise = np.float32(eps) * uniform_noise(seed, images.indices, x.shape[1:]).numpy()
    start = np.clip(x + noise, 0, 1)
    stepped, _, _ = sign_step(compiled_logits(surrogate), tf.constant(start), tf.constant(y), eps / 10)
    moved = project(stepped, ball(x, eps)).numpy()
    before, after = (cross_entropy(y, logits_of(model, z)).numpy() for z in (start, moved))
    better = (after > before).mean()
    found.append(
        Finding(
            "a small step raises the defense's loss",
            PASS if better >= 0.9 else WARN,
            f"for {100 * better:.1f}% of the images",
            ">= 90%",
        )
    )
    return found
