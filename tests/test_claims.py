"""The rule by which all studies judge: intervals over trainings, and no verdict beyond *suggests* from a single one."""

import importlib
import inspect
import math
import pkgutil
import re

import pytest
import torch
from scipy.stats import binom

from surefooted import studies
from surefooted.evaluation.metrics.intervals import Interval, seed_interval
from surefooted.evaluation.metrics.stability import variance
from surefooted.studies.claims import claim_gain, judge, over_images, over_seeds
from surefooted.studies.entm.study import entm_chapters
from surefooted.studies.intervals import Jackknife, jackknife_interval
from surefooted.studies.uta.study import uta_chapters

GAIN = Interval(0.02, 0.01, 0.03, 1000)


def test_one_training_suggests_at_most():
    sampling = over_images()
    below = Interval(-0.02, -0.03, -0.01, 1000)
    assert claim_gain("a", GAIN, "", over_seeds(2)).verdict == "holds"
    assert claim_gain("a", GAIN, "", sampling).verdict == "suggests it holds"
    assert claim_gain("a", below, "", sampling).verdict == "suggests it does not"
    assert judge("a", "unclear", "", sampling).verdict == "unclear"
    assert "one training per method" in claim_gain("a", GAIN, "", sampling).evidence


def test_every_grid_says_how_many_trainings_its_verdicts_rest_on():
    chapters = [one for size in ("cpu", "paper") for make in (entm_chapters, uta_chapters) for one in make(size)]
    grids = [chapter.grid for chapter in chapters if hasattr(chapter, "grid")]
    assert {grid.sampling().trainings for grid in grids} >= {1, 3}
    assert all(grid.sampling().trainings == grid.seeds for grid in grids)


def networks(count, generator, *, images=60, classes=3, spread=1.0):
    """Log-probabilities of independent networks whose disagreement varies from network to network, as of one method."""
    common = torch.randn(images, classes, generator=generator) * 2
    scale = spread * torch.rand(count, 1, 1, generator=generator) * 2
    return [
        (common + noise).log_softmax(-1) for noise in scale * torch.randn(count, images, classes, generator=generator)
    ]


def test_the_jackknife_of_a_mean_is_its_standard_error():
    values = [0.3, 0.1, 0.7, 0.4, 0.2]
    assert jackknife_interval(Jackknife.of(lambda part: sum(part) / len(part), values)) == pytest.approx(
        seed_interval(values)
    )
    two = Jackknife.of(lambda part: sum(part) / len(part), values[:2])
    assert all(map(math.isnan, jackknife_interval(two)[1:3]))


def test_groups_of_networks_of_one_method_rarely_come_out_different():
    """σ² of two groups of five networks of the same kind: at most 5 % of the intervals exclude 0."""
    generator, runs = torch.Generator().manual_seed(0), 400
    different = 0
    for _ in range(runs):
        first, second = (Jackknife.of(variance, networks(5, generator)) for _ in range(2))
        gain = jackknife_interval(first, second)
        different += claim_gain("a", gain, "", over_seeds(5)).verdict != "unclear"
    assert different <= binom.isf(0.01, runs, 0.05)
    # With an effect the rule finds it: twice the spread.
    first, second = (Jackknife.of(variance, networks(12, generator, spread=s)) for s in (2.0, 0.5))
    assert claim_gain("a", jackknife_interval(first, second), "", over_seeds(12)).verdict == "holds"


@pytest.mark.parametrize("seeds", [2, 3, 5])
def test_methods_compared_with_themselves_over_seeds(seeds):
    """Paired differences of seeds without an effect come out *holds* or *does not hold* in at most 5 % of the cases."""
    generator, runs = torch.Generator().manual_seed(seeds), 2000
    gains = torch.randn(runs, seeds, generator=generator, dtype=torch.float64).tolist()
    verdicts = [claim_gain("a", seed_interval(gain), "", over_seeds(seeds)).verdict for gain in gains]
    assert sum(verdict != "unclear" for verdict in verdicts) <= binom.isf(0.01, runs, 0.05)


def test_no_finding_of_a_study_escapes_the_rule():
    """Verdicts are made in one place: no study builds a finding of its own."""
    for module in pkgutil.walk_packages(studies.__path__, "surefooted.studies."):
        source = inspect.getsource(importlib.import_module(module.name))
        made = re.findall(r"(?<![\w.\"'`])Finding\(", source)
        assert len(made) == (module.name == "surefooted.studies.claims"), module.name
