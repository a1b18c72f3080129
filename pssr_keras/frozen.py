"""A model around others that it does not train."""

import keras


class AroundFrozen(keras.Model):
    """A Keras model, float32, around frozen ones: their weights are none of its trainable ones.

    Their own `trainable` stays as it is, so that whoever brought them may go on training them.

    Attributes:
        frozen: the names of the attributes that hold them.
    """

    frozen: tuple[str, ...] = ("classifier",)

    def __init__(self, **kwargs):
        super().__init__(**{"dtype": "float32", **kwargs})

    def _without_frozen(self, variables):
        parts = [getattr(self, name, None) for name in self.frozen]
        theirs = {id(v) for part in parts if isinstance(part, keras.Layer) for v in part.variables}
        return [variable for variable in variables if id(variable) not in theirs]

    @property
    def trainable_variables(self):
        return self._without_frozen(super().trainable_variables)

    @property
    def trainable_weights(self):
        return self._without_frozen(super().trainable_weights)

    @property
    def non_trainable_variables(self):
        own = {id(variable) for variable in self.trainable_variables}
        return [variable for variable in self.variables if id(variable) not in own]

    @property
    def non_trainable_weights(self):
        own = {id(weight) for weight in self.trainable_weights}
        return [weight for weight in self.weights if id(weight) not in own]
