"""Mixup: training on convex combinations of two examples."""

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from surefooted.components.component import Positive, component
from surefooted.core.scores import cross_entropy
from surefooted.core.types import Points
from surefooted.training.methods.base import Method


@component
def mixup(*, alpha: Positive = 0.2) -> Method:
    """Mixup: images and labels are λ times one example plus 1 − λ times another, with λ from Beta(α, α).

    One λ is drawn per batch, as in the authors' code; the partner is another example of the batch, drawn at random.

    Args:
        alpha: α; with small values most images change little. For calibration use 0.1 to 0.4 (Thulasidasan et al., *On
            mixup training: improved calibration and predictive uncertainty*, NeurIPS 2019).

    Example:
        >>> import torch, surefooted as sf
        >>> points = sf.Points(torch.rand(4, 1, 2, 2), torch.tensor([0, 1, 2, 0]), torch.arange(4))
        >>> mixed, target = sf.methods.mixup().mix(points, points.y, 3, 0)
        >>> target.shape
        torch.Size([4, 3])

    Reference:
        Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018.
    """

    def mix(points: Points, target: Tensor, classes: int, seed: int) -> tuple[Points, Tensor]:
        generator = np.random.default_rng(seed)
        share = float(generator.beta(alpha, alpha))
        partner = torch.from_numpy(generator.permutation(len(points.y))).to(points.y.device)
        labels = one_hot(target, classes).to(points.x.dtype) if target.ndim == 1 else target
        x, mixed = (share * column + (1 - share) * column[partner] for column in (points.x, labels))
        return points._replace(x=x), mixed

    return Method(cross_entropy(), mix=mix)
