"""Attack a PSSR adaptively: surrogates with its forward pass and another backward pass.

The mask of pixel surgery is piecewise constant, so nothing flows back through it, and an attacker must
say what should stand in for its gradient. Each answer is a surrogate: a model whose logits are exactly
those of the PSSR, and which any gradient attack takes as it takes any other model:

    x_adv = PGD(eps=0.3, steps=100, best=True)(adaptive.surrogate(pssr, "frozen_mask"), x, y)

    identity          BPDA through the whole purifier: d purify(x)/dx = 1 (Athalye et al. 2018)
    frozen_mask       the mask is a constant: exact wherever the mask does not change
    straight_through  d x_t/dx = 1, then exactly through E: it also reaches the erased pixels
    soft_mask         sigmoid((alpha - S / mean S) / temperature) in place of the step, differentiated
                      twice through the classifier; nearly blind where that is piecewise linear
    saliency_aware    the same, with the derivative of the saliency from finite differences, which see
                      the kinks of a ReLU network

Of a surgery whose mask is soft already, `soft_mask` is the exact gradient and `saliency_aware` is exact but
for the kinks. Whoever guides the mask, the classifier or another model, is differentiated in its place.

Whether the answers agree tells whether an attack failed or a defense held: see `checks`.
"""

import typing

import tensorflow as tf

from .. import surgery as pixel_surgery
from ..defense import PSSR
from ..frozen import AroundFrozen
from ..inputs import InputError
from .base import logits_function


@tf.custom_gradient
def replace_gradient(value, through):
    """Exactly `value`, whose gradient flows to `through` instead, unchanged."""
    return tf.identity(value), lambda upstream: (None, upstream)


class Surrogate(PSSR):
    """A PSSR as an attacker sees it: the same logits, another gradient. It is never saved."""

    def get_config(self):
        raise NotImplementedError("a surrogate belongs to an attack: save the PSSR it was made of")


class Identity(Surrogate):
    """BPDA as Athalye et al. 2018 write it for purifiers: backward, the purifier does nothing."""

    def purify(self, x, batch_size=None):
        if batch_size is not None:  # an array, through which no gradient flows
            return super().purify(x, batch_size)
        return replace_gradient(tf.stop_gradient(super().purify(tf.stop_gradient(x))), x)


class FrozenMask(Surrogate):
    """x_t = x M with M constant: the true gradient of the pipeline almost everywhere."""

    def remove(self, x):
        if self.surgery is None:
            return x
        _, trivial = self.surgery.masks(self.guiding_logits, tf.stop_gradient(x))
        return pixel_surgery.component(x, tf.stop_gradient(trivial))


class StraightThrough(Surrogate):
    """d x_t/dx = 1: where surgery erased a pixel, the attacker still learns what E would do with it."""

    def remove(self, x):
        return replace_gradient(tf.stop_gradient(super().remove(tf.stop_gradient(x))), x)


class SoftMask(Surrogate):
    """The step of equation 4 becomes a sigmoid backward: x_t = x m, m = sigmoid((alpha - S / mean S) / T).

    Forward, the mask of the surgery stays. `saliency` says how S is differentiated; here exactly.

    Args:
        temperature: T; the smaller, the nearer to the step and the rarer a gradient. If None, that of a
            surgery whose own mask is soft, so that the gradient is the true one, and 0.3 of any other.

    Raises:
        InputError: if the temperature is not positive.
    """

    def __init__(self, *stages, temperature=None, **kwargs):
        super().__init__(*stages, **kwargs)
        if temperature is None:
            is_soft = self.surgery is not None and self.surgery.removal == "soft"
            temperature = self.surgery.temperature if is_soft else 0.3
        if not temperature > 0:
            raise InputError(f"temperature is {temperature}, expected a positive number")
        self.temperature = temperature

    def saliency(self, x, of):
        return pixel_surgery.saliency(self.guiding_logits, x, of)

    def remove(self, x):
        surgery = self.surgery
        if surgery is None:
            return x
        scores = pixel_surgery.pixel_scores(self.saliency(x, surgery.of), surgery.score, surgery.channels)
        soft = pixel_surgery.soft_salient_mask(
            scores, surgery.threshold_of(scores), self.temperature, surgery.flat
        )
        exact = tf.stop_gradient(surgery.salient_of(tf.stop_gradient(scores)))
        salient = replace_gradient(exact, soft)
        return pixel_surgery.component(x, pixel_surgery.trivial_mask(salient))


class SaliencyAware(SoftMask):
    """As `SoftMask`, but the saliency S = dl/dx is differentiated by finite differences.

    Backward, an upstream u becomes the Hessian's product H u = (S(x + h u) - S(x - h u)) / 2h, with h such
    that the largest pixel of h u is `radius`, and S that of the class predicted at x.

    Args:
        radius: how far from x the differences look, in pixel units; a tenth of eps is a good start.

    Raises:
        InputError: if the temperature or the radius is not positive.
    """

    def __init__(self, *stages, radius=0.03, **kwargs):
        super().__init__(*stages, **kwargs)
        if not radius > 0:
            raise InputError(f"radius is {radius}, expected a positive number")
        self.radius = radius

    def saliency(self, x, of):
        @tf.custom_gradient
        def smoothed(x):
            classes = tf.argmax(self.guiding_logits(x), axis=-1)

            def backward(upstream, variables=()):
                largest = tf.reduce_max(tf.abs(upstream), axis=(1, 2, 3), keepdims=True)
                h = tf.math.divide_no_nan(self.radius, largest)
                ahead, behind = (
                    pixel_surgery.saliency(self.guiding_logits, x + sign * h * upstream, of, classes)
                    for sign in (1, -1)
                )
                product = tf.math.divide_no_nan(ahead - behind, 2 * h)
                return (product, [None] * len(variables)) if variables else product

            return pixel_surgery.saliency(self.guiding_logits, x, of, classes), backward

        return smoothed(x)


SURROGATES = {
    "identity": Identity,
    "frozen_mask": FrozenMask,
    "straight_through": StraightThrough,
    "soft_mask": SoftMask,
    "saliency_aware": SaliencyAware,
}


class Through(AroundFrozen):
    """Any defense with the backward pass of BPDA: d purify(x)/dx = 1. It is never saved."""

    frozen = ("defense",)

    def __init__(self, defense, **kwargs):
        super().__init__(**kwargs)
        self.defense = defense
        self.supports_jit = False  # as in `defense.PSSR`
        self.built = True

    @property
    def input_shape(self):
        return self.defense.input_shape

    def call(self, x, training=False):
        purified = replace_gradient(tf.stop_gradient(self.defense.purify(tf.stop_gradient(x))), x)
        return self.defense.classifier(purified, training=False)


class Expectation(AroundFrozen):
    """A random defense as its attacker sees it: the log of its mean probability over several draws.

    The gradient is then that of an expectation (EOT, Athalye et al. 2018). Whether an image falls is a matter
    of fresh draws of the defense itself, not of this model. It is never saved.

    Args:
        defense: images -> logits, with other answers at each call.
        draws: number of draws.

    Raises:
        InputError: if draws < 1.
    """

    frozen = ("defense",)

    def __init__(self, defense, draws, **kwargs):
        super().__init__(**kwargs)
        if draws < 1:
            raise InputError(f"draws is {draws}, expected at least 1")
        self.defense = defense
        self.draws = draws
        self.supports_jit = False  # as in `defense.PSSR`
        self.built = True

    @property
    def input_shape(self):
        return self.defense.input_shape

    def call(self, x, training=False):
        answers = tf.nn.log_softmax(logits_function(self.defense)(tf.repeat(x, self.draws, axis=0)))
        answers = tf.reshape(answers, (-1, self.draws, answers.shape[-1]))
        return tf.reduce_logsumexp(answers, axis=1) - tf.math.log(float(self.draws))


def surrogates(defense: typing.Any) -> dict[str, typing.Any]:
    """Everything through which a defense can be attacked by gradient: {name: model}.

    Args:
        defense: a Keras model with `classifier` and `purify`. A PSSR with surgery has all of `SURROGATES`;
            without a mask they coincide but for `identity`. Another defense is attacked as it is, `exact`,
            and by `identity`; where it has a gradient of its own that should be replaced, it has a method
            `surrogates` that returns more of them.
    """
    if isinstance(defense, PSSR):
        names = SURROGATES if defense.surgery is not None else ("identity", "frozen_mask")
        return {name: surrogate(defense, name) for name in names}
    own = defense.surrogates() if hasattr(defense, "surrogates") else {}
    return {"exact": defense, "identity": Through(defense), **own}


def sources(defense: typing.Any, names: typing.Iterable[str] | None = None) -> dict[str, typing.Any]:
    """What an attacker who knows a defense crafts on: its classifier alone, and its `surrogates`.

    Args:
        defense: see `surrogates`.
        names: of the surrogates; all of them if None.

    Raises:
        InputError: for an unknown name.
    """
    known = surrogates(defense)
    names = list(known) if names is None else names
    for name in names:
        if name not in known:
            raise InputError(f"unknown surrogate {name!r}, expected one of {', '.join(known)}")
    return {"classifier": defense.classifier, **{name: known[name] for name in names}}


def surrogate(pssr: PSSR, name: str, **options: typing.Any) -> typing.Any:
    """The surrogate of a PSSR for gradient attacks; see the head of this module.

    Args:
        pssr: `defense.PSSR`, any of its stages may be left out.
        name: "identity", "frozen_mask", "straight_through", "soft_mask" or "saliency_aware".
        options: `temperature` for the last two, `radius` for the last.

    Returns:
        A model with the logits of `pssr` and other gradients.

    Raises:
        InputError: for an unknown name, an option that the surrogate does not have, or if `pssr` is none.
    """
    if name not in SURROGATES:
        raise InputError(f"unknown surrogate {name!r}, expected one of {', '.join(SURROGATES)}")
    if not isinstance(pssr, PSSR):
        raise InputError(
            f"a surrogate is made of a PSSR, not of a {type(pssr).__name__}: attack other models directly"
        )
    known = {"soft_mask": {"temperature"}, "saliency_aware": {"temperature", "radius"}}.get(name, set())
    if set(options) - known:
        raise InputError(f"{name} has no option {', '.join(sorted(set(options) - known))}")
    stages = (pssr.classifier, pssr.surgery, pssr.extrapolator, pssr.guide)
    return SURROGATES[name](*stages, name=name, **options)
