"""PCL: features of a class gather at a centre and keep away from the centres of the other classes."""

import dataclasses

import keras
import tensorflow as tf
from keras import layers

from ..attacks.base import cross_entropy
from ..attacks.norms import rows
from ..building import building_in
from ..inputs import InputError
from ..losses import per_replica_loss
from .base import Objective, RobustTraining, register
from .inner import inner_maximization

# The two layers, of the first entry that a classifier has: one inside, and the last before the logits.
LAYERS = (("stage3", "features"), ("dense1", "features"))


def squared_distances(features, centres):
    """|f - c_j|_2^2 of features (B, D) from centres (K, D): (B, K)."""
    return tf.reduce_sum(tf.square(features[:, None] - centres[None]), axis=-1)


def attraction(features, y, centres):
    """|f - c_y|_2^2, of features (B, D) from the centre of their own class: (B,)."""
    return tf.reduce_sum(tf.square(features - tf.gather(centres, y)), axis=-1)


def repulsion(features, y, centres):
    """The mean over j != y of |f - c'_j|_2^2, of features (B, D) from the centres of the others: (B,)."""
    others = 1 - tf.one_hot(y, centres.shape[0], dtype=features.dtype)
    total = tf.reduce_sum(others * squared_distances(features, centres), axis=-1)
    return total / tf.reduce_sum(others, axis=-1)


def layers_of(classifier):
    """The names of the two layers that are drawn to the centres.

    Raises:
        InputError: if the classifier has none of the pairs in `LAYERS`.
    """
    known = {layer.name for layer in classifier.layers}
    for names in LAYERS:
        if known.issuperset(names):
            return names
    expected = " or ".join(" and ".join(names) for names in LAYERS)
    raise InputError(f"prototype conformity needs the layers {expected}, which {classifier.name} lacks")


@register("prototype_conformity")
@dataclasses.dataclass(frozen=True)
class PrototypeConformity(Objective):
    """l(x, y) + sum over two layers of [ |f - c_y|^2 - weight * mean over j != y of |f - c'_j|^2 ].

    After Mustafa et al. (ICCV 2019, and TPAMI 2020), by their code: l is the cross-entropy, and c and c' are
    two sets of centres, both learned. The training begins with the cross-entropy alone.

    Attributes:
        attacked: train on each image as it is and attacked by PGD, from the image itself, by the
            cross-entropy in evaluation mode; False trains on clean images.
        weight: of the repulsion.
        centre_rate: learning rate of the attracting centres, by plain gradient descent.
        start_share: of the training, by cross-entropy alone; the centres follow the features meanwhile.
        lowest_budget, highest_budget: in units of eps; each image is attacked with one drawn between them.
    """

    attacked: bool = False
    weight: float = 1e-4  # their code on clean images; 1e-5 in its adversarial training
    centre_rate: float = 0.5  # their code
    start_share: float = 0.2  # a short training has no time for their 164 epochs
    lowest_budget: float = 0.0  # their budgets are those of CIFAR-10
    highest_budget: float = 1.0  # no other row is trained beyond eps

    def model(self, classifier, robust, eps, steps):
        start = int(self.start_share * steps)
        return super().model(classifier, robust, eps, steps, PrototypeTraining, start_steps=start)

    def attack(self, logits, x, y, noise, inner):
        """Images attacked with budgets drawn for each of them."""
        drawn = rows((noise[:, 0, 0, 0] + 1) / 2, x)  # the attack begins at x, so the noise is free
        share = self.lowest_budget + (self.highest_budget - self.lowest_budget) * drawn
        numbers = {name: share * inner[name] for name in ("eps", "step_size")}

        def loss(outputs):
            return cross_entropy(y, outputs)

        return inner_maximization(loss, logits, x, x, steps=inner["steps"], **numbers)


@keras.saving.register_keras_serializable("pssr_keras")
class PrototypeTraining(RobustTraining):
    """The training of a classifier by `PrototypeConformity`, with the centres as weights of its own.

    Args:
        start_steps: steps by cross-entropy alone.

    The attracting centres c descend their part of the loss at `centre_rate`. The repelling ones c' descend
    theirs, weight and all, at a rate of 1: in the code of the method the rate is the weight, and the gradient
    is divided by it.
    """

    def __init__(self, *arguments, start_steps=0, **keywords):
        super().__init__(*arguments, **keywords)
        self.start_steps = start_steps
        found = [self.classifier.get_layer(name).output for name in layers_of(self.classifier)]
        with building_in("float32"):
            found = [layers.GlobalAveragePooling2D()(f) if len(f.shape) == 4 else f for f in found]
            self.stages = keras.Model(self.classifier.inputs, [*found, self.classifier.outputs[0]])
        classes = self.classifier.outputs[0].shape[-1]
        shapes = [(classes, features.shape[-1]) for features in found]

        def centres(kind):
            scatter = keras.initializers.RandomNormal(stddev=1.0)
            names = [f"{kind}_{number}" for number in range(len(shapes))]
            return [
                self.add_weight(shape, scatter, name=name) for shape, name in zip(shapes, names, strict=True)
            ]

        self.attracting, self.repelling = centres("attracting"), centres("repelling")
        self.trackers = {n: keras.metrics.Mean(name=n) for n in ("loss", "attraction", "repulsion")}

    @property
    def metrics(self):
        return list(self.trackers.values())

    def compile(self, *arguments, **keywords):
        """The optimizers of the centres are built at once, or a checkpoint would lose their state."""
        super().compile(*arguments, **keywords)
        self.attracting_optimizer = keras.optimizers.SGD(self.objective.centre_rate)
        self.repelling_optimizer = keras.optimizers.SGD(1.0)
        self.attracting_optimizer.build(self.attracting)
        self.repelling_optimizer.build(self.repelling)

    def shown(self, x, y, noise, inner):
        """The images and labels of a batch, each image also attacked where the objective says so."""
        if not self.objective.attacked:
            return x, y

        def logits(images):
            return self.classifier(images, training=False)

        x_adv = self.objective.attack(logits, x, y, noise, inner)
        return tf.concat([x, x_adv], axis=0), tf.concat([y, y], axis=0)

    def losses_of(self, x, y, training):
        """The loss of images, its two terms by their names, and what the centres descend."""
        begun = tf.cast(self.optimizer.iterations >= self.start_steps, tf.float32)
        *found, outputs = self.stages(x, training=training)
        near, far = (
            tf.add_n([part(f, y, c) for f, c in zip(found, centres, strict=True)])
            for part, centres in ((attraction, self.attracting), (repulsion, self.repelling))
        )
        conformity = near - self.objective.weight * far
        loss = tf.reduce_mean(cross_entropy(y, outputs) + begun * conformity)
        terms = {"loss": loss, "attraction": tf.reduce_mean(near), "repulsion": tf.reduce_mean(far)}
        return terms, tf.reduce_mean(conformity)

    def train_step(self, data):
        x, y, noise = self.parts_of(data)
        x, y = self.shown(x, y, noise, self.inner())
        weights = self.classifier.trainable_variables
        with tf.GradientTape(persistent=True) as tape:
            found, conformity = self.losses_of(x, y, training=True)
            share, of_centres = per_replica_loss(found["loss"]), per_replica_loss(conformity)
        self.optimizer.apply(tape.gradient(share, weights), weights)
        self.attracting_optimizer.apply(tape.gradient(of_centres, self.attracting), self.attracting)
        self.repelling_optimizer.apply(tape.gradient(of_centres, self.repelling), self.repelling)
        return self.record(found, x)

    def test_step(self, data):
        x, y, noise = self.parts_of(data)
        x, y = self.shown(x, y, noise, self.inner(training=False))
        found, _ = self.losses_of(x, y, training=False)
        return self.record(found, x)

    def get_config(self):
        return super().get_config() | {"start_steps": self.start_steps}
