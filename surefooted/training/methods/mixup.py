"""Mixup: training on straight lines between examples."""

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
    """Mixup: images and labels of two examples, λ of the one and 1 − λ of the other, with λ from Beta(α, α).

    One λ a batch, as in its authors' code; the partner is another example of the batch, drawn.

    Args:
        alpha: small values leave most images nearly as they are. For calibration 0.1 to 0.4 (Thulasidasan et al.,
            *On mixup training: improved calibration and predictive uncertainty*, NeurIPS 2019).

    Source: Zhang et al., *mixup: beyond empirical risk minimization*, ICLR 2018.
    """

    def mix(points: Points, target: Tensor, classes: int, seed: int) -> tuple[Points, Tensor]:
        draw = np.random.default_rng(seed)
        share = float(draw.beta(alpha, alpha))
        partner = torch.from_numpy(draw.permutation(len(points.y))).to(points.y.device)
        label = one_hot(target, classes).to(points.x.dtype) if target.ndim == 1 else target
        x, mixed = (share * a + (1 - share) * a[partner] for a in (points.x, label))
        return points._replace(x=x), mixed

    return Method(cross_entropy(), mix=mix)
