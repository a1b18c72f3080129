"""What training needs of `pssr_keras.attacks` and `pssr_keras.surgery`, in PyTorch."""

import torch
import torch.nn.functional as F


def pgd(logits, x, y, start, eps, step_size, steps, loss=None):
    """The last of `steps` projected sign steps from `start`; FGSM is one step of eps from x.

    Args:
        logits: function, images (B, C, H, W) -> (B, K).
        loss: function, logits -> what is raised, a scalar; the cross-entropy to y if None.
    """

    def cross_entropy(outputs):
        return F.cross_entropy(outputs, y, reduction="sum")

    lower, upper = (x - eps).clamp(min=0), (x + eps).clamp(max=1)
    found = torch.minimum(torch.maximum(start, lower), upper).detach()
    for _ in range(steps):
        found.requires_grad_(True)
        with torch.enable_grad():
            (gradient,) = torch.autograd.grad((loss or cross_entropy)(logits(found)), found)
        found = torch.minimum(torch.maximum(found.detach() + step_size * gradient.sign(), lower), upper)
    return found


def noise_like(x):
    """Uniform in [-1, 1)."""
    return 2 * torch.rand_like(x) - 1


def log_odds(logits, classes):
    """As `pssr_keras.surgery.log_odds`."""
    chosen = logits.gather(1, classes[:, None])[:, 0]
    others = logits.scatter(1, classes[:, None], torch.finfo(logits.dtype).min)
    return chosen - torch.logsumexp(others, 1)


def scores(classifier, x, channels, of):
    """The score of each pixel of reading "magnitude", as `pssr_keras.surgery.PixelSurgery.scores`."""
    x = x.detach().requires_grad_(True)
    with torch.enable_grad():
        logits = classifier(x)
        score = log_odds(logits, logits.detach().argmax(1))
        (gradient,) = torch.autograd.grad(score.sum(), x)
    if of == "probability":
        slope = (F.logsigmoid(score) + F.logsigmoid(-score)).exp().detach()
        gradient = gradient * slope[:, None, None, None]
    gradient = gradient.abs()
    return gradient.amax(1, keepdim=True) if channels == "max" else gradient


def trivial_mask(classifier, x, alpha, channels, mean=None):
    """Equations 3 to 6; `mean` is the constant of threshold "dataset", None the mean of each image."""
    if mean is not None:
        return (scores(classifier, x, channels, "probability") < alpha * mean).to(x.dtype)
    found = scores(classifier, x, channels, "log_odds")
    salient = found >= alpha * found.mean((1, 2, 3), keepdim=True)
    salient &= (found != 0).flatten(1).any(1)[:, None, None, None]
    return (~salient).to(x.dtype)


def crop_and_flip(x, pixels, flip):
    """As `pssr_keras.data.augmentation`: moved by up to so many pixels, and half of the images mirrored."""
    if not pixels:
        return x
    count, _, height, width = x.shape
    offsets = torch.randint(0, 2 * pixels + 1, (count, 2), device=x.device)
    x = F.pad(x, (pixels,) * 4)
    rows = offsets[:, :1] + torch.arange(height, device=x.device)
    columns = offsets[:, 1:] + torch.arange(width, device=x.device)
    if flip:
        mirrored = torch.rand(count, 1, device=x.device) < 0.5
        columns = torch.where(mirrored, columns.flip(1), columns)
    images = torch.arange(count, device=x.device)[:, None, None]
    return x[images, :, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)
