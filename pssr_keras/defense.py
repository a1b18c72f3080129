"""The defense on one page: purify(x) = restore(remove(x)), and PSSR(x) = classify(purify(x))."""

import importlib
import typing

import keras
import numpy as np
import tensorflow as tf

from .attacks import compiled
from .batching import in_batches, size_of_batches
from .building import building_in
from .frozen import AroundFrozen
from .inputs import InputError, check_batch, check_images, check_model, check_outputs, unbounded
from .surgery import PixelSurgery

STAGES = ("classifier", "surgery", "extrapolator", "guide")
AT_ONCE = 500  # images of an array that are purified at once where nothing else is asked for
PIPELINE = "pipeline"  # the guide of a defense whose own answer F(E(x)) guides its surgery


@keras.saving.register_keras_serializable("pssr_keras")
class PSSR(AroundFrozen):
    """Pixel Surgery and Semantic Regeneration around a frozen classifier.

        x  --remove-->  x_t = x M_t(x)  --restore-->  E(x_t)  --classify-->  logits

    The clean image is no input: whatever is called here sees the image to be judged, and nothing else.

    Args:
        classifier: F, images (B, H, W, C) in [0, 1] -> logits (B, K). It is frozen: called in evaluation
            mode, and no part of what is trainable here. Its own `trainable` stays as it is.
        surgery: the first stage, a `PixelSurgery`; None leaves it out.
        extrapolator: the second stage, E, images -> images; None leaves it out.
        guide: whose saliency makes the mask. None is the paper's, that of the classifier. Ours are
            "pipeline", that of F(E(x)), so that F and E are passed twice, and another model, images ->
            logits, which is frozen.

    Input: images (B, H, W, C), float32 in [0, 1]. Output: logits (B, K).

    A stage may be set anew at any time. Compiled with a loss, `evaluate` judges it; `fit` does not train it.

    Raises:
        InputError: for a stage that is none, a classifier or guide that returns no logits, or images that do
            not fit.
    """

    frozen = ("classifier", "guide")

    def __init__(
        self,
        classifier: keras.Model,
        surgery: PixelSurgery | None,
        extrapolator: keras.Model | None = None,
        guide: keras.Model | None = None,
        **kwargs: typing.Any,
    ) -> None:
        super().__init__(**kwargs)
        self.classifier = classifier
        self.surgery = surgery
        self.extrapolator = extrapolator
        self.guide = guide
        # predict() would choose XLA, whose convolutions are several times slower on a CPU.
        self.supports_jit = False
        self.built = True

    def __setattr__(self, name, value):
        if name not in STAGES:
            super().__setattr__(name, value)
            return
        check_stage(name, value)
        before = vars(self).get(name)
        # Keras has no public way to replace a layer of a built one; a test holds its private one to this.
        self._tracker.unlock()
        super().__setattr__(name, value)
        # Keras would go on counting the weights of a layer that was replaced, and in another order.
        stages = [vars(self).get(stage) for stage in STAGES]
        for stage in (before, *stages):
            self._tracker.untrack(stage)
        for stage in stages:
            self._tracker.track(stage)
        # What Keras compiled has the former stage in it.
        self.train_function = self.test_function = self.predict_function = None

    @property
    def input_shape(self) -> tuple[int | None, ...]:
        return self.classifier.input_shape

    def remove(self, x: typing.Any) -> typing.Any:
        """Stage one: x_t, the image without its salient pixels (equation 7)."""
        x = self.checked(x)
        return x if self.surgery is None else self.surgery.remove(self.guiding_logits, x)

    def restore(self, x_t: typing.Any) -> typing.Any:
        """Stage two: E(x_t), the image that E extrapolates from the trivial component."""
        x_t = self.checked(x_t)
        return x_t if self.extrapolator is None else self.extrapolator(x_t, training=False)

    def purify(self, x: typing.Any, batch_size: int | None = None) -> typing.Any:
        """Both stages: E(x_t) of images x.

            pssr.purify(x, batch_size=128)

        Args:
            x: (B, H, W, C), float32 in [0, 1].
            batch_size: images at a time, through one compiled function: for any number of them.

        Returns:
            (B, H, W, C), a tensor, through which gradients flow; with a batch size a NumPy array.
        """
        if batch_size is not None:
            return self._purify_in_batches(x, batch_size)
        if isinstance(x, np.ndarray) and len(x) > AT_ONCE:  # no gradient flows to an array
            return tf.constant(self._purify_in_batches(x, AT_ONCE))
        return self.restore(self.remove(x))

    def _purify_in_batches(self, x, batch_size):
        x = check_images(x, check_model(self.classifier))
        with compiled.unchanged(self):
            purify = compiled.kept("purify", self, self._compiled_purify)
            return in_batches(purify, (x,), size_of_batches(len(x), batch_size))

    def _compiled_purify(self):
        return tf.function(lambda x: self.restore(self.remove(x)), autograph=False, reduce_retracing=True)

    @classmethod
    def fit_to(
        cls,
        classifier: keras.Model,
        x: typing.Any,
        y: typing.Any = None,
        *,
        eps: float | str,
        epochs: int | None = None,
        validation: typing.Any = None,
        surgery: PixelSurgery | typing.Literal[False] | None = None,
        seed: int = 0,
        verbose: bool | int = True,
        **changes: typing.Any,
    ) -> "PSSR":
        """A PSSR trained around a classifier on images and labels; see `training.fit_to`.

        pssr = PSSR.fit_to(classifier, x, y, eps="8/255", epochs=8)
        """
        training = importlib.import_module(".training", __package__)  # here, as it needs this module
        options = {"epochs": epochs, "validation": validation, "surgery": surgery, "seed": seed}
        return training.fit_to(classifier, x, y, eps=eps, verbose=verbose, **options, **changes)

    def checked(self, x: typing.Any) -> typing.Any:
        """Images, refused if they are not float32 in [0, 1] or not of the classifier's shape."""
        return check_batch(x, check_model(self.classifier), ("float32", self.compute_dtype))

    def classify(self, x: typing.Any) -> typing.Any:
        return check_outputs(self.classifier(x, training=False), self.classifier)

    def guiding_logits(self, x: typing.Any) -> typing.Any:
        """The logits whose saliency makes the mask of images x; these may lie out of [0, 1], see `call`."""
        if self.guide is None:
            return self.classify(x)
        if self.guide != PIPELINE:
            return self.guide(x, training=False)
        with unbounded():
            return self.classify(self.restore(x))

    def guiding_model(self) -> typing.Any:
        """What guides the mask, as a `guide` that needs no E of the defense."""
        if self.guide != PIPELINE:
            return self.guide
        return PSSR(self.classifier, None, self.extrapolator, name="guide")

    def call(self, x: typing.Any, training: bool = False) -> typing.Any:
        with unbounded():  # whoever differentiates a model looks around an image, also out of [0, 1]
            return self.classify(self.purify(x))

    def train_step(self, data: typing.Any) -> typing.Any:
        """Refused, as here E is called in evaluation mode: its batch normalisation would stay as it is."""
        raise InputError(
            "a PSSR is not trained by fit: make one by PSSR.fit_to or pssr-train, or train its extrapolator "
            "by pssr_keras.CAE"
        )

    def get_config(self) -> dict[str, typing.Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "classifier": serialize(self.classifier),
            "surgery": serialize(self.surgery),
            "extrapolator": serialize(self.extrapolator),
            "guide": serialize(self.guide),
        }

    @classmethod
    def from_config(cls, config: dict[str, typing.Any]) -> "PSSR":
        with building_in("float32"):
            # Files from before there were guides have none.
            restored = {name: keras.saving.deserialize_keras_object(config.get(name)) for name in STAGES}
        return cls(name=config["name"], **restored)


def check_stage(name, stage):
    """Refuse what cannot be the stage of a PSSR.

    Raises:
        InputError: which says what is expected.
    """
    if name == "surgery":
        fits, expected = stage is None or isinstance(stage, PixelSurgery), "a PixelSurgery or None"
    else:
        named = {"classifier": (), "extrapolator": (None,), "guide": (None, PIPELINE)}[name]
        fits = isinstance(stage, keras.Layer) or (isinstance(stage, str | None) and stage in named)
        expected = ", ".join(map(repr, named)) + " or " * bool(named) + "a Keras model"
        if callable(stage) and not isinstance(stage, type):
            expected += ": make a function the `call` of a keras.Model"
    if not fits:
        found = repr(stage) if isinstance(stage, str | int | float | None) else f"a {type(stage).__name__}"
        raise InputError(f"{name} is {found}, expected {expected}")
    if name == "classifier" or (name == "guide" and isinstance(stage, keras.Layer)):
        check_model(stage)  # it returns logits
