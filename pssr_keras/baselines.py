"""Other defenses for Table 1: classifiers that are trained to be robust, by one pure function each.

An objective maps the images of a batch to the loss of each. All of them are trained by the same loop,
`Objective`, so a further baseline is a further function and a line in `OBJECTIVES`. Of the paper's Table 1
there are missing: ARN, PCL, Semi-SL, RO and BagT.
"""

import keras
import tensorflow as tf

from .attacks.base import ball, cross_entropy, logits_loss_gradient, project
from .inputs import InputError
from .losses import kl_divergence


def worst_images(loss, logits, x, start, eps, step_size, steps):
    """Images in the eps-ball around x that raise a loss: signed gradient steps, each projected.

    Args:
        loss: function, logits (B, K) -> (B,).
        logits: function, images (B, H, W, C) in [0, 1] -> logits.
        x, start: the centre of the ball, and where to begin.
        eps, step_size: in units of the pixel range, numbers or scalar tensors.
        steps: number of steps.
    """
    bounds = ball(x, eps)

    def step(x_adv):
        _, _, gradient = logits_loss_gradient(logits, loss, x_adv)
        return (project(x_adv + step_size * tf.sign(gradient), bounds),)

    start = tf.stop_gradient(project(start, bounds))
    (x_adv,) = tf.while_loop(lambda _: True, step, (start,), maximum_iterations=steps)
    return tf.stop_gradient(x_adv)


def gradient_regularisation(logits, x, y, noise, *, penalty, **_):
    """l(x, y) + penalty * |dl/dx|_2^2 with l the cross-entropy (Ross and Doshi-Velez 2018): (B,)."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = cross_entropy(y, logits(x))
    gradient = tape.gradient(loss, x)
    return loss + penalty * tf.reduce_sum(gradient**2, axis=(1, 2, 3))


def adversarial_training(logits, x, y, noise, *, eps, step_size, steps, **_):
    """max over the eps-ball of the cross-entropy, by PGD from a random start (Madry et al. 2018): (B,)."""

    def loss(outputs):
        return cross_entropy(y, outputs)

    return loss(logits(worst_images(loss, logits, x, x + eps * noise, eps, step_size, steps)))


def trades(logits, x, y, noise, *, eps, step_size, steps, one_over_lambda, **_):
    """l(x, y) + (1 / lambda) max over the eps-ball of KL(F(x) || F(x')) (Zhang et al. 2019): (B,).

    The search begins a thousandth away from x, as in their code: at x itself the divergence is flat.
    """
    clean = logits(x)
    fixed = tf.stop_gradient(clean)

    def divergence(outputs):
        return kl_divergence(fixed, outputs)

    x_adv = worst_images(divergence, logits, x, x + 0.001 * noise, eps, step_size, steps)
    return cross_entropy(y, clean) + one_over_lambda * kl_divergence(clean, logits(x_adv))


OBJECTIVES = {
    "gradient_regularisation": gradient_regularisation,
    "adversarial_training": adversarial_training,
    "trades": trades,
}


@keras.saving.register_keras_serializable("pssr_keras")
class Objective(keras.Model):
    """The training of a classifier by one of the objectives; `fit` takes batches (x, y, noise).

    Args:
        classifier: F, images (B, H, W, C) in [0, 1] -> logits (B, K).
        objective: a name of `OBJECTIVES`.
        eps: the budget of the attacks that the objective makes, Linf.
        ramp_steps: the budget grows linearly from 0 over so many steps of training.
        numbers: further numbers of the objective.

    Raises:
        InputError: for an unknown objective.
    """

    def __init__(self, classifier, objective, eps, ramp_steps=0, numbers=None, **kwargs):
        super().__init__(**kwargs)
        if objective not in OBJECTIVES:
            raise InputError(f"unknown objective {objective!r}, expected one of {', '.join(OBJECTIVES)}")
        self.classifier = classifier
        self.objective = objective
        self.eps = eps
        self.ramp_steps = ramp_steps
        self.numbers = dict(numbers or {})
        self.tracker = keras.metrics.Mean(name="loss")
        self.built = True

    @property
    def metrics(self):
        return [self.tracker]

    def call(self, x, training=False):
        return self.classifier(x, training=training)

    def train_step(self, data):
        x, y, noise = data
        done = tf.cast(self.optimizer.iterations, tf.float32) / max(self.ramp_steps, 1)
        share = tf.minimum(done, 1.0) if self.ramp_steps else 1.0
        numbers = {**self.numbers, "eps": share * self.eps}
        if "step_size" in numbers:
            numbers["step_size"] = share * numbers["step_size"]

        def logits(images):
            return self.classifier(images, training=True)

        with tf.GradientTape() as tape:
            loss = OBJECTIVES[self.objective](logits, x, y, noise, **numbers)
            loss = tf.reduce_mean(loss)
        weights = self.classifier.trainable_variables
        self.optimizer.apply(tape.gradient(loss, weights), weights)
        self.tracker.update_state(loss)
        return {"loss": self.tracker.result()}

    def get_config(self):
        return {
            "name": self.name,
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "objective": self.objective,
            "eps": self.eps,
            "ramp_steps": self.ramp_steps,
            "numbers": self.numbers,
        }

    @classmethod
    def from_config(cls, config):
        config["classifier"] = keras.saving.deserialize_keras_object(config["classifier"])
        return cls(**config)
