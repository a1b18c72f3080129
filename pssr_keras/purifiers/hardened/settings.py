"""The numbers of a hardened E and its training; the method is ours, and so are they."""

import dataclasses

INNER_LOSSES = ("cross_entropy", "divergence")


@dataclasses.dataclass(frozen=True)
class HardenedSettings:
    """A hardened E and its training, see `hardened.model.HardenedCAE`.

    The defaults are adversarial training as usual: seven steps (Madry et al. 2018), clean images beside
    attacked ones.

    Attributes:
        mask: what removes pixels before E: "none", or the surgery of the experiment by the saliency of the
            "classifier" or of the "pipeline" F(E(x)).
        extrapolator_contrast: with which E sees its input, see `cae.with_contrast`.
        surrogates: through which the training attacks, names of `attacks.adaptive.SURROGATES`, in turn.
        inner_steps, inner_step_size: of the attack inside the training; the size in units of eps.
        inner_loss: what it raises, a name of `INNER_LOSSES`.
        ramp_share: of the training, over which the budget grows to eps.
        attacked_share: weight of attacked images in the cross-entropy; clean ones have the rest.
        trades_weight: of KL(F(E(x)) || F(E(x'))), the pairing of TRADES.
        averaging: how much of a moving average of the weights stays at each step; 0 leaves it out.
        augmentation: of the training images, see `data.augmentation`.
        evaluation: attacks through surrogates at the end of a run; commands/evaluate.py runs all others.
        evaluated_images: the first test images, under those.
    """

    extrapolator: str = "bottleneck"
    extrapolator_channels: int = 16
    extrapolator_bottleneck: int = 128
    extrapolator_start: str = "identity"  # assumes least of the images
    extrapolator_contrast: float = 0.0  # only images of black and white have a middle to leave
    dropout: float = 0.0  # an attack through other weights than those that are judged is weak
    mask: str = "none"  # an attacker moves a mask without gradient
    surrogates: tuple[str, ...] = ("frozen_mask",)  # exact where no mask changes
    inner_steps: int = 7
    inner_step_size: float = 0.25
    inner_loss: str = "cross_entropy"
    ramp_share: float = 0.4  # nothing is learned if a large budget is there from the start
    attacked_share: float = 0.5
    trades_weight: float = 0.0
    pixel_reduction: str = "sum"
    passes: int = 1  # without dropout all passes are one
    lambda_adversarial: float = 0.0  # what looks real need not be right
    lambda_pixel: float = 0.01  # keeps E near images at hardly any cost
    lambda_r_drop: float = 0.0  # repeats what the cross-entropy asks for
    saturating: bool = True
    averaging: float = 0.0
    augmentation: str = "none"
    epochs: int = 4  # each takes several minutes on two cores
    batch_size: int = 128
    extrapolator_learning_rate: float = 2e-3
    discriminator_learning_rate: float = 1e-3
    warmup_steps: int = 200
    evaluation: tuple[str, ...] = ("pgd:steps=100,best=true", "apgd-ce")
    evaluated_images: int = 1_000
