"""Recalibration maps: a hidden map is found, the loss never rises, and the fit is the optimum."""

from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import check_grad, minimize

from surefooted.core.predictions import Predictions, predictions
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics import nll
from surefooted.evaluation.recalibration import (
    CalibrationMap,
    _objective,
    _quadratic_penalty,
    cross_fit,
    dirichlet_scaling,
    temperature_scaling,
    vector_scaling,
)
from surefooted.evaluation.temperature import fit_temperature, temperature_scale

matrix_scaling = partial(dirichlet_scaling, off_diagonal=0, intercept=0)
FITS = {
    "temperature": temperature_scaling,
    "vector": vector_scaling,
    "dirichlet": partial(dirichlet_scaling, off_diagonal=1.0, intercept=1.0),
    "matrix": matrix_scaling,
}
every_fit = pytest.mark.parametrize("fit", FITS.values(), ids=FITS)


def stated(n: int, k: int, weight: torch.Tensor, bias: torch.Tensor, seed: int = 0) -> Predictions:
    """Predictions ln p whose labels are drawn from softmax(W ln p + b): W and b are what there is to find."""
    g = torch.Generator().manual_seed(seed)
    log_p = (1.5 * torch.randn(n, k, generator=g, dtype=torch.float64)).log_softmax(-1)
    y = torch.multinomial((log_p @ weight.T + bias).softmax(-1), 1, generator=g)[:, 0]
    return predictions(log_p, y)


def worlds(k: int = 4) -> dict[str, tuple[torch.Tensor, torch.Tensor]]:
    g = torch.Generator().manual_seed(7)
    eye, none = torch.eye(k, dtype=torch.float64), torch.zeros(k, dtype=torch.float64)
    scale = 0.5 + torch.rand(k, generator=g, dtype=torch.float64)
    bias = 0.7 * torch.randn(k, generator=g, dtype=torch.float64)
    return {
        "temperature": (eye / 2.5, none),
        "vector": (scale.diag(), bias),
        "dirichlet": (scale.diag() + 0.15 * torch.randn(k, k, generator=g, dtype=torch.float64), bias),
    }


@pytest.mark.parametrize(
    ("fit", "hidden"),
    [
        (temperature_scaling, "temperature"),
        (vector_scaling, "temperature"),
        (vector_scaling, "vector"),
        (partial(dirichlet_scaling, off_diagonal=1e-4, intercept=1e-4), "vector"),
        (partial(dirichlet_scaling, off_diagonal=1e-4, intercept=1e-4), "dirichlet"),
        (matrix_scaling, "dirichlet"),
    ],
)
def test_a_hidden_map_is_found(fit, hidden):
    weight, bias = worlds()[hidden]
    p = stated(20_000, 4, weight, bias)
    found = fit(p)
    # What the map does to fresh predictions is what can be known: adding a row to all rows of W changes nothing.
    fresh = stated(4000, 4, weight, bias, seed=1)
    q, want = found(fresh).log_p.exp(), CalibrationMap(weight, bias)(fresh).log_p.exp()
    assert float((q - want).abs().mean()) < 0.007 and float((q - want).abs().max()) < 0.12
    assert nll(found(fresh)) < nll(fresh) - 0.01
    if fit is vector_scaling:
        assert found.weight.diagonal().allclose(weight.diagonal(), atol=0.08)
        centred = (found.bias - found.bias.mean()) - (bias - bias.mean())
        assert centred.abs().max() < 0.08
        assert not (found.weight - found.weight.diagonal().diag()).any()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 60), st.integers(2, 5), st.floats(0.05, 12), st.sampled_from([*FITS]))
def test_the_loss_it_is_fitted_on_never_rises(seed, n, k, temperature, name):
    g = torch.Generator().manual_seed(seed)
    log_p = (temperature * torch.randn(n, k, generator=g, dtype=torch.float64)).log_softmax(-1)
    y = torch.randint(k, (n,), generator=g)
    y[:2] = torch.tensor([0, 1])
    p = predictions(log_p, y)
    assert nll(FITS[name](p)(p)) <= nll(p) + 1e-12


def test_each_family_fits_at_least_as_well_as_the_one_within_it():
    p = stated(600, 4, *worlds()["dirichlet"])
    losses = [nll(fit(p)(p)) for fit in (temperature_scaling, partial(vector_scaling, penalty=0), matrix_scaling)]
    assert nll(p) > losses[0] > losses[1] > losses[2]


@pytest.mark.parametrize("free", ["diagonal", "all"])
def test_gradient_and_convexity(free):
    p = stated(80, 3, *worlds(3)["dirichlet"])
    mask = torch.eye(3, dtype=torch.bool) if free == "diagonal" else torch.ones(3, 3, dtype=torch.bool)
    objective = _objective(p, mask, _quadratic_penalty(0.02, 0.05, 0.03))
    size = int(mask.sum()) + 3
    draws = np.random.default_rng(0).normal(size=(20, 2, size))
    for a, b in draws:
        assert check_grad(lambda v: objective(v)[0], lambda v: objective(v)[1], a) < 1e-5
        assert objective((a + b) / 2)[0] <= (objective(a)[0] + objective(b)[0]) / 2 + 1e-12


def test_no_start_finds_a_better_optimum():
    p = stated(300, 3, *worlds(3)["dirichlet"])
    objective = _objective(p, torch.ones(3, 3, dtype=torch.bool), _quadratic_penalty(0.0, 0.1 / 6, 0.1 / 3))
    found = dirichlet_scaling(p, off_diagonal=0.1, intercept=0.1)
    least = objective(torch.cat([found.weight.flatten(), found.bias]).numpy())[0]
    for start in np.random.default_rng(0).normal(size=(4, 12)):
        assert minimize(objective, start, jac=True, method="BFGS").fun == pytest.approx(least, abs=1e-8)


def test_chosen_penalty_does_not_overfit():
    """42 numbers would be learnt from 60 examples: what is truly there is a temperature."""
    eye = torch.eye(6, dtype=torch.float64)
    p, fresh = (stated(n, 6, eye / 2.5, torch.zeros(6, dtype=torch.float64), seed) for n, seed in ((60, 0), (2000, 1)))
    chosen, weak = dirichlet_scaling(p), dirichlet_scaling(p, off_diagonal=0.01, intercept=0.01)
    assert nll(chosen(fresh)) < min(nll(fresh), nll(weak(fresh)) - 0.05)
    assert nll(chosen(p)) <= nll(p)


def test_dirichlet_agrees_with_logistic_regression():
    """Matrix scaling is multinomial regression on ln p, which scikit-learn fits on its own."""
    from sklearn.linear_model import LogisticRegression

    p = stated(800, 3, *worlds(3)["dirichlet"])
    theirs = LogisticRegression(C=1e8, max_iter=5000, tol=1e-10).fit(p.log_p.numpy(), p.y.numpy())
    q = theirs.predict_proba(p.log_p.numpy())
    assert np.abs(matrix_scaling(p)(p).log_p.exp().numpy() - q).max() < 1e-4


def test_heavier_penalties_stay_nearer_to_the_identity():
    p = stated(400, 4, *worlds()["dirichlet"])
    away = [
        float((m.weight - m.weight.diagonal().diag()).square().sum() + m.bias.square().sum())
        for m in (dirichlet_scaling(p, off_diagonal=w, intercept=w) for w in (0.0, 1e-3, 1e-1, 10.0))
    ]
    assert away == sorted(away, reverse=True) and away[-1] < 0.05
    assert vector_scaling(p, penalty=1e4)(p).log_p.allclose(p.log_p, atol=1e-3)


@every_fit
def test_order_of_rows_and_names_of_classes_do_not_matter(fit):
    p = stated(300, 4, *worlds()["dirichlet"])
    q = fit(p)(p).log_p
    rows = torch.randperm(300, generator=torch.Generator().manual_seed(0))
    assert fit(p.take(rows))(p).log_p.allclose(q, atol=1e-4)
    renamed = torch.tensor([2, 0, 3, 1])
    other = predictions(p.log_p[:, renamed], renamed.argsort()[p.y])
    assert fit(other)(other).log_p.allclose(q[:, renamed], atol=1e-4)


@every_fit
def test_result_is_predictions_of_the_same_kind(fit):
    p = stated(200, 3, *worlds(3)["vector"])
    p = Predictions(p.log_p.float(), p.y, p.rows + 5)
    q = fit(p)(p)
    assert q.log_p.dtype == torch.float32 and torch.equal(q.rows, p.rows) and torch.equal(q.y, p.y)
    assert q.log_p.exp().sum(-1).allclose(torch.ones(200), atol=1e-5)
    assert fit(p)(p).log_p.equal(q.log_p)


def test_temperature_scaling_is_the_temperature():
    p = stated(300, 4, *worlds()["temperature"])
    assert temperature_scaling(p)(p).log_p.allclose(temperature_scale(p, fit_temperature(p)).log_p, atol=1e-9)


@every_fit
def test_nothing_is_fitted_where_every_answer_is_right(fit):
    p = predictions(torch.tensor([[0.6, 0.4], [0.1, 0.9]]).log(), torch.tensor([0, 1]))
    assert fit(p).is_identity and fit(p)(p) is p


@every_fit
def test_probability_zero_and_a_class_without_examples_are_borne(fit):
    p = stated(300, 4, *worlds()["vector"])
    p = p.take(p.y != 3)
    log_p = torch.cat([p.log_p, torch.tensor([[0, -torch.inf, -torch.inf, -torch.inf]], dtype=torch.float64)])
    p = predictions(log_p, torch.cat([p.y, torch.tensor([0])]))
    found = fit(p)
    q = found(p)
    assert found.weight.isfinite().all() and found.bias.isfinite().all() and not q.log_p.isnan().any()
    assert nll(q) <= nll(p)


@every_fit
def test_no_example_judges_itself(fit):
    p = stated(1200, 4, *worlds()["temperature"])
    whole, maps = cross_fit(p, fit)
    even = p.rows % 2 == 0
    assert whole.log_p[even].allclose(maps[1](p.take(even)).log_p) and maps[1].bias.equal(fit(p.take(~even)).bias)
    assert whole.log_p[~even].allclose(maps[0](p.take(~even)).log_p)
    assert nll(whole) < nll(p) and metrics.ece(whole) < metrics.ece(p)


@pytest.mark.parametrize("fit", [temperature_scaling, vector_scaling, dirichlet_scaling])
def test_splits_that_cannot_be_fitted_are_refused(fit):
    p = stated(40, 3, *worlds(3)["vector"])
    with pytest.raises(InputError, match="the split is empty"):
        fit(p.take(slice(0, 0)))
    with pytest.raises(InputError, match=r"at least two classes; all \d+ are of class 1"):
        fit(p.take(p.y == 1))
    with pytest.raises(InputError, match="at least two examples, to hold one out; got 1"):
        cross_fit(p.take(slice(0, 1)), fit)
    with pytest.raises(InputError, match="fitted on 3 classes; got predictions of 4"):
        fit(p)(stated(5, 4, *worlds()["vector"]))


def test_other_bad_input_is_refused():
    p = stated(40, 3, *worlds(3)["vector"])
    with pytest.raises(InputError, match="the split is empty"):
        temperature_scaling(p.take(slice(0, 0)))
    with pytest.raises(InputError, match="penalty = -1"):
        vector_scaling(p, penalty=-1)
    with pytest.raises(InputError, match="needs Predictions, not Tensor"):
        dirichlet_scaling(p.log_p)
