"""The numbers of the purifier ARN and its training."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class ARNSettings:
    """The purifier ARN of the paper's Table 1, see `arn`, trained on the attacks of `AttackSettings`.

    Stages, augmentation and lambdas without a comment are those of Zhou et al. 2021 on MNIST.
    """

    encoder_channels: int = 16  # an eighth of theirs, for two cores; the other widths follow it
    encoder_stages: int = 5  # down to one pixel
    code_channels: int = 256
    attack_units: int = 256
    image_channels: int = 16
    versions_augmentation: str = "none"
    epochs: int = 10  # theirs are 100, ten hours of one core
    batch_size: int = 128  # theirs is 300, too few steps in so few epochs
    peak_rate: float = 5e-4  # theirs is 1e-4, for four times as many steps
    lambda_reconstruction: float = 200.0
    lambda_prior: float = 1e-3  # theirs is 1e-6 of a sum over 900 images, which is as much
    lambda_invariance: float = 0.5
    lambda_image: float = 0.01
    lambda_penalty: float = 30.0
