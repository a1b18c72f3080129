"""The three trainings: a classifier, the CAE, a hardened E, each by the numbers of a run's configuration.

`numbers` is that configuration, {dotted name: value}, as `pssr_keras.settings.Experiment` has it. Unlike
there, what is random is not drawn from (seed, step), so a training gives other weights than the package's, as
another seed would. Networks compute in bfloat16 on a GPU; attacks on the classifier alone and masks do not.
"""

import copy
import fractions

import torch
import torch.nn.functional as F

from . import attacks, models
from .fitting import SGD, Adam, Recorded, rows_of_batches, warmup_cosine

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
AT_ONCE = 1_000  # images that are crafted together


def half_precision(enabled=True):
    return torch.autocast("cuda", torch.bfloat16, enabled=enabled and DEVICE == "cuda")


def placed(model):
    return model.to(DEVICE).to(memory_format=torch.channels_last)


def in_unit_range(pixels):
    """uint8 (B, C, H, W) -> [0, 1]."""
    return (pixels.float() / 255).contiguous(memory_format=torch.channels_last)


def augmented(x, text):
    """The images under an augmentation such as "crop_and_flip:4"."""
    name, _, pixels = text.partition(":")
    return attacks.crop_and_flip(x, int(pixels or 0), name == "crop_and_flip")


def frozen(classifier):
    classifier = placed(classifier).eval()
    return classifier.requires_grad_(False)


def rounded(classifier):
    """A copy whose products are in bfloat16, to train through."""
    classifier = copy.deepcopy(classifier)
    if DEVICE == "cuda":
        for module in classifier.modules():
            if isinstance(module, (models.Convolution, models.Dense)):
                module.to(torch.bfloat16)
    return classifier


class Progress:
    """Prints the mean losses of every tenth of a training."""

    def __init__(self, names, steps):
        self.names, self.steps, self.done = names, steps, 0
        self.sums = torch.zeros(len(names), device=DEVICE)

    def step(self):
        self.done += 1
        part = max(1, self.steps // 10)
        if self.done % part == 0:
            means = (self.sums / part).tolist()
            losses = ", ".join(f"{name} {mean:.3f}" for name, mean in zip(self.names, means, strict=True))
            print(f"{self.done:,} of {self.steps:,} steps: {losses}", flush=True)
            self.sums.zero_()


def train(step, inputs, optimizers, peaks, numbers, group, count, progress, further=lambda step, steps: {}):
    """Replay a step until its schedule ends.

    Args:
        inputs: {name: tensor} of the step, among them "rows".
        optimizers, peaks: {name: optimizer} and {name: learning rate}.
        group: of the numbers, with `epochs`, `batch_size` and a warm-up.
        count: of training images.
        further: function, step and steps -> {name: value} of other inputs.
    """
    size = numbers[f"{group}.batch_size"]
    steps = numbers[f"{group}.epochs"] * (count // size)
    if group == "classifier":
        warmup = int(numbers["classifier.warmup_share"] * steps)
    else:
        warmup = min(numbers[f"{group}.warmup_steps"], steps // 10)
    rates = {f"rate of {name}": optimizer.rate for name, optimizer in optimizers.items()}
    recorded = Recorded(step, inputs | rates)
    progress.steps = steps
    progress.sums.zero_()
    for number, rows in zip(
        range(steps), rows_of_batches(count, size, numbers["seed"], DEVICE), strict=False
    ):
        values = {f"rate of {name}": warmup_cosine(peaks[name], steps, warmup, number) for name in optimizers}
        recorded(rows=rows, **values, **further(number, steps))
        progress.step()


def train_classifier(numbers, classifier, x, y):
    """Cross-entropy with SGD; x uint8 (N, C, H, W)."""
    classifier = placed(classifier).train()
    weights = list(classifier.parameters())
    optimizer = SGD(weights, numbers["classifier.weight_decay"])
    rows = torch.zeros(numbers["classifier.batch_size"], dtype=torch.long, device=DEVICE)
    progress = Progress(["loss"], 0)

    def step():
        with half_precision():
            images = augmented(in_unit_range(x[rows]), numbers["classifier.augmentation"])
            loss = F.cross_entropy(classifier(images), y[rows])
        optimizer.step(torch.autograd.grad(loss, weights))
        progress.sums.add_(loss.detach())

    rates = {"classifier": numbers["classifier.learning_rate"]}
    train(step, {"rows": rows}, {"classifier": optimizer}, rates, numbers, "classifier", len(x), progress)
    return classifier.eval()


def attack_steps(text, eps):
    """(step size, steps, whether the start is random) of an attack such as "pgd:step_size=2/255"."""
    name, _, fields = text.partition(":")
    fields = dict(field.split("=") for field in fields.split(",") if field)
    if name == "fgsm" and not fields:
        return eps, 1, False
    if name == "pgd" and fields.keys() <= {"steps", "step_size"}:
        steps = int(fields.get("steps", 40))
        usual = eps / 30 if steps >= 40 else min(2.5 / steps, 2) * eps  # as `pssr_keras.attacks.PGD`
        return float(fractions.Fraction(fields["step_size"])) if "step_size" in fields else usual, steps, True
    raise ValueError(f"{text!r} is not translated, expected fgsm, or pgd with its steps and step_size")


def crafted(numbers, classifier, x, y):
    """The training images under each attack of the pairs, a list, in 16 bits."""
    eps = numbers["attack.eps"]
    images = torch.empty(AT_ONCE, *x.shape[1:], device=DEVICE).contiguous(memory_format=torch.channels_last)
    labels = torch.zeros(AT_ONCE, dtype=torch.long, device=DEVICE)
    found = []
    for text in numbers["attack.training"]:
        size, steps, is_random = attack_steps(text, eps)

        def attack(size=size, steps=steps, is_random=is_random):
            start = images + eps * attacks.noise_like(images) if is_random else images
            return attacks.pgd(classifier, images, labels, start, eps, size, steps)

        recorded = Recorded(attack, {"x": images, "y": labels})
        parts = []
        for start in range(0, len(x), AT_ONCE):
            part, of_part = in_unit_range(x[start : start + AT_ONCE]), y[start : start + AT_ONCE]
            missing = AT_ONCE - len(part)
            padded = F.pad(part, (0, 0, 0, 0, 0, 0, 0, missing)), F.pad(of_part, (0, missing))
            parts.append(recorded(x=padded[0], y=padded[1])[: len(part)].half().clone())
        found.append(torch.cat(parts))
    return found


def train_cae(numbers, classifier, extrapolator, x, y):
    """Equation 12, as `pssr_keras.cae.CAE`; returns E and the mean score of the surgery, if it has one."""
    if numbers["surgery.enabled"] and numbers["surgery.score"] != "magnitude":
        raise ValueError(f"surgery.score is {numbers['surgery.score']!r}, only 'magnitude' is translated")
    classifier = frozen(classifier)
    through = rounded(classifier)
    versions = [in_unit_range(x).half(), *crafted(numbers, classifier, x, y)]
    parts = [part for version in versions for part in version.split(AT_ONCE)]
    channels, mean = numbers["surgery.channels"], None
    if numbers["surgery.enabled"] and numbers["surgery.threshold"] == "dataset":
        sums = [attacks.scores(classifier, part.float(), channels, "probability").sum() for part in parts]
        size = 1 if channels == "max" else x.shape[1]
        mean = float(sum(sums) / (len(versions) * len(x) * size * x.shape[2] * x.shape[3]))
    if numbers["surgery.enabled"]:
        alpha = numbers["surgery.alpha"]
        for part in parts:  # in place: a part is a view of its version
            part *= attacks.trivial_mask(classifier, part.float(), alpha, channels, mean).half()
    trivial = torch.cat(versions)
    del versions, parts

    shape = (*x.shape[2:], x.shape[1])
    extrapolator, discriminator = placed(extrapolator).train(), placed(models.Discriminator(shape)).train()
    weights, judging = list(extrapolator.parameters()), list(discriminator.parameters())
    optimizers = {"extrapolator": Adam(weights), "discriminator": Adam(judging, 0.5)}
    passes, size, share = numbers["cae.passes"], numbers["cae.batch_size"], numbers["cae.benign_share"]
    rows = torch.zeros(size, dtype=torch.long, device=DEVICE)
    count = len(trivial) // len(x) - 1  # attacked versions share what benign images leave
    edges = torch.tensor([share + part * (1 - share) / count for part in range(count)], device=DEVICE)
    progress = Progress(["adversarial", "query", "pixel", "r_drop", "total", "discriminator"], 0)

    def step():
        with half_precision():
            version = torch.bucketize(torch.rand(size, device=DEVICE), edges)
            both = torch.cat([trivial[version * len(x) + rows].float(), in_unit_range(x[rows])], 1)
            both = augmented(both, numbers["cae.pair_augmentation"])
            x_t, clean = both.split(x.shape[1], 1)
            with torch.no_grad():
                clean_logits = through(clean)
            restored = extrapolator(x_t.repeat(passes, 1, 1, 1))
            logits = through(restored)
            judged = discriminator(x_t, restored[:size])
            fooled = F.softplus(judged) if numbers["cae.saturating"] else -F.softplus(-judged)
            adversarial = -fooled.mean()
            query = F.cross_entropy(logits, y[rows].repeat(passes))
            difference = (clean.repeat(passes, 1, 1, 1) - restored).abs()
            is_sum = numbers["cae.pixel_reduction"] == "sum"
            pixel = difference.sum((1, 2, 3)).mean() if is_sum else difference.mean()
            log_p = F.log_softmax(logits, 1).view(passes, size, -1)
            divergence = (log_p.exp() * (log_p - F.log_softmax(clean_logits, 1))).sum(-1)
            r_drop = divergence.mean(1).sum()
            total = (
                numbers["cae.lambda_adversarial"] * adversarial
                + numbers["cae.lambda_query"] * query
                + numbers["cae.lambda_pixel"] * pixel
                + numbers["cae.lambda_r_drop"] * r_drop
            )
        optimizers["extrapolator"].step(torch.autograd.grad(total, weights))
        with half_precision():
            judgement = F.softplus(-discriminator(x_t, clean)).mean()
            judgement = judgement + F.softplus(discriminator(x_t, restored[:size].detach())).mean()
        optimizers["discriminator"].step(torch.autograd.grad(judgement, judging))
        progress.sums.add_(torch.stack([adversarial, query, pixel, r_drop, total, judgement]).detach())

    peaks = {name: numbers[f"cae.{name}_learning_rate"] for name in optimizers}
    train(step, {"rows": rows}, optimizers, peaks, numbers, "cae", len(x), progress)
    return extrapolator.eval(), mean


def divergence(logits, other):
    """KL(p || q) of each row."""
    log_p = F.log_softmax(logits, 1)
    return (log_p.exp() * (log_p - F.log_softmax(other, 1))).sum(1)


def train_hardened(numbers, classifier, extrapolator, x, y):
    """A hardened E without surgery, as `pssr_keras.hardened.HardenedCAE`; the average of its weights."""
    if numbers["hardened.mask"] != "none":
        raise ValueError(f"hardened.mask is {numbers['hardened.mask']!r}, only 'none' is translated")
    classifier = frozen(classifier)
    through = classifier if isinstance(classifier, models.LeNet5) else rounded(classifier)
    extrapolator = placed(extrapolator)
    weights = list(extrapolator.parameters())
    state = [value for value in extrapolator.state_dict().values() if value.is_floating_point()]
    average = [value.clone() for value in state]
    optimizer = Adam(weights)
    size, eps = numbers["hardened.batch_size"], numbers["attack.eps"]
    rows, budget = torch.zeros(size, dtype=torch.long, device=DEVICE), torch.zeros((), device=DEVICE)
    share, pairing = numbers["hardened.attacked_share"], numbers["hardened.trades_weight"]
    averaging, of_divergence = numbers["hardened.averaging"], numbers["hardened.inner_loss"] == "divergence"
    progress = Progress(["clean", "attacked", "pixel"], 0)

    def pipeline(images):
        return through(extrapolator(images))

    def step():
        with half_precision():
            images, labels = augmented(in_unit_range(x[rows]), numbers["hardened.augmentation"]), y[rows]
            extrapolator.eval()
            with torch.no_grad():
                reference = pipeline(images)

            def diverged(outputs):
                return divergence(reference, outputs).sum()

            attacked = attacks.pgd(
                pipeline,
                images,
                labels,
                images + budget * attacks.noise_like(images),
                budget,
                numbers["hardened.inner_step_size"] * budget,
                numbers["hardened.inner_steps"],
                diverged if of_divergence else None,
            )
            extrapolator.train()
            restored = extrapolator(torch.cat([images, attacked]))
            logits = through(restored)
            clean, worst = (F.cross_entropy(part, labels) for part in (logits[:size], logits[size:]))
            pixel = (images.repeat(2, 1, 1, 1) - restored).abs().sum((1, 2, 3)).mean()
            paired = divergence(logits[:size], logits[size:]).mean()
            total = (1 - share) * clean + share * worst + pairing * paired
            total = total + numbers["hardened.lambda_pixel"] * pixel
        optimizer.step(torch.autograd.grad(total, weights))
        if averaging:
            torch._foreach_lerp_(average, [value.detach() for value in state], 1 - averaging)
        progress.sums.add_(torch.stack([clean, worst, pixel]).detach())

    def ramp(number, steps):
        return {"eps": eps * min(1.0, (number + 1) / max(1.0, numbers["hardened.ramp_share"] * steps))}

    rates = {"extrapolator": numbers["hardened.extrapolator_learning_rate"]}
    inputs = {"rows": rows, "eps": budget}
    train(step, inputs, {"extrapolator": optimizer}, rates, numbers, "hardened", len(x), progress, ramp)
    if averaging:
        with torch.no_grad():
            for kept, value in zip(average, state, strict=True):
                value.copy_(kept)
    return extrapolator.eval()
