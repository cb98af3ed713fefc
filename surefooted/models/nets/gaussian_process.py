"""A sparse Gaussian process over features as the last layer of a classifier: one function per class."""

from __future__ import annotations

import warnings
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from surefooted.errors import DependencyError, ModelError

# Added to the diagonal of covariances, as GPyTorch does for single precision.
JITTER = 1e-4
_KMEANS_ITERATIONS = 100


class GaussianProcess(nn.Module):
    """Inducing-point Gaussian process with a whitened Cholesky posterior: samples of its functions are the logits.

    Each class has its own RBF kernel, output scale and constant mean; all classes share the inducing points. The
    samples of an example come from its own marginal, so they do not depend on the rest of the batch. Parameters and
    kernel are GPyTorch's. The marginals are computed here, because GPyTorch's predictions cache a Cholesky factor that
    outlives the weights from which it was computed.

    Attributes:
        inducing: (M, D) points in feature space.
        examples: N, number of training examples; 0 until ``initialise``.

    Reference:
        Hensman et al., *Scalable variational Gaussian process classification*, AISTATS 2015.

    Example:
        >>> process = GaussianProcess(3, 2, inducing=5, samples=4, training_samples=2).eval()
        >>> process(torch.rand(6, 3)).shape  # samples, examples, classes
        torch.Size([4, 6, 2])
    """

    examples: Tensor
    kernel: Any  # GPyTorch has no type stubs

    def __init__(self, width: int, classes: int, *, inducing: int, samples: int, training_samples: int) -> None:
        super().__init__()
        gpytorch, batch = _import_gpytorch(), torch.Size([classes])
        self.samples, self.training_samples = samples, training_samples
        self.inducing = nn.Parameter(torch.randn(inducing, width))
        self.mean = gpytorch.means.ConstantMean(batch_shape=batch)
        self.kernel = _rbf_kernel(gpytorch, batch)
        self.posterior = gpytorch.variational.CholeskyVariationalDistribution(inducing, batch_shape=batch)
        # At the prior itself no gradient reaches the features, and Adam would amplify rounding errors.
        nn.init.normal_(self.posterior.variational_mean, std=1e-3)
        self.register_buffer("examples", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def initialise(self, features: Float[Tensor, "n d"], examples: int) -> None:
        """Set the inducing points to k-means centres of features, and the lengthscales to their mean distance.

        A process that was initialised before keeps its points; only the number of examples is updated.

        Args:
            features: (N, D) features of training images, at least as many as inducing points.
            examples: number of all training examples.

        Raises:
            ModelError: if there are too few features, or they are all equal.
        """
        if self.examples == 0:
            count, points = len(self.inducing), features.cpu().double()
            if len(points) < count:
                raise ModelError(
                    f"A Gaussian process with {count} inducing points cannot be initialised from {len(points)} "
                    "training images. Lower `net.inducing`, or train on more images."
                )
            distance = torch.pdist(points).mean() if len(points) > 1 else torch.zeros(())
            if not distance > 1e-6 * points.abs().max():  # refuses NaN too
                raise ModelError(
                    "The features of the training images are all the same (zero variance), so the Gaussian process "
                    "has no lengthscale. Check that the images differ from each other, or change `seed` or `net.width`."
                )
            self.inducing.copy_(k_means(points, count))
            self.kernel.base_kernel.lengthscale = distance.to(self.inducing)
        self.examples.fill_(examples)

    def forward(self, features: Float[Tensor, "b d"]) -> Float[Tensor, "s b k"]:
        mean, variance = self.marginals(features)
        count = self.training_samples if self.training else self.samples
        noise = torch.randn(len(mean), count, mean.shape[1], dtype=mean.dtype, device=mean.device).transpose(0, 1)
        return mean + variance.sqrt() * noise

    def marginals(self, features: Float[Tensor, "b d"]) -> tuple[Float[Tensor, "b k"], Float[Tensor, "b k"]]:
        """Mean and variance of each class's function at each point."""
        with torch.autocast(features.device.type, enabled=False):
            x, z = features.to(self.inducing.dtype), self.inducing
            jitter = JITTER * torch.eye(len(z), dtype=z.dtype, device=z.device)
            # In double precision: inducing points that are close together make the matrix nearly singular.
            factor, failed = torch.linalg.cholesky_ex((self.kernel(z).to_dense() + jitter).double())
            factor = factor.masked_fill((failed > 0)[:, None, None], torch.nan)
            covariance = self.kernel(z, x).to_dense().double()
            whitened = torch.linalg.solve_triangular(factor, covariance, upper=False).to(z.dtype)
            mean = self.mean(x) + torch.einsum("km,kmb->kb", self.posterior.variational_mean, whitened)
            explained = whitened.square().sum(1) - (self._root.transpose(1, 2) @ whitened).square().sum(1)
            variance = self.kernel.outputscale[:, None] + JITTER - explained
            return mean.T, variance.clamp_min(1e-6).T

    def kl_divergence(self) -> Float[Tensor, ""]:
        """KL divergence of the posterior over the inducing values from their prior, which is N(0, 1) when whitened."""
        mean, root = self.posterior.variational_mean, self._root
        log_volume = root.diagonal(dim1=1, dim2=2).abs().log().sum()
        divergence: Tensor = (mean.square().sum() + root.square().sum() - mean.numel()) / 2 - log_volume
        return divergence

    @property
    def _root(self) -> Float[Tensor, "k m m"]:
        """The Cholesky factor of the posterior's covariance."""
        root: Tensor = self.posterior.chol_variational_covar.tril()
        return root


def k_means(points: Float[Tensor, "n d"], k: int) -> Float[Tensor, "k d"]:
    """Centres by Lloyd's algorithm, initialised by k-means++; deterministic.

    Example:
        >>> k_means(torch.tensor([[0.0], [1.0], [10.0], [11.0]]), 2).flatten().sort().values.tolist()
        [0.5, 10.5]
    """
    generator = torch.Generator().manual_seed(0)
    centres = points[:1]
    for _ in range(1, k):
        distance = torch.cdist(points, centres).amin(1).square()
        weights = distance if distance.sum() > 0 else torch.ones_like(distance)  # all points are centres already
        centres = torch.cat([centres, points[torch.multinomial(weights, 1, generator=generator)]])
    nearest = torch.full((len(points),), -1)
    for _ in range(_KMEANS_ITERATIONS):
        previous, nearest = nearest, torch.cdist(points, centres).argmin(1)
        if torch.equal(previous, nearest):
            break
        membership = F.one_hot(nearest, k).to(points)
        sizes = membership.sum(0)[:, None]
        centres = torch.where(sizes > 0, membership.T @ points / sizes.clamp(min=1), centres)
    return centres


def _rbf_kernel(gpytorch: ModuleType, batch: torch.Size) -> nn.Module:
    # GPyTorch reads the bounds of its constraints during construction, which the meta device does not support.
    with torch.device("cpu"):
        kernel: nn.Module = gpytorch.kernels.ScaleKernel(
            gpytorch.kernels.RBFKernel(batch_shape=batch), batch_shape=batch
        )
    for module in kernel.modules():
        for name in ("lower_bound", "upper_bound"):
            if name in module._buffers:  # 0 and infinity: not worth storing, and infinity is no damaged weight
                module.register_buffer(name, getattr(module, name), persistent=False)
    return kernel.to(torch.get_default_device())


def _import_gpytorch() -> ModuleType:
    with warnings.catch_warnings():
        # Its linear algebra package calls torch.jit.script on import, which newer versions of torch deprecate.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            return import_module("gpytorch")
        except ImportError:
            raise DependencyError("A Gaussian process needs GPyTorch. Run: pip install 'surefooted[gp]'.") from None
