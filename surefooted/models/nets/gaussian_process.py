"""A sparse Gaussian process over features as the last layer of a classifier: one function per class."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import InputError

# Added to the diagonal of covariances, as GPyTorch does for single precision.
JITTER = 1e-4
ROUNDS = 100


class GaussianProcess(nn.Module):
    """Inducing-point Gaussian process with a whitened Cholesky posterior: samples of the functions are the logits.

    One RBF kernel, outputscale and constant mean per class over inducing points that all classes share. A row's
    samples come from its own marginal, whatever else is in the batch. Parameters and kernel are GPyTorch's; the
    marginals are worked out here, since its predictions keep a Cholesky factor that outlives the weights it was made
    of.

    Attributes:
        inducing: (M, D) points in feature space.
        examples: N, number of training examples; 0 until ``start``.

    Source: Hensman et al., *Scalable variational Gaussian process classification*, AISTATS 2015.
    """

    examples: Tensor
    kernel: Any  # without stubs

    def __init__(self, width: int, classes: int, *, inducing: int, samples: int, training_samples: int) -> None:
        super().__init__()
        gpytorch, batch = _gpytorch(), torch.Size([classes])
        self.samples, self.training_samples = samples, training_samples
        self.inducing = nn.Parameter(torch.randn(inducing, width))
        self.mean = gpytorch.means.ConstantMean(batch_shape=batch)
        self.kernel = _kernel(gpytorch, batch)
        self.posterior = gpytorch.variational.CholeskyVariationalDistribution(inducing, batch_shape=batch)
        # At the prior itself no gradient reaches the features, and Adam would follow rounding errors far away.
        nn.init.normal_(self.posterior.variational_mean, std=1e-3)
        self.register_buffer("examples", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def start(self, features: Float[Tensor, "n d"], examples: int) -> None:
        """Inducing points at the k-means centres of features of training points, lengthscales at their mean distance.

        A process that has been started keeps its points, and learns the number of examples only.
        """
        if self.examples == 0:
            some, found = len(self.inducing), features.cpu().double()
            if len(found) < some:
                raise InputError(
                    f"a Gaussian process of {some} inducing points cannot start from {len(found)} training images; "
                    "lower --net.inducing, or train on more images."
                )
            distance = torch.pdist(found).mean() if len(found) > 1 else torch.zeros(())
            if not distance > 1e-6 * found.abs().max():  # refuses NaN too
                raise InputError(
                    "the features of the training images are all the same (zero variance), so they have no "
                    "lengthscale; look whether the images differ from each other, or change the seed (--seed) or width."
                )
            self.inducing.copy_(k_means(found, some))
            self.kernel.base_kernel.lengthscale = distance.to(self.inducing)
        self.examples.fill_(examples)

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "s b k"]:
        mean, variance = self.marginals(features)
        count = self.training_samples if self.training else self.samples
        noise = torch.randn(len(mean), count, mean.shape[1], dtype=mean.dtype, device=mean.device).transpose(0, 1)
        return mean + variance.sqrt() * noise

    def marginals(self, features: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Mean and variance of every class's function at every point."""
        with torch.autocast(features.device.type, enabled=False):
            x, z = features.to(self.inducing.dtype), self.inducing
            jitter = JITTER * torch.eye(len(z), dtype=z.dtype, device=z.device)
            # In double precision: inducing points that come close make the matrix nearly singular.
            factor, failed = torch.linalg.cholesky_ex((self.kernel(z).to_dense() + jitter).double())
            factor = factor.masked_fill((failed > 0)[:, None, None], torch.nan)
            between = self.kernel(z, x).to_dense().double()
            across = torch.linalg.solve_triangular(factor, between, upper=False).to(z.dtype)
            mean = self.mean(x) + torch.einsum("km,kmb->kb", self.posterior.variational_mean, across)
            explained = across.square().sum(1) - (self._root.transpose(1, 2) @ across).square().sum(1)
            variance = self.kernel.outputscale[:, None] + JITTER - explained
            return mean.T, variance.clamp_min(1e-6).T

    def divergence(self) -> Float[Tensor, ""]:
        """KL divergence of the posterior over the inducing values from their prior; whitened, that is N(0, 1)."""
        mean, root = self.posterior.variational_mean, self._root
        log_volume = root.diagonal(dim1=1, dim2=2).abs().log().sum()
        return (mean.square().sum() + root.square().sum() - mean.numel()) / 2 - log_volume

    @property
    def _root(self) -> Float[Tensor, "k m m"]:
        return self.posterior.chol_variational_covar.tril()


def k_means(points: Float[Tensor, "n d"], k: int) -> Float[Tensor, "k d"]:
    """Lloyd's algorithm from centres drawn by k-means++; always the same for the same points."""
    draws = torch.Generator().manual_seed(0)
    centres = points[:1]
    for _ in range(1, k):
        away = torch.cdist(points, centres).amin(1).square()
        shares = away if away.sum() > 0 else torch.ones_like(away)  # all points are centres already
        centres = torch.cat([centres, points[torch.multinomial(shares, 1, generator=draws)]])
    nearest = torch.full((len(points),), -1)
    for _ in range(ROUNDS):
        before, nearest = nearest, torch.cdist(points, centres).argmin(1)
        if torch.equal(before, nearest):
            break
        belongs = torch.nn.functional.one_hot(nearest, k).to(points)
        sizes = belongs.sum(0)[:, None]
        centres = torch.where(sizes > 0, belongs.T @ points / sizes.clamp(min=1), centres)
    return centres


def _kernel(gpytorch: ModuleType, batch: torch.Size) -> nn.Module:
    # GPyTorch reads the bounds of its constraints as it makes them, which the meta device does not let it.
    with torch.device("cpu"):
        kernel = gpytorch.kernels.ScaleKernel(gpytorch.kernels.RBFKernel(batch_shape=batch), batch_shape=batch)
    for module in kernel.modules():
        for name in ("lower_bound", "upper_bound"):
            if name in module._buffers:  # 0 and infinity: nothing to keep, and no sign of weights gone wrong
                module.register_buffer(name, getattr(module, name), persistent=False)
    return kernel.to(torch.get_default_device())


def _gpytorch() -> ModuleType:
    with warnings.catch_warnings():
        # Its linear algebra is compiled by torch.jit.script as it is imported, which newer torch speaks against.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return import_module("gpytorch")
        except ImportError:
            raise InputError("a Gaussian process needs GPyTorch; run `pip install surefooted[gp]`.") from None
