"""Deterministic uncertainty estimation (DUE): a Gaussian process on features that preserve distances."""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise
from math import prod
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.components.component import Count, Positive, Share
from surefooted.models.nets.gaussian_process import GaussianProcess
from surefooted.models.nets.network import Shape, image_network
from surefooted.models.nets.normalise import Normalise, NormaliseMode
from surefooted.models.nets.spectral import SpectralConv2d, SpectralLinear, bound_layers, power_iteration
from surefooted.models.nets.stages import dropout_layer, sequential
from surefooted.models.nets.wide_resnet import wide_resnet
from surefooted.models.victims import untouched

Backbone = Literal["small", "wide_resnet28_10"]
# Depth, widening factor, and momentum of batch norm's running statistics. The 0.01 of the paper's code lags in short
# trainings.
_BACKBONES: dict[Backbone, tuple[int, int, float]] = {"small": (10, 2, 0.1), "wide_resnet28_10": (28, 10, 0.01)}
# Images per forward pass while a Gaussian process is initialised.
_BATCH = 100


class Due(nn.Sequential):
    """Named stages that end in a Gaussian process: every call draws S samples of the logits. It is a victim.

    The samples come from torch's generator, which attacks and predictions seed, so the same seed gives the same
    samples. Train it with the method ``due``, and a WRN-28-10 with the recipe ``due_wide_resnet``.
    """

    box = (0.0, 1.0)

    @property
    def nets(self) -> tuple[nn.Module, ...]:
        return (self,)

    def lift(self, x: Float[Tensor, "b *d"]) -> Float[Tensor, "b *d"]:
        return x

    @torch.no_grad()
    def initialise(self, x: Float[Tensor, "n *d"], examples: int) -> None:
        """Set inducing points and lengthscales from training images, and the vectors of the spectral norms.

        Call it once before the first training step.

        Args:
            x: (N, C, H, W) training images, at least as many as inducing points; the paper's code uses 1,000.
            examples: number of all training examples.

        Raises:
            ModelError: if there are too few images, or their features are all equal.
        """
        for module in self.modules():
            if isinstance(module, SpectralLinear | SpectralConv2d):
                power_iteration(module, 15)
        process = self[-1]
        assert isinstance(process, GaussianProcess)
        # In training mode, so that batch norm uses statistics of the batch. An even split leaves no image alone.
        with untouched(self, "train", seed=0):
            batches = x.to(process.inducing).tensor_split(max(1, len(x) // _BATCH))
            features = torch.cat([_features(self, batch) for batch in batches])
        process.initialise(features, examples)


@image_network()
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
    normalise: NormaliseMode = "channel",
) -> Due:
    """DUE for points of the plane and small images: residual fully connected layers under a Gaussian process.

    Train it with the method ``due``; the study of the plane uses Adam with a learning rate of 1e-2.

    Stages: normalise, flatten, fc1, then residual layers x + ReLU(linear(x)) fc2, fc3, ..., and gp.

    Args:
        shape: (C, H, W) of the images, of any size.
        classes: number of classes.
        width: number of features.
        layers: number of residual layers.
        inducing: M, number of inducing points; by default the number of classes.
        samples: function samples per prediction.
        training_samples: function samples per training step.
        coefficient: upper bound on the spectral norm of a layer; smaller values preserve distances better.
        dropout: dropout probability in every residual layer; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (samples, B, classes).

    Raises:
        DependencyError: if GPyTorch is not installed.

    Reference:
        van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*,
        2021: the network of the toy example in its code, which uses a coefficient of 0.95 and a dropout of 0.01.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.due_mlp((1, 1, 2), 2, samples=8).eval()
        >>> net(torch.rand(5, 1, 1, 2)).shape  # samples, images, classes
        torch.Size([8, 5, 2])
    """
    widths = [prod(shape)] + [width] * (layers + 1)
    linear = [SpectralLinear(inner, outer, coefficient=coefficient) for inner, outer in pairwise(widths)]
    residual = {f"fc{k}": _Residual(layer, dropout) for k, layer in enumerate(linear[1:], start=2)}
    gp = GaussianProcess(
        width, classes, inducing=inducing or classes, samples=samples, training_samples=training_samples
    )
    stages = sequential(normalise=Normalise(shape, normalise), flatten=nn.Flatten(), fc1=linear[0], **residual, gp=gp)
    return Due(OrderedDict(stages.named_children()))


@image_network(min_side=4)
def due(
    shape: Shape,
    classes: Count,
    /,
    *,
    which: Backbone = "wide_resnet28_10",
    inducing: Count | None = None,
    samples: Count = 32,
    training_samples: Count = 10,
    coefficient: Positive = 3.0,
    dropout: Share = 0.3,
    normalise: NormaliseMode = "channel",
) -> Due:
    """Deterministic uncertainty estimation (DUE) for images: a wide ResNet of bounded slope under a Gaussian process.

    Train it with the method ``due``.

    Stages: normalise, stem, layer1, layer2, layer3, norm, pool (the features), gp.

    Args:
        shape: (C, H, W) of the images, at least 4×4 pixels.
        classes: number of classes.
        which: the backbone: wide_resnet28_10 as in the paper's code (640 features), or small, a WRN-10-2
            (128 features) that trains on a CPU.
        inducing: M, number of inducing points; by default the number of classes.
        samples: function samples per prediction.
        training_samples: function samples per training step.
        coefficient: upper bound on the spectral norm of a convolution, and on the slope of a batch norm.
        dropout: dropout probability between the two convolutions of each block; 0 adds no layer.
        normalise: none, channel or pixel_mean; see ``Normalise``.

    Returns:
        A network from pixels (B, C, H, W) in [0, 1] to logits (samples, B, classes).

    Raises:
        ArgumentError: if the images are too small.
        DependencyError: if GPyTorch is not installed.

    Reference:
        van Amersfoort et al., *On feature collapse and deep kernel learning for single forward pass uncertainty*,
        2021, and its code.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = sf.nets.due((3, 8, 8), 10, which="small", samples=4).eval()
        >>> net(torch.rand(2, 3, 8, 8)).shape  # samples, images, classes
        torch.Size([4, 2, 10])
    """
    depth, widen, momentum = _BACKBONES[which]
    net = wide_resnet(shape, classes, depth=depth, widen=widen, dropout=dropout, normalise=normalise)
    del net.fc
    bound_layers(net, shape, coefficient=coefficient, momentum=momentum)
    net.gp = GaussianProcess(
        64 * widen, classes, inducing=inducing or classes, samples=samples, training_samples=training_samples
    )
    return Due(OrderedDict(net.named_children()))


class _Residual(nn.Module):
    """x + dropout(ReLU(linear(x)))."""

    def __init__(self, linear: nn.Module, dropout: float) -> None:
        super().__init__()
        self.body = sequential(linear=linear, relu=nn.ReLU(), dropout=dropout_layer(dropout))

    def forward(self, x: Float[Tensor, "b d"]) -> Float[Tensor, "b d"]:
        out: Tensor = x + self.body(x)
        return out


def _features(net: Due, x: Tensor) -> Tensor:
    """The output of the last stage before the Gaussian process."""
    for stage in list(net)[:-1]:
        x = stage(x)
    return x
