"""The defense on one page: purify(x) = restore(remove(x)), and PSSR(x) = classify(purify(x))."""

import keras

from .inputs import InputError, check_batch, check_model, check_outputs, unbounded

PIPELINE = "pipeline"  # the guide of a defense whose own answer F(E(x)) guides its surgery


@keras.saving.register_keras_serializable("pssr_keras")
class PSSR(keras.Model):
    """Pixel Surgery and Semantic Regeneration around a frozen classifier.

        x  --remove-->  x_t = x M_t(x)  --restore-->  E(x_t)  --classify-->  logits

    The clean image is no input: whatever is called here sees the image to be judged, and nothing else.

    Args:
        classifier: F, images (B, H, W, C) in [0, 1] -> logits (B, K). It is frozen: its `trainable` becomes
            False.
        surgery: the first stage, a `PixelSurgery`; None leaves it out.
        extrapolator: the second stage, E, images -> images; None leaves it out.
        guide: whose saliency makes the mask. None is the paper's, that of the classifier. Ours are
            "pipeline", that of F(E(x)), so that F and E are passed twice, and another model, images ->
            logits, which is frozen.

    Input: images (B, H, W, C), float32 in [0, 1]. Output: logits (B, K).

    Raises:
        InputError: for an unknown guide, a classifier or guide that returns no logits, or images that do not
            fit.
    """

    def __init__(self, classifier, surgery, extrapolator=None, guide=None, **kwargs):
        super().__init__(**kwargs)
        check_model(classifier)
        classifier.trainable = False
        if isinstance(guide, keras.Model):
            check_model(guide)
            guide.trainable = False
        elif guide not in (None, PIPELINE):
            raise InputError(f"guide is {guide!r}, expected None, {PIPELINE!r} or a Keras model")
        self.classifier = classifier
        self.surgery = surgery
        self.extrapolator = extrapolator
        self.guide = guide
        # predict() would choose XLA, whose convolutions are several times slower on a CPU.
        self.supports_jit = False
        self.built = True

    @property
    def input_shape(self):
        return self.classifier.input_shape

    def remove(self, x):
        """Stage one: x_t, the image without its salient pixels (equation 7)."""
        x = self.checked(x)
        return x if self.surgery is None else self.surgery.remove(self.guiding_logits, x)

    def restore(self, x_t):
        """Stage two: E(x_t), the image that E extrapolates from the trivial component."""
        x_t = self.checked(x_t)
        return x_t if self.extrapolator is None else self.extrapolator(x_t, training=False)

    def purify(self, x):
        """Both stages: E(x_t) of images x."""
        return self.restore(self.remove(x))

    def checked(self, x):
        """Images, refused if they are not float32 in [0, 1] or not of the classifier's shape."""
        return check_batch(x, check_model(self.classifier), ("float32", self.compute_dtype))

    def classify(self, x):
        return check_outputs(self.classifier(x, training=False), self.classifier)

    def guiding_logits(self, x):
        """The logits whose saliency makes the mask of images x; these may lie out of [0, 1], see `call`."""
        if self.guide is None:
            return self.classify(x)
        if self.guide != PIPELINE:
            return self.guide(x, training=False)
        with unbounded():
            return self.classify(self.restore(x))

    def guiding_model(self):
        """What guides the mask, as a `guide` that needs no E of the defense."""
        if self.guide != PIPELINE:
            return self.guide
        return PSSR(self.classifier, None, self.extrapolator, name="guide")

    def call(self, x, training=False):
        with unbounded():  # whoever differentiates a model looks around an image, also out of [0, 1]
            return self.classify(self.purify(x))

    def get_config(self):
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "classifier": serialize(self.classifier),
            "surgery": serialize(self.surgery),
            "extrapolator": serialize(self.extrapolator),
            "guide": serialize(self.guide),
        }

    @classmethod
    def from_config(cls, config):
        stages = ("classifier", "surgery", "extrapolator", "guide")
        # Files from before there were guides have none.
        restored = {name: keras.saving.deserialize_keras_object(config.get(name)) for name in stages}
        return cls(name=config["name"], **restored)
