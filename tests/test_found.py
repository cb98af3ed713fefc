"""``found`` is what the model answers: asked again by ``predict``, it is wrong exactly where an attack says so."""

import warnings
from copy import deepcopy

import pytest
import torch
from exact import linear
from odd_victims import ODD_VICTIMS, images
from test_attacks import NAMES, make
from torch import nn

from surefooted import attacks
from surefooted.core.finite import is_misclassified
from surefooted.core.types import Points, class_scores
from surefooted.errors import ConvertedInput
from surefooted.models.prediction import map_logits, predict
from surefooted.models.victims import BATCH
from surefooted.pipeline.tasks.attack import _chunk_size

ROWS = 7
FEW = {"steps": 4, "queries": 8, "draws": 8, "targets": 2, "search_steps": 1, "gammas": (0, 0.5)}


@pytest.fixture(scope="module")
def plain():
    """A linear network on seven images, of which it classifies two wrongly."""
    net, points, _ = linear(4, (1, 4, 4), ROWS)
    y = points.y.clone()
    y[::4] = (y[::4] + 1) % 4
    return net, points._replace(y=y)


class Uneven(nn.Module):
    """Rounds in another way for an odd number of images, by far more than kernels do."""

    def __init__(self, net):
        super().__init__()
        self.net = net

    def forward(self, x):
        return self.net(x) + torch.tensor([0.3, 0.0, -0.3, 0.0]) * (len(x) % 2)


@pytest.mark.parametrize(
    ("name", "batch"), [*((name, 3) for name in NAMES), *((name, b) for name in ("pgd", "square") for b in (1, ROWS))]
)
def test_the_verdict_is_that_of_predict_in_the_same_batches(name, batch, plain):
    net, points = plain
    victim, attack = Uneven(net), make(name, eps=0.08, **FEW)
    result = attack(victim, points, batch=batch)
    asked = predict(victim, points._replace(x=result.x), batch=batch).log_p.argmax(1)
    assert torch.equal(result.found, asked != points.y) and result.found.any()
    assert result.x.min() >= 0 and result.x.max() <= 1
    assert (result.size <= attack.ball.eps * (1 + 1e-6) + 1e-7).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("keep", ["found", "worst", "nearest", "last"])
def test_the_verdict_is_about_the_point_that_keep_selects(norm, keep, plain):
    net, points = plain
    for victim in (Uneven(net), net):
        result = make("pgd", norm=norm, eps=0.08, keep=keep, **FEW)(victim, points)
        asked = predict(victim, points._replace(x=result.x)).log_p.argmax(1)
        assert torch.equal(result.found, asked != points.y)


def test_a_victim_that_contradicts_itself_keeps_the_verdict_of_the_search():
    """Answers drawn at random: ten points of each image are all but surely once wrong, one point is not."""

    class Coin(nn.Module):
        def forward(self, x):
            return torch.randn(len(x), 4) + 0 * x.sum()

    points = Points(torch.rand(40, 1, 4, 4), torch.zeros(40, dtype=torch.int64), torch.arange(40))
    assert attacks.pgd(eps=0.1, steps=20)(Coin(), points).found.all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_images_in_half_precision_are_attacked_in_single_precision(dtype, plain):
    """A step of 1/255 at 0.9 is less than half of bfloat16's spacing there: it would be lost, or leave the ball."""
    net, points = deepcopy(plain[0]), plain[1]  # a network says only once that its input is converted
    coarse = points._replace(x=points.x.to(dtype))
    with pytest.warns(ConvertedInput):
        result = attacks.pgd(eps=1 / 255, steps=4)(net, coarse)
    expected = attacks.pgd(eps=1 / 255, steps=4)(net, coarse._replace(x=coarse.x.float()))
    assert result.x.dtype == torch.float32 and torch.equal(result.x, expected.x)
    assert torch.equal(result.found, expected.found)


# Each kind of search, for every third victim; the other attacks are made of these.
ZOO_ATTACKS = [["pgd", "square", "nearest_boundary"], ["apgd", "square", "fab"], ["ddn", "square", "fmn"]]
ZOO = [odd for odd in ODD_VICTIMS if not (odd.refused or odd.stochastic)]


@pytest.mark.parametrize("odd", ZOO, ids=lambda odd: odd.name)
def test_of_every_odd_victim_found_is_the_answer(odd):
    """In both norms and several batch sizes: one law for strangers' networks, whatever they do."""
    points, place = images(6), ZOO.index(odd)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of conversions and of what is not finite
        for k, name in enumerate(ZOO_ATTACKS[place % 3]):
            victim, batch, norm = odd.make(), (6, 1, 4)[k], ("linf", "l2")[(place + k) % 2]
            attack = make(name, norm=norm, eps={"linf": 0.15, "l2": 0.8}[norm], **FEW)
            if odd.gradient_refused and attack.passes > attack.gradient_free:
                continue
            result = attack(victim, points, batch=batch)
            scores = torch.cat(map_logits(victim, points._replace(x=result.x), class_scores, batch=batch))
            assert torch.equal(result.found, is_misclassified(scores, points.y))
            assert result.x.min() >= 0 and result.x.max() <= 1 and result.x.dtype == torch.float32
            assert (result.size <= attack.ball.eps * (1 + 1e-6) + 1e-7).all()
            clean = torch.cat(map_logits(victim, points, class_scores, batch=batch))
            assert result.found[is_misclassified(clean, points.y)].all()
            assert (result.non_finite_answers > 0)[odd.non_finite(points.x)].all()


def test_chunks_of_a_task_are_whole_batches_of_predictions():
    """The verdict is then given in the batches in which the stored points are predicted."""
    chunks = [_chunk_size(attacks.pgd(steps=steps), torch.device("cpu")) for steps in (1, 40, 999, 10_000)]
    assert [chunk % BATCH for chunk in chunks] == [0] * 4 and min(chunks) == BATCH
