"""Layers that stand in for Keras' own while a model is trained on several devices.

Each treats a device's part of a batch as one device does within the whole batch. They have the weights of
the layers they stand for, and none of them goes into a model file.
"""

import keras
import tensorflow as tf


class BatchNormalization(keras.layers.BatchNormalization):
    """Batch normalisation by the statistics of the whole batch, of which each device has an equal part.

    Keras' own `synchronized=True` takes E[x^2] - E[x]^2 for the variance. This takes E[(x - E[x])^2] as
    `tf.nn.moments`, and so one device, does: it rounds less, and its second derivative, which
    `baselines.gradient_regularisation` needs, is that of one device. Named as the layer it stands for, as a
    checkpoint names weights by the class of their layer.
    """

    def call(self, inputs, training=None, mask=None):
        if not (training and self.trainable):
            return super().call(inputs, training=False)
        context = tf.distribute.get_replica_context()
        axes = [axis for axis in range(inputs.shape.rank) if axis != self.axis % inputs.shape.rank]

        def mean_of_batch(values):
            mean = tf.reduce_mean(values, axes)
            return context.all_reduce(tf.distribute.ReduceOp.SUM, mean) / context.num_replicas_in_sync

        mean = mean_of_batch(inputs)
        variance = mean_of_batch(tf.math.squared_difference(inputs, tf.stop_gradient(mean)))
        for moving, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + new * (1.0 - self.momentum))
        return keras.ops.batch_normalization(
            inputs, mean, variance, self.axis, self.beta, self.gamma, self.epsilon
        )


class PartOfDropout(keras.layers.Dropout):
    """Dropout that drops, of a device's part of a batch, what one device would drop of the whole batch.

    Every device draws the mask of the whole batch, which costs little, and applies its part.

    Args:
        passes: the batch is so many repetitions of a batch of which the device has a part, as in
            `cae.CAE.train_step`.
    """

    def __init__(self, rate, passes=1, **kwargs):
        super().__init__(rate, **kwargs)
        self.passes = passes

    def call(self, inputs, training=False):
        if not training or self.rate == 0:
            return inputs
        context = tf.distribute.get_replica_context()
        count, shape = context.num_replicas_in_sync, tuple(inputs.shape[1:])
        part = tf.shape(inputs)[0] // self.passes
        mask = super().call(tf.ones((self.passes * count * part, *shape), inputs.dtype), training=True)
        mask = tf.reshape(mask, (self.passes, count, part, *shape))[:, context.replica_id_in_sync_group]
        return inputs * tf.reshape(mask, tf.shape(inputs))


def stand_in(layer, passes=1):
    """A layer for several devices with the settings of a layer; see `PartOfDropout` for `passes`.

    Raises:
        ValueError: if the layer draws random numbers and has no substitute here.
    """
    settings = layer.get_config()
    if type(layer) is keras.layers.BatchNormalization:
        return BatchNormalization(**settings | {"synchronized": True})
    if type(layer) is keras.layers.Dropout:
        return PartOfDropout(passes=passes, **settings)
    if hasattr(layer, "seed_generator"):
        raise ValueError(f"its layer {layer.name} would draw the same numbers on each")
    return type(layer).from_config(settings)
