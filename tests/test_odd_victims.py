"""Laws over the zoo of odd victims: the plain network's answers or a clear refusal, and nothing is changed."""

import random
import warnings

import numpy as np
import pytest
import torch
from odd_victims import ODD_VICTIMS, images, plain
from torch import nn

import surefooted as sf
from surefooted.errors import ConvertedInput, ModelError
from surefooted.evaluation.checks import check_classifier

pytestmark = [
    pytest.mark.filterwarnings("ignore::surefooted.errors.ConvertedInput"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad"),
]
ids = [odd.name for odd in ODD_VICTIMS]
WORKING = [odd for odd in ODD_VICTIMS if odd.refused is None]


def surroundings(net, points):
    """All that a call may not change, as plain data."""
    tensors = [points.x, points.y, points.rows, *net.buffers()]
    return (
        [t.detach().clone().tolist() for t in tensors if not torch.nn.parameter.is_lazy(t)],
        [module.training for module in net.modules()],
        [weight.requires_grad for weight in net.parameters()],
        [weight.stride() for weight in net.parameters() if not torch.nn.parameter.is_lazy(weight)],
        (torch.get_default_dtype(), torch.is_grad_enabled()),
        (torch.get_rng_state().tolist(), random.getstate(), np.random.get_state()[1].tolist()),
    )


@pytest.mark.parametrize("odd", ODD_VICTIMS, ids=ids)
def test_predictions_are_those_of_the_plain_network_and_nothing_is_changed(odd, capsys):
    net, points = odd.make(), images()
    seen = surroundings(net, points)
    if odd.refused is not None:
        with pytest.raises(ModelError, match=odd.refused):
            sf.predict(net, points, batch=5)
    else:
        log_p, expected = (sf.predict(one, points, batch=5).log_p for one in (net, plain()))
        answered = ~odd.non_finite(points.x)
        assert log_p.dtype == torch.float32 and log_p[~answered].isnan().all()
        torch.testing.assert_close(log_p[answered], expected[answered], atol=2 * odd.tolerance, rtol=0)
        assert answered.all() or answered.any()
    assert surroundings(net, points) == seen
    assert not capsys.readouterr().out


@pytest.mark.parametrize("odd", ODD_VICTIMS, ids=ids)
def test_an_attack_and_an_audit_admit_what_they_can_run(odd):
    net, points = odd.make(), images(6)
    seen = surroundings(net, points)
    pattern = odd.refused or odd.gradient_refused
    if pattern is not None:
        with pytest.raises(ModelError, match=pattern):
            sf.attack("fgsm", net, points, eps=0.1)
    if odd.refused is None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sf.attack("random_search", net, points, eps=0.1, queries=2)
    if pattern is None and not odd.non_finite(points.x).any():
        check_classifier(net, points, 10)
    elif odd.refused is not None:
        with pytest.raises(ModelError):
            check_classifier(net, points, 10)
    assert surroundings(net, points) == seen


@pytest.mark.parametrize(
    "name", ["view after a convolution", "in-place ReLU first", "float64 model", "exported", "dictionary"]
)
def test_gradients_are_those_of_the_plain_network(name):
    (odd,) = (odd for odd in ODD_VICTIMS if odd.name == name)
    points = images()
    result, expected = (sf.attack("pgd", one, points, eps=0.1, steps=4) for one in (odd.make(), plain()))
    assert torch.equal(result.found, expected.found)
    torch.testing.assert_close(result.x, expected.x, atol=1e-5, rtol=0)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_a_script_without_gradients_gets_the_same_results(off):
    points = images()
    expected = sf.attack("pgd", plain(), points, eps=0.1, steps=3)
    with off():
        made = sf.attack("pgd", plain(), images(), eps=0.1, steps=3)
    assert torch.equal(made.x, expected.x) and torch.equal(made.found, expected.found)


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
