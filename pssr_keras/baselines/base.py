"""What every objective of a classifier shares: its name, its numbers, and the training step around it.

An objective is a frozen dataclass whose fields are its own numbers. It maps the images of a batch to the
loss of each; `RobustTraining` is the training step around it.
"""

import dataclasses
import typing

import keras
import tensorflow as tf

from ..inputs import InputError, check_model, parse_fields, plain_fields
from ..losses import per_replica_loss
from ..training_model import TrainingModel

OBJECTIVES: dict[str, type["Objective"]] = {}


def register(name):
    """Class decorator: make an objective known under the name that a user types."""

    def decorate(cls):
        cls.name = name
        OBJECTIVES[name] = cls
        return cls

    return decorate


def parse(text):
    """An objective from what a user types: a name, or a name with fields as in "trades:one_over_lambda=3".

    Raises:
        InputError: for an unknown objective or field, or a value that does not fit.
    """
    name, _, fields = text.partition(":")
    if name not in OBJECTIVES:
        raise InputError(f"objective is {name!r}, expected one of {', '.join(OBJECTIVES)}")
    return OBJECTIVES[name](**parse_fields(OBJECTIVES[name], name, fields, as_text=("search",)))


@dataclasses.dataclass(frozen=True)
class Objective:
    """How a classifier is trained; subclasses add their numbers and define `loss`."""

    name: typing.ClassVar[str]
    # Whether the weights that count are those of the epoch with the best PGD accuracy on held-out images.
    selects: typing.ClassVar[bool] = False
    # Whether labels are hidden from it, as they must be from whatever it starts with.
    hides_labels: typing.ClassVar[bool] = False

    def __post_init__(self):
        plain_fields(self)

    def loss(self, logits, x, y, noise, inner):
        """The loss of each image (B,), as TensorFlow operations.

        Args:
            logits: function, images (B, H, W, C) in [0, 1] -> logits (B, K), as in training; called with
                `training=False`, by the moving averages of batch normalisation, which it then leaves alone.
            x, y: images and labels (B,).
            noise: (B, H, W, C) in [-1, 1).
            inner: {"eps", "step_size", "steps"} of an attack inside the objective; eps grows in the course
                of the training.
        """
        raise NotImplementedError

    @property
    def takes_noise(self):
        """Whether batches are (x, y, noise), or (x, y)."""
        return True

    def loss_of_weights(self, weights):
        """What is added to the loss of a batch for the weights of the classifier, a scalar."""
        return 0.0

    def settings(self, numbers):
        """`settings.ClassifierSettings` of a training, changed where the objective has numbers of its own."""
        return numbers

    def images(self, train, experiment, folder, teach):
        """The training images, or others in their place: other labels, say.

        Args:
            train: `data.Images`.
            experiment: `settings.Experiment`.
            folder: of the run, where whatever is made for it may be kept.
            teach: function, `data.Images`, a folder and {name: value} of changes to the experiment -> a
                classifier trained by it.
        """
        return train

    def notes(self, train, labelled):
        """What a record should say of the training: {name: value}.

        Args:
            train: `data.Images`, as they are.
            labelled: what `images` made of them.
        """
        return {}

    def model(self, classifier, robust, eps, steps, kind=None, **options):
        """What is fitted: a model around the classifier.

        Args:
            classifier: F.
            robust: `settings.RobustSettings`.
            eps: the budget, Linf.
            steps: of the whole training.
            kind, options: its class, `RobustTraining` if None, and further arguments of it.
        """
        return (kind or RobustTraining)(
            classifier,
            self,
            eps,
            ramp_steps=int(robust.ramp_share * steps),
            step_size=robust.inner_step_size * eps,
            steps=robust.inner_steps,
            **options,
        )

    def compile(self, model, optimizer):
        """Compile what `model` returned."""
        model.compile(optimizer, jit_compile=False)

    def get_config(self):
        """Name and fields."""
        return {"objective": self.name, **dataclasses.asdict(self)}


@keras.saving.register_keras_serializable("pssr_keras")
class RobustTraining(TrainingModel):
    """The training of a classifier by an objective; `fit` takes batches (x, y, noise).

    A validation attacks at the full budget.

    Args:
        classifier: F, images (B, H, W, C) in [0, 1] -> logits (B, K).
        objective: `Objective`, or its configuration.
        eps: the budget of the attacks that the objective makes, Linf.
        ramp_steps: the budget grows linearly from 0 over so many steps of training.
        step_size, steps: of the attacks that the objective makes, at the full budget.
    """

    batch: typing.ClassVar[dict] = {"x": "B H W C", "y": "B", "noise": "B H W C"}
    trained: typing.ClassVar[dict] = {"optimizer": ("classifier",)}
    frozen = ()

    def __init__(self, classifier, objective, eps, ramp_steps=0, step_size=0.0, steps=0, **kwargs):
        super().__init__(**kwargs)
        if isinstance(objective, dict):
            fields = {name: value for name, value in objective.items() if name != "objective"}
            objective = OBJECTIVES[objective["objective"]](**fields)
        check_model(classifier)
        self.classifier = classifier
        self.objective = objective
        self.eps = eps
        self.ramp_steps = ramp_steps
        self.step_size = step_size
        self.steps = steps
        self.tracker = keras.metrics.Mean(name="loss")
        self.built = True

    def compile(self, optimizer="rmsprop", **options):
        """As `keras.Model.compile`, without losses and metrics, which the objective brings."""
        self._compile({"optimizer": optimizer}, options)

    @property
    def metrics(self):
        return [self.tracker]

    def call(self, x, training=False):
        return self.classifier(x, training=training)

    def inner(self, training=True):
        """The numbers of an attack inside the objective at the present step; see `Objective.loss`."""
        if not training:
            return {"eps": self.eps, "step_size": self.step_size, "steps": self.steps}
        done = tf.cast(self.optimizer.iterations, tf.float32) / max(self.ramp_steps, 1)
        ramp = tf.minimum(done, 1.0) if self.ramp_steps else 1.0
        return {"eps": ramp * self.eps, "step_size": ramp * self.step_size, "steps": self.steps}

    def train_step(self, data):
        x, y, noise = self.parts_of(data)
        inner = self.inner()

        def logits(images, training=True):
            return self.classifier(images, training=training)

        weights = self.classifier.trainable_variables
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self.objective.loss(logits, x, y, noise, inner))
            loss += self.objective.loss_of_weights(weights)
            share = per_replica_loss(loss)
        self.optimizer.apply(tape.gradient(share, weights), weights)
        return self.record({"loss": loss}, x)

    def test_step(self, data):
        x, y, noise = self.parts_of(data)

        def logits(images, training=False):
            return self.classifier(images, training=False)

        loss = tf.reduce_mean(self.objective.loss(logits, x, y, noise, self.inner(training=False)))
        loss += self.objective.loss_of_weights(self.classifier.trainable_variables)
        return self.record({"loss": loss}, x)

    def get_config(self):
        return {
            "name": self.name,
            "classifier": keras.saving.serialize_keras_object(self.classifier),
            "objective": self.objective.get_config(),
            "eps": self.eps,
            "ramp_steps": self.ramp_steps,
            "step_size": self.step_size,
            "steps": self.steps,
        }
