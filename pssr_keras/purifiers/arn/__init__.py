"""ARN: an autoencoder whose code does not tell natural images from attacked ones.

After Zhou et al., "Towards defending against adversarial examples via attack-invariant features" (ICML 2021),
by the code that the authors published for MNIST. A variational autoencoder maps every version of an image,
natural or attacked, to the natural image. A discriminator A guesses from the code which attack it was, and
the encoder learns to leave it guessing; a discriminator D compares restored images with natural ones. The
classifier has no part in the training.
"""
