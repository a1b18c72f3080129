"""Equations 8 to 11, one pure function each. Equation 12, their sum, is in `cae.CAE`.

Shapes: B images, K classes, k passes of R-drop. Every loss is a scalar, a mean over its images.
"""

import tensorflow as tf


def per_replica_loss(loss):
    """What the images of one device add to a mean over the whole batch: their mean, by the number of devices.

    For equal parts of a batch, one on each device. The optimizers add the gradients of all devices; on one
    device this is the loss itself. Source: tensorflow.org, tutorial "Custom training with tf.distribute".
    """
    return loss / tf.distribute.get_strategy().num_replicas_in_sync


def _binary_cross_entropy(is_real, logits):
    labels = tf.fill(tf.shape(logits), tf.constant(is_real, logits.dtype))
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels, logits))


def discriminator_loss(real_logits, restored_logits):
    """Equation 8, the part of D: -log D(x_t, x) - log(1 - D(x_t, E(x_t))).

    Args:
        real_logits: (B, 1), of pairs with the clean image.
        restored_logits: (B, 1), of pairs with the restored image.
    """
    return _binary_cross_entropy(1.0, real_logits) + _binary_cross_entropy(0.0, restored_logits)


def adversarial_loss(restored_logits, saturating=True):
    """Equation 8, the part of E: log(1 - D(x_t, E(x_t))), to be minimised.

    Args:
        restored_logits: (B, 1).
        saturating: True is the paper's min-max as written. False is the usual substitute
            -log D(x_t, E(x_t)) (Goodfellow et al. 2014): same fixed point, stronger gradient while D wins.
    """
    if saturating:
        return -_binary_cross_entropy(0.0, restored_logits)
    return _binary_cross_entropy(1.0, restored_logits)


def pixel_consistency_loss(x, restored, reduction="sum"):
    """Equation 9: |x - E(x_t)|_1 between clean and restored images (B, H, W, C).

    Args:
        x, restored: images.
        reduction: over the pixels of an image, "sum" as the norm has it to the letter, or "mean", the
            habit of many implementations. With the paper's weight of 1, "mean" leaves this loss two orders
            of magnitude below the others, and E draws patterns that F recognises but a reader does not.
    """
    difference = tf.abs(x - restored)
    if reduction == "sum":
        return tf.reduce_mean(tf.reduce_sum(difference, axis=(1, 2, 3)))
    return tf.reduce_mean(difference)


def query_loss(y, logits):
    """Equation 10: cross-entropy of the classifier's answer F(E(x_t)) (B, K) to the true labels (B,)."""
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))


def kl_divergence(logits, reference_logits):
    """KL(p || q) of each row, with p and q the softmax of logits and of reference_logits (..., K)."""
    log_p = tf.nn.log_softmax(logits)
    log_q = tf.nn.log_softmax(reference_logits)
    return tf.reduce_sum(tf.exp(log_p) * (log_p - log_q), axis=-1)


def adversarial_r_drop_loss(pass_logits, clean_logits):
    """Equation 11: sum over the k passes of KL(F(E(x_t)_i), F(x)).

    Args:
        pass_logits: (k, B, K), the classifier's answer to each pass through E under another dropout.
        clean_logits: (B, K), its answer to the clean image.
    """
    divergences = kl_divergence(pass_logits, clean_logits[None])
    return tf.reduce_sum(tf.reduce_mean(divergences, axis=1))
