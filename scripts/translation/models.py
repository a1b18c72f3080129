"""The networks of the package in PyTorch: their weights, taken over by `weights`, give the same answers.

What differs without being told: TensorFlow pads a stride of 2 below and to the right alone, folds pixels into
channels in the order (row, column, channel), and flattens channels last.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn


class Convolution(nn.Module):
    """Keras' Conv2D with padding "same"."""

    def __init__(self, inputs, outputs, size, stride=1, bias=False, he=False):
        super().__init__()
        weight = torch.empty(outputs, inputs, size, size)
        if he:  # a normal distribution cut at two deviations, and widened to make up for it
            deviation = math.sqrt(2 / (inputs * size * size)) / 0.87962566
            nn.init.trunc_normal_(weight, std=deviation, a=-2 * deviation, b=2 * deviation)
        else:
            limit = math.sqrt(6 / (size * size * (inputs + outputs)))
            nn.init.uniform_(weight, -limit, limit)
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        self.size, self.stride = size, stride

    def forward(self, x):
        if self.stride == 2 and self.size == 3:
            odd = x.shape[-1] % 2
            return F.conv2d(F.pad(x, (odd, 1, odd, 1)), self.weight, self.bias, 2)
        return F.conv2d(x, self.weight, self.bias, self.stride, self.size // 2)


class Dense(nn.Module):
    """Keras' Dense."""

    def __init__(self, inputs, outputs):
        super().__init__()
        limit = math.sqrt(6 / (inputs + outputs))
        self.weight = nn.Parameter(torch.empty(outputs, inputs).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x):
        return F.linear(x, self.weight, self.bias)


def normalisation(channels, momentum=0.9, epsilon=1e-5):
    """Batch normalisation; PyTorch's momentum is the rest of Keras'."""
    return nn.BatchNorm2d(channels, eps=epsilon, momentum=1 - momentum)


def flatten(x):
    """(B, C, H, W) -> (B, HWC)."""
    return x.permute(0, 2, 3, 1).flatten(1)


def space_to_depth(x):
    b, c, h, w = x.shape
    x = x.view(b, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4)
    return x.reshape(b, 4 * c, h // 2, w // 2)


def depth_to_space(x):
    b, c, h, w = x.shape
    x = x.view(b, 2, 2, c // 4, h, w).permute(0, 3, 4, 1, 5, 2)
    return x.reshape(b, c // 4, 2 * h, 2 * w)


# --- classifiers ---------------------------------------------------------------------------------


class Normalise(nn.Module):
    def __init__(self, mean, variance):
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean).view(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(variance).sqrt().view(1, -1, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.deviation


class Block(nn.Module):
    """A basic block of ResNet18."""

    def __init__(self, inputs, channels, stride):
        super().__init__()
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != channels:
            convolution = Convolution(inputs, channels, 1, stride, he=True)
            self.shortcut = nn.Sequential(convolution, normalisation(channels))
        self.first = Convolution(inputs, channels, 3, stride, he=True)
        self.first_normalisation = normalisation(channels)
        self.second = Convolution(channels, channels, 3, he=True)
        self.second_normalisation = normalisation(channels)

    def forward(self, x):
        shortcut = self.shortcut(x)
        x = F.relu(self.first_normalisation(self.first(x)))
        return F.relu(self.second_normalisation(self.second(x)) + shortcut)


class ResNet18(nn.Module):
    """`pssr_keras.classifiers.resnet18`."""

    def __init__(self, classes, width, statistics):
        super().__init__()
        self.normalise = Normalise(**statistics)
        channels = round(64 * width)
        self.stem, self.stem_normalisation = Convolution(3, channels, 3, he=True), normalisation(channels)
        self.blocks = nn.Sequential()
        for stage in range(4):
            for block in range(2):
                inputs, channels = channels, round(64 * 2**stage * width)
                self.blocks.append(Block(inputs, channels, 2 if stage > 0 and block == 0 else 1))
        self.logits = Dense(channels, classes)

    def forward(self, x):
        x = F.relu(self.stem_normalisation(self.stem(self.normalise(x))))
        return self.logits(self.blocks(x).mean((2, 3))).float()


class DenseNet121(nn.Module):
    """`pssr_keras.classifiers.densenet121`, and with a stride of 2 `densenet121_strided`."""

    def __init__(self, classes, width, statistics, stem_stride=1):
        super().__init__()
        growth = round(32 * width)
        channels = 2 * growth
        self.normalise = Normalise(**statistics)
        self.stem = Convolution(3, channels, 3, stem_stride, he=True)
        self.parts = nn.ModuleList()
        for stage, depth in enumerate((6, 12, 24, 16)):
            if stage > 0:
                transition = [normalisation(channels), Convolution(channels, channels // 2, 1, he=True)]
                self.parts.append(nn.ModuleList(transition))
                channels //= 2
            for _ in range(depth):
                bottleneck = [normalisation(channels), Convolution(channels, 4 * growth, 1, he=True)]
                new = [normalisation(4 * growth), Convolution(4 * growth, growth, 3, he=True)]
                self.parts.append(nn.ModuleList(bottleneck + new))
                channels += growth
        self.last_normalisation = normalisation(channels)
        self.logits = Dense(channels, classes)

    def forward(self, x):
        x = self.stem(self.normalise(x))
        for part in self.parts:
            new = part[1](F.relu(part[0](x)))
            is_transition = len(part) == 2
            x = F.avg_pool2d(new, 2) if is_transition else torch.cat([x, part[3](F.relu(part[2](new)))], 1)
        return self.logits(F.relu(self.last_normalisation(x)).mean((2, 3))).float()


class LeNet5(nn.Module):
    """`pssr_keras.classifiers.lenet5` for 28x28 images."""

    def __init__(self, classes=10):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.dense, self.features, self.logits = Dense(400, 120), Dense(120, 84), Dense(84, classes)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        return self.logits(F.relu(self.features(F.relu(self.dense(flatten(x)))))).float()


# --- extrapolators and the discriminator -----------------------------------------------------------


def soft_threshold(x):
    return 6 * x - 3


def identity(x):
    return torch.logit(x.clamp(0.02, 0.98))


def neighbours(x):
    kept = (x != 0).to(x.dtype)
    sums, counts = (F.avg_pool2d(values, 5, 1, 2, count_include_pad=False) for values in (x, kept))
    return identity(x + (1 - kept) * torch.where(counts > 0, sums / counts.clamp(min=1e-9), 0.0))


def with_contrast(x, contrast):
    if not contrast:
        return x
    lowest = 1 / (1 + math.exp(contrast / 2))
    return (torch.sigmoid(contrast * (x - 0.5)) - lowest) / (1 - 2 * lowest)


STARTS = {"threshold": soft_threshold, "identity": identity, "neighbours": neighbours}


class Convolutions(nn.Module):
    """Convolutions, each with batch normalisation and ReLU."""

    def __init__(self, inputs, channels, count=2):
        super().__init__()
        self.parts = nn.Sequential()
        for number in range(count):
            self.parts.append(Convolution(channels if number else inputs, channels, 3))
            self.parts.append(normalisation(channels, 0.95, 1e-3))
            self.parts.append(nn.ReLU())

    def forward(self, x):
        return self.parts(x)


class Bottleneck(nn.Module):
    """`pssr_keras.cae.extrapolator`."""

    def __init__(self, shape, channels, bottleneck, dropout, start, contrast=0.0):
        super().__init__()
        height, width, colours = shape
        self.channels, self.low = channels, (height // 4, width // 4)
        self.start, self.contrast = STARTS[start], contrast
        self.half_down = Convolutions(4 * colours, channels)
        self.quarter_down = Convolutions(4 * channels, 2 * channels)
        units = self.low[0] * self.low[1] * channels
        self.dropout = nn.Dropout(dropout)
        self.squeeze, self.widen = Dense(2 * units, bottleneck), Dense(bottleneck, units)
        self.quarter_up = Convolutions(3 * channels, 2 * channels)
        self.from_quarter = Convolution(2 * channels, 4 * channels, 1, bias=True)
        self.half_up = Convolutions(2 * channels, channels)
        self.last = Convolution(channels, 4 * colours, 3, bias=True)

    def forward(self, x):
        x = with_contrast(x.float(), self.contrast)
        half = self.half_down(space_to_depth(x))
        quarter = self.quarter_down(space_to_depth(half))
        z = self.dropout(F.relu(self.squeeze(self.dropout(flatten(quarter)))))
        z = F.relu(self.widen(z)).view(-1, *self.low, self.channels).permute(0, 3, 1, 2)
        z = depth_to_space(self.from_quarter(self.quarter_up(torch.cat([z, quarter], 1))))
        z = depth_to_space(self.last(self.half_up(torch.cat([z, half], 1))))
        return torch.sigmoid(z.float() + self.start(x.float()))


class UNet(nn.Module):
    """`pssr_keras.cae.unet`."""

    def __init__(self, shape, channels, dropout, start, contrast=0.0):
        super().__init__()
        colours = shape[2]
        self.start, self.contrast = STARTS[start], contrast
        self.full_down = Convolutions(colours, channels)
        self.half_down = Convolutions(4 * channels, 2 * channels)
        self.quarter = Convolutions(8 * channels, 4 * channels)
        self.dropout = nn.Dropout(dropout)
        self.from_quarter = Convolution(4 * channels, 8 * channels, 1, bias=True)
        self.half_up = Convolutions(4 * channels, 2 * channels)
        self.from_half = Convolution(2 * channels, 4 * channels, 1, bias=True)
        self.full_up = Convolutions(2 * channels, channels)
        self.last = Convolution(channels, colours, 3, bias=True)

    def forward(self, x):
        x = with_contrast(x.float(), self.contrast)
        full = self.full_down(x)
        half = self.half_down(space_to_depth(full))
        z = self.dropout(self.quarter(space_to_depth(half)))
        z = depth_to_space(self.from_quarter(z))
        z = depth_to_space(self.from_half(self.half_up(torch.cat([z, half], 1))))
        z = self.last(self.full_up(torch.cat([z, full], 1)))
        return torch.sigmoid(z.float() + self.start(x.float()))


class Autoencoder(nn.Module):
    """`pssr_keras.cae.autoencoder`."""

    def __init__(self, shape, channels, bottleneck, dropout, contrast=0.0):
        super().__init__()
        height, width, colours = shape
        halvings = 2 if height % 8 or width % 8 else 3
        self.contrast, self.low = contrast, (height // 2**halvings, width // 2**halvings)
        self.down, deepest = nn.ModuleList(), colours
        for halving in range(halvings):
            self.down.append(Convolutions(4 * deepest, 2**halving * channels))
            deepest = 2**halving * channels
        places = self.low[0] * self.low[1]
        self.dropout = nn.Dropout(dropout)
        self.squeeze = Dense(places * deepest, bottleneck)
        self.widen = Dense(bottleneck, places * 2 * channels)
        self.up, inputs = nn.ModuleList(), 2 * channels
        for _ in range(halvings - 1):
            self.up.append(Convolution(inputs, 2 * channels, 1, bias=True))
            self.up.append(Convolutions(channels // 2, channels // 2, count=1))
            inputs = channels // 2
        self.last = Convolution(inputs, 4 * colours, 3, bias=True)

    def forward(self, x):
        z = with_contrast(x.float(), self.contrast)
        for convolutions in self.down:
            z = convolutions(space_to_depth(z))
        z = self.dropout(F.relu(self.squeeze(self.dropout(flatten(z)))))
        z = F.relu(self.widen(z)).view(len(x), *self.low, -1).permute(0, 3, 1, 2)
        for widen, convolutions in zip(self.up[::2], self.up[1::2], strict=True):
            z = convolutions(depth_to_space(widen(z)))
        return torch.sigmoid(depth_to_space(self.last(z)).float())


class Discriminator(nn.Module):
    """`pssr_keras.cae.discriminator`."""

    def __init__(self, shape, channels=32):
        super().__init__()
        height, width, colours = shape
        self.first = Convolution(8 * colours, channels, 3, 2, bias=True)
        self.second = Convolution(channels, 2 * channels, 3, 2, bias=True)
        self.judgement = Dense(math.ceil(height / 8) * math.ceil(width / 8) * 2 * channels, 1)

    def forward(self, trivial, judged):
        x = space_to_depth(torch.cat([trivial, judged], 1))
        x = F.leaky_relu(self.first(x), 0.2)
        x = F.leaky_relu(self.second(x), 0.2)
        return self.judgement(flatten(x)).float()


def classifier(architecture, classes, width, statistics):
    """The classifier of a name of `pssr_keras.classifiers.CLASSIFIERS` that is translated."""
    if architecture == "lenet5":
        return LeNet5(classes)
    if architecture == "resnet18":
        return ResNet18(classes, width, statistics)
    return DenseNet121(classes, width, statistics, 2 if architecture == "densenet121_strided" else 1)


def extrapolator(kind, shape, channels, bottleneck, dropout, start, contrast=0.0):
    """As `pssr_keras.cae.create`."""
    if kind == "unet":
        return UNet(shape, channels, dropout, start, contrast)
    if kind == "autoencoder":
        return Autoencoder(shape, channels, bottleneck, dropout, contrast)
    return Bottleneck(shape, channels, bottleneck, dropout, start, contrast)
