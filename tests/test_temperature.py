"""Temperature scaling: the fit is the optimum, and never harms what it is fitted on."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from surefooted.core.predictions import predictions
from surefooted.errors import InputError
from surefooted.evaluation.metrics import nll
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature, temperature_scale


def drawn(n, classes, temperature, seed, spread=3.0):
    """Labels drawn from the softmax of logits, and predictions that state the logits times the temperature."""
    g = torch.Generator().manual_seed(seed)
    z = spread * torch.randn(n, classes, generator=g, dtype=torch.float64)
    y = torch.multinomial(z.softmax(-1), 1, generator=g)[:, 0]
    return predictions((z * temperature).log_softmax(-1), y)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 10.0])
def test_the_temperature_that_was_hidden_is_found(temperature):
    assert fit_temperature(drawn(20000, 10, temperature, seed=0)) == pytest.approx(temperature, rel=0.03)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 40), st.integers(2, 6), st.floats(0.05, 30))
def test_the_loss_it_is_fitted_on_never_rises(seed, n, classes, temperature):
    p = drawn(n, classes, temperature, seed)
    assert nll(temperature_scale(p, fit_temperature(p))) <= nll(p) + 1e-12


@pytest.mark.parametrize("seed", range(3))
def test_no_other_temperature_is_better(seed):
    p = drawn(200, 5, 4.0, seed)
    best = minimize_scalar(
        lambda t: nll(temperature_scale(p, t)), bounds=(0.05, 50), method="bounded", options={"xatol": 1e-9}
    )
    assert nll(temperature_scale(p, fit_temperature(p))) <= best.fun + 1e-9
    assert fit_temperature(p) == pytest.approx(best.x, rel=1e-3)


def test_nothing_is_fitted_where_every_answer_is_right():
    p = predictions(torch.tensor([[0.6, 0.4], [0.1, 0.9]]).log(), torch.tensor([0, 1]))
    assert fit_temperature(p) == 1.0


def test_answers_worse_than_chance_become_nearly_uniform():
    p = predictions(torch.tensor([[0.9, 0.1], [0.2, 0.8]]).log(), torch.tensor([1, 0]))
    assert temperature_scale(p, fit_temperature(p)).log_p.exp().allclose(torch.full((2, 2), 0.5), atol=1e-2)


def test_a_true_class_of_probability_zero_does_not_count():
    p = drawn(500, 4, 3.0, seed=1)
    log_p = torch.cat([p.log_p, torch.tensor([[0.0, -torch.inf, -torch.inf, -torch.inf]], dtype=torch.float64)])
    spoilt = predictions(log_p, torch.cat([p.y, torch.tensor([1])]))
    assert fit_temperature(spoilt) == pytest.approx(fit_temperature(p))
    with pytest.raises(InputError, match="probability 0"):
        fit_temperature(spoilt.take(slice(500, 501)))


def test_order_and_answers_stay_as_they_were():
    p = drawn(100, 4, 5.0, seed=2)
    hot = temperature_scale(p, 3.0)
    assert torch.equal(hot.log_p.argmax(-1), p.log_p.argmax(-1))
    assert hot.log_p.exp().sum(-1).allclose(torch.ones(100, dtype=torch.float64))
    assert temperature_scale(p, 1.0).log_p.allclose(p.log_p)
    with pytest.raises(InputError, match="above 0"):
        temperature_scale(p, 0.0)


def test_no_example_judges_itself():
    p = drawn(400, 4, 5.0, seed=3)
    whole, fitted = cross_fit_temperature(p)
    assert fitted == (fit_temperature(p.take(p.rows % 2 == 0)), fit_temperature(p.take(p.rows % 2 == 1)))
    assert whole.log_p[0].allclose(temperature_scale(p, fitted[1]).log_p[0])
    order = torch.randperm(400, generator=torch.Generator().manual_seed(0))
    assert cross_fit_temperature(p.take(order))[0].log_p.allclose(whole.log_p[order])
    assert nll(whole) < nll(p)
    with pytest.raises(InputError, match="at least two examples, to hold one out; got 1"):
        cross_fit_temperature(p.take(slice(0, 1)))
