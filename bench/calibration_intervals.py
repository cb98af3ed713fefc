"""Coverage of the intervals of a calibration error: how often a 95 % interval holds the true error of the model.

    python bench/calibration_intervals.py [--metric ece] [--n 100 1000 10000] [--samples 200] [--draws 200]

Models of 10 classes predict softmax(z), z normal with standard deviation 2; labels follow softmax(τz): τ = 1 is perfect
calibration, and the smaller τ, the more over-confident the model. The true error is that of 400,000 examples whose
gaps are known exactly. Every interval is extended to hold its estimate, as ``measure`` does. Beside the product's
interval (inversion of a test) stand the two bootstrap intervals, and one from the error with its bias taken off.
"""

from __future__ import annotations

import argparse

import torch
from jaxtyping import Float
from torch import Tensor

from surefooted.core.predictions import Predictions, predictions
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.functional import GapFunctional, as_functional
from surefooted.evaluation.metrics.intervals import bootstrap, calibration_interval, resamples

CLASSES, SHARPNESS = 10, (1.0, 0.95, 0.9, 0.8, 0.6, 0.3)


def draw(n: int, tau: float, seed: int) -> tuple[Predictions, Float[Tensor, "n k"]]:
    """Predictions with their labels, and the probabilities that the labels were drawn from."""
    generator = torch.Generator().manual_seed(seed)
    z = 2 * torch.randn(n, CLASSES, generator=generator, dtype=torch.float64)
    q = (tau * z).softmax(-1)
    return predictions(z.log_softmax(-1), torch.multinomial(q, 1, generator=generator)[:, 0]), q


def true_error(name: str, tau: float) -> float:
    """The error without the noise of labels: ``ece`` and ``classwise_ece`` with 15 bins of equal width."""
    p, q = draw(400_000, tau, 10**6)
    probability = p.log_p.exp()
    if name == "ece":
        probability, predicted = probability.max(-1, keepdim=True)
        q = q.gather(1, predicted)
    place = (probability * 15).ceil().sub(1).clamp(0, 14).long()
    gaps = torch.zeros(15, probability.shape[1], dtype=torch.float64).scatter_add_(0, place, probability - q)
    return float(gaps.abs().sum()) / probability.numel()


def intervals(name: str, p: Predictions, draws: int, seed: int) -> dict[str, tuple[float, float]]:
    """The bounds of each kind of interval."""
    metric = getattr(metrics, name)
    functional = as_functional(metric, p)
    assert isinstance(functional, GapFunctional)
    kinds = {kind: bootstrap(metric, p, draws=draws, seed=seed, kind=kind) for kind in ("percentile", "basic")}
    own = calibration_interval(metric, p, draws=draws, seed=seed)
    drawn = functional(torch.cat(list(resamples(len(p.y), draws, seed, p.log_p.device))))
    centre, half = 2 * own.value - float(drawn.mean()), 1.96 * float(drawn.std())
    found = {kind: (one.low, one.high) for kind, one in kinds.items()}
    found |= {"bias-corrected": (centre - half, centre + half), "inversion": (own.low, own.high)}
    return {kind: (min(max(low, 0.0), own.value), max(high, own.value)) for kind, (low, high) in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--metric", choices=("ece", "classwise_ece"), default="ece")
    parser.add_argument("--n", type=int, nargs="+", default=[100, 1000, 10_000])
    parser.add_argument("--samples", type=int, default=200)
    parser.add_argument("--draws", type=int, default=200)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{given.metric}, {given.samples} samples of each kind, {given.draws} draws: coverage and mean width")
    for tau in SHARPNESS:
        truth = true_error(given.metric, tau)
        for n in given.n:
            found = [intervals(given.metric, draw(n, tau, seed)[0], given.draws, seed) for seed in range(given.samples)]
            texts = []
            for kind in found[0]:
                bounds = [one[kind] for one in found]
                hits = sum(low <= truth <= high for low, high in bounds)
                width = sum(high - low for low, high in bounds) / len(bounds)
                texts.append(f"{kind} {hits / len(bounds):4.0%} {width:.3f}")
            print(f"n = {n:6,}  true error {truth:.4f}  " + "   ".join(texts), flush=True)


if __name__ == "__main__":
    main()
