"""Optimizers and schedules as Keras has them, and steps recorded as CUDA graphs.

A step of these small networks is hundreds of kernels of microseconds. Started one by one they keep the GPU
waiting; recorded once and replayed they do not. So a step reads its inputs, its learning rate among them,
from tensors that stay where they are.
"""

import math

import torch


class SGD:
    """Nesterov momentum, with the weight decay inside the gradient."""

    def __init__(self, weights, decay, momentum=0.9):
        self.weights, self.decay, self.momentum = list(weights), decay, momentum
        self.velocities = [torch.zeros_like(weight) for weight in self.weights]
        self.rate = torch.zeros((), device=self.weights[0].device)

    @torch.no_grad()
    def step(self, gradients):
        gradients = torch._foreach_add(list(gradients), self.weights, alpha=self.decay)
        steps = torch._foreach_mul(gradients, self.rate)
        torch._foreach_mul_(self.velocities, self.momentum)
        torch._foreach_sub_(self.velocities, steps)
        torch._foreach_add_(self.weights, torch._foreach_mul(self.velocities, self.momentum))
        torch._foreach_sub_(self.weights, steps)


class Adam:
    """Adam with Keras' constants."""

    def __init__(self, weights, beta_1=0.9, beta_2=0.999, epsilon=1e-7):
        self.weights, self.betas, self.epsilon = list(weights), (beta_1, beta_2), epsilon
        self.means = [torch.zeros_like(weight) for weight in self.weights]
        self.squares = [torch.zeros_like(weight) for weight in self.weights]
        self.rate, self.steps = (torch.zeros((), device=self.weights[0].device) for _ in range(2))

    @torch.no_grad()
    def step(self, gradients):
        gradients = list(gradients)
        beta_1, beta_2 = self.betas
        self.steps += 1
        size = self.rate * torch.sqrt(1 - beta_2**self.steps) / (1 - beta_1**self.steps)
        torch._foreach_lerp_(self.means, gradients, 1 - beta_1)
        torch._foreach_lerp_(self.squares, torch._foreach_mul(gradients, gradients), 1 - beta_2)
        scales = torch._foreach_sqrt(self.squares)
        torch._foreach_add_(scales, self.epsilon)
        torch._foreach_sub_(self.weights, torch._foreach_mul(torch._foreach_div(self.means, scales), size))


def warmup_cosine(peak, steps, warmup_steps, step):
    """The learning rate at a step: a linear warm-up to `peak`, then half a cosine down to 0."""
    if step < warmup_steps:
        return peak * step / warmup_steps
    return peak / 2 * (1 + math.cos(math.pi * (step - warmup_steps) / (steps - warmup_steps)))


class Recorded:
    """A function without arguments, recorded as a CUDA graph; without a GPU it is called as it is.

    Args:
        function: reads the tensors of `inputs`.
        inputs: {name: tensor}; a call gives some of them other values.
    """

    WARM_UP = 3  # calls before the recording, in which libraries choose their kernels

    def __init__(self, function, inputs):
        self.inputs, self.graph, self.function = inputs, None, function
        if not torch.cuda.is_available():
            return
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(self.WARM_UP):
                function()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.outputs = function()

    def __call__(self, **values):
        for name, value in values.items():
            self.inputs[name].copy_(torch.as_tensor(value))
        if self.graph is None:
            return self.function()
        self.graph.replay()
        return self.outputs


def rows_of_batches(count, size, seed, device):
    """Endless batches of image positions, each epoch a permutation; a last partial batch is dropped."""
    generator = torch.Generator(device)
    generator.manual_seed(seed)
    while True:
        order = torch.randperm(count, device=device, generator=generator)
        yield from order[: count // size * size].view(-1, size)
