"""Laws over the zoo of odd victims: the plain network's answers or a clear refusal, and nothing is changed."""

import random
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from odd_victims import ODD_VICTIMS, images, plain
from torch import nn
from torch.nn.parameter import is_lazy

import surefooted as sf
from surefooted.core.finite import is_misclassified
from surefooted.core.types import class_scores, log_mean_softmax
from surefooted.errors import ConvertedInput, DataError, ModelError, ModelNotice
from surefooted.evaluation.checks import check_classifier
from surefooted.models.prediction import map_logits

pytestmark = [
    pytest.mark.filterwarnings("ignore::surefooted.errors.ConvertedInput"),
    pytest.mark.filterwarnings("ignore::surefooted.errors.ModelNotice"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),
]
ids = [odd.name for odd in ODD_VICTIMS]
WORKING = [odd for odd in ODD_VICTIMS if odd.refused is None]


def surroundings(net, points):
    """All that a call may not change, as plain data."""
    weights = [weight for weight in net.parameters() if not is_lazy(weight)]
    tensors = [points.x, points.y, points.rows, *net.buffers(), *weights]
    return {
        "values": [t.detach().clone().tolist() for t in tensors],
        "modes": [module.training for module in net.modules()],
        "flags": [weight.requires_grad for weight in net.parameters()],
        "layouts": [weight.stride() for weight in net.parameters() if not is_lazy(weight)],
        "torch": (torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_autocast_enabled("cpu")),
        # Not Python's, from which the checks of annotations draw while tests run.
        "generators": [torch.get_rng_state().tolist(), str(np.random.get_state())],
    }


@pytest.mark.parametrize("odd", ODD_VICTIMS, ids=ids)
def test_predictions_are_those_of_the_plain_network_and_nothing_is_changed(odd, capsys):
    net, points = odd.make(), images()
    seen = surroundings(net, points)
    if odd.refused is not None:
        with pytest.raises(ModelError, match=odd.refused):
            sf.predict(net, points, batch=5)
        assert surroundings(net, points) == seen
    else:
        log_p = torch.cat(map_logits(net, points, log_mean_softmax, batch=5))
        assert surroundings(net, points) == seen
        expected = sf.predict(plain(), points, batch=5).log_p
        answered = ~odd.non_finite(points.x)
        assert log_p.dtype == torch.float32 and log_p[~answered].isnan().all()
        torch.testing.assert_close(log_p[answered], expected[answered], atol=2 * odd.tolerance, rtol=0)
    assert not capsys.readouterr().out


@pytest.mark.parametrize("odd", ODD_VICTIMS, ids=ids)
def test_an_attack_and_an_audit_admit_what_they_can_run(odd):
    net, points = odd.make(), images(6)
    seen = surroundings(net, points)
    pattern = odd.refused or odd.gradient_refused
    if pattern is not None:
        for attack in (partial(sf.attack, "fgsm", net), partial(sf.transfer, "fgsm", plain(), net)):
            with pytest.raises(ModelError, match=pattern):
                attack(points)
    if odd.refused is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sf.attack("random_search", net, points, eps=0.1, draws=2)
    else:
        with pytest.raises(ModelError, match=odd.refused):
            sf.transfer("fgsm", net, plain(), points)
    if pattern is None and not odd.non_finite(points.x).any():
        check_classifier(net, points, 10)
    elif odd.refused is not None:
        with pytest.raises(ModelError):
            check_classifier(net, points, 10)
    assert surroundings(net, points) == seen


@pytest.mark.parametrize("odd", WORKING, ids=lambda odd: odd.name)
def test_a_transfer_from_and_to_an_odd_victim_is_judged_by_what_the_model_answers(odd):
    net, points = odd.make(), images(6)
    pairs = [(net, plain())] + [(plain(), net)] * (odd.gradient_refused is None)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for model, surrogate in pairs:
            result = sf.transfer({"pgd": {"eps": 0.15, "steps": 2}}, model, surrogate, points, batch=4)
            assert (result.size <= 0.15 + 1e-6).all() and result.x.isfinite().all()
            answers = torch.cat(map_logits(model, points._replace(x=result.x), class_scores, batch=4))
            assert odd.stochastic or torch.equal(result.found, is_misclassified(answers, points.y))
            assert (result.non_finite_answers > 0)[odd.non_finite(result.x)].all() or model is not net


@pytest.mark.parametrize(
    "name", ["view after a convolution", "in-place normalisation", "float64 model", "exported", "dictionary"]
)
def test_gradients_are_those_of_the_plain_network(name):
    (odd,) = (odd for odd in ODD_VICTIMS if odd.name == name)
    points = images()
    result, expected = (sf.attack("pgd", one, points, eps=0.1, steps=4) for one in (odd.make(), plain()))
    assert torch.equal(result.found, expected.found)
    torch.testing.assert_close(result.x, expected.x, atol=1e-5, rtol=0)


def test_weights_made_in_inference_mode_predict_but_give_no_gradient():
    with torch.inference_mode():
        net = plain()
    assert torch.equal(sf.predict(net, images()).log_p, sf.predict(plain(), images()).log_p)
    with pytest.raises(ModelError, match="Build or load it outside"):
        sf.attack("fgsm", net, images(), eps=0.1)


@pytest.mark.parametrize("around", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu")])
def test_what_a_script_has_switched_on_or_off_does_not_reach_results(around):
    net, points = plain(), images()
    expected, p = sf.attack("pgd", net, points, eps=0.1, steps=3), sf.predict(net, points)
    with around():
        made = sf.attack("pgd", net, images(), eps=0.1, steps=3)
        assert torch.equal(sf.predict(net, images()).log_p, p.log_p)
    assert torch.equal(made.x, expected.x) and torch.equal(made.found, expected.found)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("softmax at the end", "look like probabilities"),
        ("batch norm without running statistics", "depends on the other images of the batch"),
        ("sets its weights", "sets its own weights"),
    ],
)
def test_what_makes_answers_doubtful_is_said(name, message):
    (odd,) = (odd for odd in ODD_VICTIMS if odd.name == name)
    points, net = images(), odd.make()
    calls = (
        lambda: sf.predict(net, points),
        lambda: sf.attack("fgsm", net, points),
        lambda: sf.transfer("fgsm", net, plain(), points),
    )
    for call in calls:
        with pytest.warns(ModelNotice, match=message):
            call()


def test_batch_statistics_of_a_strangers_code_are_seen_in_its_answers():
    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = plain()

        def forward(self, x):
            return self.net(x - x.mean(0))

    with pytest.warns(ModelNotice, match="depends on the other images"):
        sf.predict(Functional(), images())
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelNotice)
        sf.predict(plain().bfloat16(), images())
        sf.predict(next(odd.make() for odd in ODD_VICTIMS if odd.stochastic), images())


def test_outputs_of_known_layers_are_checked_too():
    points = images()
    for net, message in (
        (nn.Sequential(nn.Flatten(), nn.Linear(64, 1)), "returns one number per image"),
        (nn.Conv2d(1, 10, 3), r"logits have shape \(8, 10, 6, 6\) for 8 images"),
        (sf.ensembles.Ensemble([nn.Conv2d(1, 10, 3)] * 2, mode="batched"), "logits have shape"),
    ):
        for call in (sf.predict, lambda *args: sf.attack("fgsm", *args)):
            with pytest.raises(ModelError, match=message):
                call(net, points)
    half, coarse = plain().half(), points._replace(x=points.x.half())
    assert sf.predict(half, coarse).log_p.dtype == torch.float32


def test_pixels_that_rounding_puts_outside_the_box_are_clamped():
    points = images()
    rounded = points._replace(x=torch.where(points.x == 0, -2.98e-8, points.x * 1.0000002))
    assert rounded.x.min() < 0 and rounded.x.max() > 1
    result = sf.attack("pgd", plain(), rounded, eps=0.1, steps=2)
    assert result.x.min() >= 0 and result.x.max() <= 1 and (result.size <= 0.1 + 1e-6).all()
    moved = sf.transfer({"pgd": {"steps": 1}}, plain(), plain(), rounded)
    assert moved.x.min() >= 0 and moved.x.max() <= 1
    torch.testing.assert_close(sf.predict(plain(), rounded).log_p, sf.predict(plain(), points).log_p)
    for far in (points.x - 2e-6, points.x + 2e-6):
        with pytest.raises(DataError, match="not from 0 to 1; scale them"):
            sf.predict(plain(), points._replace(x=far))


def test_pairs_of_images_and_labels_are_taken_everywhere():
    net, points = plain(), images()
    pair = (points.x, points.y)
    expected = sf.transfer({"pgd": {"steps": 2}}, net, net, points._replace(rows=torch.arange(len(points.y))))
    assert torch.equal(sf.transfer({"pgd": {"steps": 2}}, net, net, pair).x, expected.x)
    outside = (points.x * 1.5 - 0.2, points.y)
    p = sf.predict(net, outside, boxed=False)
    torch.testing.assert_close(p.log_p, net(outside[0]).log_softmax(1).detach())
    with pytest.raises(DataError):
        sf.predict(net, outside)


def test_a_seed_that_a_victim_sets_ends_with_the_call():
    (odd,) = (odd for odd in ODD_VICTIMS if odd.name == "seeds all generators")
    random.seed(1)
    sf.predict(odd.make(), images(2))
    assert random.random() != random.Random(5).random()


def test_odd_members_make_the_ensemble_of_plain_ones():
    names = ("view after a convolution", "in-place ReLU first", "float64 model", "dictionary")
    members = [odd.make() for odd in ODD_VICTIMS if odd.name in names]
    made = sf.predict(sf.ensembles.Ensemble(members), points := images()).log_p
    torch.testing.assert_close(made, sf.predict(plain(), points).log_p, atol=1e-4, rtol=0)


def test_a_conversion_is_said():
    with pytest.warns(ConvertedInput, match="works in bfloat16: its input is converted from float32"):
        sf.predict(plain().bfloat16(), images())


def test_a_gradient_of_somebody_elses_network_costs_no_layout():
    """Its own layout stays, in the forward pass, too."""
    strides = []

    class Watched(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = plain()

        def forward(self, x):
            strides.append(self.net.conv.weight.stride())
            return self.net(x)

    net = Watched().eval()
    sf.attack("fgsm", net, images(2), eps=0.1)
    assert set(strides) == {net.net.conv.weight.stride()}
