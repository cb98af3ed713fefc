"""Time of each calibration metric with its bootstrap interval: 10,000 × 10 predictions, 1,000 draws, one core.

    python bench/calibration.py [--n 10000] [--classes 10] [--draws 1000] [--repeats 5]

Goal: less than a second each.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from timing import alternate, environment

from surefooted.core.predictions import predictions
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.intervals import bootstrap, resamples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("n", 10_000), ("classes", 10), ("draws", 1000), ("repeats", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(given.n, given.classes, generator=generator)
    y = torch.multinomial((0.6 * logits).softmax(-1), 1, generator=generator)[:, 0]
    p = predictions(logits.log_softmax(-1), y)
    contenders = {
        f"{name}, {edges}": partial(bootstrap, partial(getattr(metrics, name), edges=edges), p, draws=given.draws)
        for name in ("ece", "debiased_ece", "classwise_ece", "max_calibration_error")
        for edges in ("equal_width", "equal_mass")
    }
    contenders |= {
        name: partial(bootstrap, getattr(metrics, name), p, draws=given.draws)
        for name in ("nll", "brier", "aurc", "error_auroc")
    }
    contenders["resampling alone"] = lambda: [None for _ in resamples(given.n, given.draws, 0, torch.device("cpu"))]
    print(f"{environment()}; n = {given.n}, {given.classes} classes, {given.draws} draws; medians of {given.repeats}")
    for name, times in alternate(contenders, given.repeats).items():
        print(f"{name:36} {times.wall:6.3f} s  ({times.cpu:.3f} s of CPU)")


if __name__ == "__main__":
    main()
