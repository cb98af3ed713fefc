"""Deterministic uncertainty estimation (DUE): a Gaussian process on features that keep distances."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.components.component import Count, Positive, Share, component
from surefooted.models.nets.gaussian_process import GaussianProcess
from surefooted.models.nets.normalise import How, Normalise
from surefooted.models.nets.spectral import SpectralConv2d, SpectralLinear, bound, iterate
from surefooted.models.nets.stages import Shape, drop, stages
from surefooted.models.nets.wide_resnet import wide_resnet
from surefooted.models.victims import untouched

# Depth, factor on the channels, momentum of batch norm's running statistics: 0.01 lags in short runs.
Residuals = Literal["small", "wide_resnet28_10"]
RESIDUALS: dict[Residuals, tuple[int, int, float]] = {"small": (10, 2, 0.1), "wide_resnet28_10": (28, 10, 0.01)}


class Due(nn.Sequential):
    """Stages of which the last is a Gaussian process: S samples of the logits a call, drawn afresh. A victim.

    The samples come from torch's generator, which attacks and predictions seed: the same seed, the same samples. Train
    it with the method ``due``, and a WRN-28-10 by the recipe ``due_wide_resnet``.
    """

    box = (0.0, 1.0)

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n *d"], examples: int) -> None:
        """Before the first step: inducing points and lengthscales from training points, spectral norms from weights.

        Args:
            x: some of the training points, as many as the inducing points at least; the paper's code has 1,000.
            examples: number of all of them.
        """
        for module in self.modules():
            if isinstance(module, SpectralLinear | SpectralConv2d):
                iterate(module, 15)
        process = self[-1]
        assert isinstance(process, GaussianProcess)
        # As in training, so that batch norm has statistics; about 100 images at once, and never one alone.
        with untouched(self, "train", seed=0):
            parts = [_run(self, part) for part in x.to(process.inducing).tensor_split(max(1, len(x) // 100))]
        process.start(torch.cat(parts), examples)


@component
def due_mlp(
    shape: Shape,
    classes: Count,
    /,
    *,
    width: Count = 128,
    layers: Count = 4,
    inducing: Count | None = None,
    samples: Count = 32,
    training_samples: Count = 10,
    coefficient: Positive = 3.0,
    dropout: Share = 0.0,
    normalise: How = "channel",
) -> Due:
    """DUE for points of the plane and small images: residual fully connected layers under a Gaussian process.

    Stages: normalise, flatten, fc1, then residual layers x + ReLU(linear(x)) fc2, fc3, ..., and gp. Takes images of any
    size. Train it with the method ``due``; the study of the plane does so by Adam, 1e-2.

    Args:
        shape: (C, H, W) of the images.
        width: features.
        layers: number of residual layers.
        inducing: M, inducing points; by default as many as classes.
        samples: functions drawn for a prediction.
        training_samples: functions drawn in a training step.
        coefficient: most that a layer may stretch distances; the smaller, the better they are kept.
        dropout: probability, in every residual layer; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (samples, B, classes) from pixels (B, C, H, W) in [0, 1].

    Raises:
        InputError: GPyTorch is not installed.

    Source: van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*,
    2021: the network of its code's toy example, which has a coefficient of 0.95 and a dropout of 0.01.
    """
    widths = [prod(shape)] + [width] * (layers + 1)
    linear = [SpectralLinear(inner, outer, coefficient=coefficient) for inner, outer in pairwise(widths)]
    residual = {f"fc{k}": _Skip(one, dropout) for k, one in enumerate(linear[1:], start=2)}
    gp = GaussianProcess(
        width, classes, inducing=inducing or classes, samples=samples, training_samples=training_samples
    )
    named = stages(normalise=Normalise(shape, normalise), flatten=nn.Flatten(), fc1=linear[0], **residual, gp=gp)
    return Due(OrderedDict(named.named_children()))


@component
def due(
    shape: Shape,
    classes: Count,
    /,
    *,
    which: Residuals = "wide_resnet28_10",
    inducing: Count | None = None,
    samples: Count = 32,
    training_samples: Count = 10,
    coefficient: Positive = 3.0,
    dropout: Share = 0.3,
    normalise: How = "channel",
) -> Due:
    """Deterministic uncertainty estimation (DUE) for images: a wide ResNet of bounded slope under a Gaussian process.

    Stages: normalise, stem, layer1, layer2, layer3, norm, pool (the features), gp. Train it with the method ``due``.

    Args:
        shape: (C, H, W) of the images; from 4×4.
        which: wide_resnet28_10 as the paper's code has it (640 features), or small, a WRN-10-2 (128 features) that
            trains on a CPU.
        inducing: M, inducing points; by default as many as classes.
        samples: functions drawn for a prediction.
        training_samples: functions drawn in a training step.
        coefficient: most that a convolution or a batch norm may stretch distances.
        dropout: probability, between the two convolutions of each block; 0 puts no such layer in.
        normalise: none, channel or pixel_mean.

    Returns:
        Logits (samples, B, classes) from pixels (B, C, H, W) in [0, 1].

    Raises:
        InputError: the images are too small, or GPyTorch is not installed.

    Source: van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*,
    2021, and its code.
    """
    depth, widen, momentum = RESIDUALS[which]
    net = wide_resnet(shape, classes, depth=depth, widen=widen, dropout=dropout, normalise=normalise)
    del net.fc
    bound(net, shape, coefficient=coefficient, momentum=momentum)
    net.gp = GaussianProcess(
        64 * widen, classes, inducing=inducing or classes, samples=samples, training_samples=training_samples
    )
    return Due(OrderedDict(net.named_children()))


class _Skip(nn.Module):
    """x + dropout(ReLU(linear(x)))."""

    def __init__(self, linear: nn.Module, dropout: float) -> None:
        super().__init__()
        self.body = stages(linear=linear, relu=nn.ReLU(), dropout=drop(dropout))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        return x + self.body(x)


def _run(net: Due, x: Tensor) -> Tensor:
    """The features: all stages but the last."""
    for stage in list(net)[:-1]:
        x = stage(x)
    return x
