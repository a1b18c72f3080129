"""Answers to the exercises of the tutorials: each `check_...` says whether yours is right, or why not.

An answer of None is not checked, so a notebook runs whether its exercises are solved or not.
"""

import dataclasses

import numpy as np

from . import evaluation, losses, surgery


def percent(flags, to=5):
    """A share in words, rounded to what a few hundred images can tell: "about 60%", "less than 5%".

    All or none is not told from nearly so: another machine may round one image the other way.
    """
    steps, most = round(100 * float(np.mean(flags)) / to), round(100 / to)
    if steps == 0:
        return f"less than {to}%"
    return f"more than {100 - to}%" if steps == most else f"about {to * steps}%"


def verdict(answer, right, reason):
    """Print whether an answer is right; `reason` is for one that is not."""
    if answer is None:
        print("not answered yet")
    elif right:
        print("right")
    else:
        print(f"not yet: {reason}")


# --- 01_findings ---------------------------------------------------------------------------------


def check_largest_share(answer):
    """The largest share of pixels that can reach 1.5 times the mean of a score that is never negative."""
    if answer is None:
        return verdict(None, False, "")
    if not isinstance(answer, (int, float, np.number)):
        return verdict(0, False, f"{answer!r} is no number, expected one between 0 and 1")
    right = abs(answer - 1 / 1.5) < 0.01
    hint = "let a share s of the pixels lie at 1.5 times the mean, and all others at 0: what is the mean?"
    verdict(answer, right, hint)


def check_equal_shares(answer, classifier, x_adv):
    """An alpha at which half of the pixels, within 2 points, are salient."""
    if answer is None:
        return verdict(None, False, "")
    share = float(surgery.PixelSurgery(alpha=answer).masks(classifier, x_adv)[0].numpy().mean())
    direction = "larger" if share > 0.5 else "smaller"
    verdict(
        answer,
        abs(share - 0.5) < 0.02,
        f"{100 * share:.0f}% of the pixels are salient, try a {direction} alpha",
    )


# --- 02_pixel_surgery ----------------------------------------------------------------------------


def check_signed_mask(function, classifier, x):
    """A function (gradient) -> salient mask that scores by the signed gradient, as `score="signed"` does."""
    if function is None:
        return verdict(None, False, "")
    gradient = surgery.saliency(lambda z: classifier(z, training=False), x).numpy()
    signed = surgery.PixelSurgery(score="signed")
    expected = signed.masks(classifier, x)[0].numpy()
    found = np.asarray(function(gradient), np.float32)
    if found.shape != expected.shape:
        return verdict(0, False, f"the mask has shape {found.shape}, expected {expected.shape}")
    differ = 100 * float((found != expected).mean())
    hint = f"{differ:.0f}% of the pixels differ: is the mean that of the signed gradient, image by image?"
    readings = (surgery.PixelSurgery(), dataclasses.replace(signed, alpha=1.0))
    by_magnitude, by_mean = (reading.masks(classifier, x)[0].numpy() for reading in readings)
    mistakes = {
        "that is the mask of what stays; 1 stands for salient": 1 - expected,
        "that scores by |S|; here the sign counts": by_magnitude,
        "the threshold is alpha times the mean, not the mean": by_mean,
        "the mean is that of each image, not of the batch": gradient >= signed.alpha * gradient.mean(),
    }
    for mistake, mask in mistakes.items():
        if (found != mask).mean() < 0.005:
            hint = mistake
    verdict(0, differ < 0.5, hint)


def check_flat_image(kept_by_equation, kept_by_package):
    """Shares of pixels that remain of an image whose saliency is 0 everywhere."""
    if kept_by_equation is None or kept_by_package is None:
        return verdict(None, False, "")
    if kept_by_equation != 0:
        return verdict(0, False, "equation 4 asks whether S >= 1.5 mean(S). Put in S = 0: is 0 >= 0 true?")
    hint = "right for the equation; for the package, see `flat` in help(surgery.PixelSurgery)"
    verdict(0, kept_by_package == 1, hint)


# --- 03_regeneration -----------------------------------------------------------------------------


def check_undecided_discriminator(answer):
    """Both parts of equation 8 where D gives every pair the probability one half: (loss of D, loss of E)."""
    if answer is None:
        return verdict(None, False, "")
    found = np.asarray(answer, float)
    right = found.shape == (2,) and np.allclose(found, [2 * np.log(2), -np.log(2)], atol=0.01)
    verdict(
        0, right, "D adds -log D over a real and -log(1 - D) over a restored pair; E minimises log(1 - D)"
    )


def check_divergence(function):
    """A function (logits, reference_logits) -> KL(p || q) of each row."""
    if function is None:
        return verdict(None, False, "")
    generator = np.random.default_rng(0)
    first, second = generator.normal(size=(2, 6, 10)).astype(np.float32) * 3
    first[0, 0] = second[0, 1] = 200  # e^200 is more than float32 can hold
    found = np.asarray(function(first, second))
    expected = losses.kl_divergence(first, second).numpy()
    swapped = losses.kl_divergence(second, first).numpy()
    if found.shape != expected.shape:
        return verdict(0, False, f"the result has shape {found.shape}, expected {expected.shape}: one a row")
    if not np.isfinite(found).all():
        return verdict(0, False, f"for a logit of 200 the result is {found[0]}: take log_softmax")
    hint = (
        "that is KL(q || p)"
        if np.allclose(found, swapped, rtol=1e-3)
        else "sum p (log p - log q) over classes"
    )
    verdict(0, np.allclose(found, expected, rtol=1e-3), hint)


# --- 06_bpda -------------------------------------------------------------------------------------


def check_random_threshold(x_adv, pssr, x, y, eps=0.3, draws=10):
    """Adversarial images for a PSSR that draws its alpha from 1 to 2 anew for each call.

    Right if, of all pairs of an image and one of `draws` alphas, fewer than 10% are still answered correctly.
    """
    if x_adv is None:
        return verdict(None, False, "")
    x_adv = np.asarray(x_adv, np.float32)
    if x_adv.shape != x.shape:
        return verdict(0, False, f"the images have shape {x_adv.shape}, expected {x.shape}")
    # Written so that NaN fails, too.
    if not (np.abs(x_adv - x).max() <= eps + 1e-6 and x_adv.min() >= 0 and x_adv.max() <= 1):
        return verdict(0, False, f"images must stay within {eps} of the clean ones and within [0, 1]")
    right = []
    for alpha in np.random.default_rng(7).uniform(1, 2, draws):
        reading = dataclasses.replace(pssr.surgery, alpha=float(alpha))
        answers = pssr.classifier(pssr.restore(reading.remove(pssr.classify, x_adv)))
        right.append(np.argmax(answers, axis=-1) == y)
    accuracy = float(np.mean(right))
    hint = (
        f"{100 * accuracy:.0f}% of the pairs of an image and one of {draws} alphas are still answered "
        "correctly, fewer than 10% are wanted: attack a surrogate of the whole defense"
    )
    verdict(0, accuracy < 0.1, hint)


def check_ceiling(answer):
    """Whether robust accuracy, as the worst case within the budget, can exceed clean accuracy."""
    if answer is None:
        return verdict(None, False, "")
    verdict(0, answer is False, "may the attacker leave the image as it is?")


# --- 04_robustness -------------------------------------------------------------------------------


def check_interval(answer, right, n):
    """Wilson's 95% interval of `right` of n images, in percent, as (low, high)."""
    if answer is None:
        return verdict(None, False, "")
    expected = [100 * bound for bound in evaluation.wilson_interval(right, n)]
    hint = "solve (p_hat - p)^2 = z^2 p (1 - p) / n for p, with z = 1.96; the centre is not p_hat itself"
    found = np.asarray(answer, float)
    if found.shape != (2,):
        return verdict(0, False, f"{answer} is no pair (low, high)")
    if np.allclose(100 * found, expected, atol=0.15):
        hint = "the numbers are right, but give them in percent"
    elif np.allclose(found[::-1], expected, atol=0.15):
        hint = "the numbers are right, but the lower comes first"
    verdict(0, np.allclose(found, expected, atol=0.15), hint)


def check_images_needed(answer):
    """How many images make the interval of 98% two points wide: half its width one point, within a tenth."""
    if answer is None:
        return verdict(None, False, "")
    if not answer >= 1:
        return verdict(0, False, f"{answer} is no number of images")
    low, high = evaluation.wilson_interval(round(0.98 * answer), answer)
    width = 100 * (high - low) / 2
    verdict(
        0, 0.9 <= width <= 1.1, f"with {answer:,} images half the width of the interval is {width:.2f} points"
    )


# --- 05_ablations --------------------------------------------------------------------------------


def check_mcnemar(function):
    """A function (first, second) -> p-value of McNemar's exact test on two arrays of flags."""
    if function is None:
        return verdict(None, False, "")
    generator = np.random.default_rng(0)
    first, second = generator.uniform(size=(2, 40)) < np.array([[0.9], [0.8]])
    expected = evaluation.mcnemar(first, second)["p"]
    found = float(function(first, second))
    if not np.isclose(found, expected, rtol=0.01):
        hint = "count images on which exactly one is right, a fair coin each; exactly, not by chi-squared"
        if np.isclose(found, expected / 2, rtol=0.01):
            hint = "that is one tail; ask how often coins are as uneven as this in either direction"
        return verdict(0, False, f"p = {found:.2g}: {hint}")
    try:
        same = float(function(first, first))
    except ValueError as error:  # scipy refuses no tosses
        return verdict(0, False, f"where the rows never differ, it stops with: {error}")
    verdict(0, np.isclose(same, 1), f"p = {same:.2g} for rows that never differ, expected 1: no evidence")


FAIR = {
    "train each variant anew": True,
    "same number of steps for each": True,
    "leave a stage out of the trained whole": False,
    "tune the whole longer than its parts": False,
    "report the best of three seeds": False,
    "judge all on the same images": True,
}


def check_fair(answer):
    """Which of the practices in `FAIR` belong to a fair ablation: a set of their names."""
    if answer is None:
        return verdict(None, False, "")
    expected = {practice for practice, fair in FAIR.items() if fair}
    wrong = sorted(expected ^ set(answer))
    verdict(0, not wrong, f"think again about: {wrong[0] if wrong else ''}")
