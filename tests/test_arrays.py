"""Arrays of any kind are read alike, or refused with a sentence."""

import numpy as np
import pytest
import torch
from test_metrics import sample

from surefooted.core.arrays import as_tensor
from surefooted.core.predictions import predictions, predictions_from_logits
from surefooted.errors import InputError
from surefooted.evaluation import metrics
from surefooted.evaluation.analysis import correlation
from surefooted.evaluation.metrics.detection import detection
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.evaluation.metrics.measuring import measure
from surefooted.evaluation.metrics.robustness import accuracy_curve, robust_accuracy
from surefooted.evaluation.metrics.selective import risk_coverage
from surefooted.evaluation.metrics.stability import variance, variance_by_level
from surefooted.evaluation.metrics.uncertainty import mutual_information

P = sample(12)
FORMS = {
    "numpy": lambda t: t.numpy(),
    "list": lambda t: t.tolist(),
    "tuple": lambda t: tuple(t),
    "read-only": lambda t: np.frombuffer(t.numpy().tobytes(), t.numpy().dtype).reshape(t.shape),
    "reversed": lambda t: t.numpy()[::-1].copy()[::-1],
    "big-endian": lambda t: t.numpy().astype(t.numpy().dtype.newbyteorder(">")),
    "with gradient": lambda t: t.clone().requires_grad_() if t.is_floating_point() else t,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_of_an_array_gives_the_same_numbers(form):
    read = predictions(form(P.log_p), form(P.y), form(P.rows))
    assert read.log_p.allclose(P.log_p.to(read.log_p)) and read.y.equal(P.y) and read.rows.equal(P.rows)
    assert metrics.ece(read) == pytest.approx(metrics.ece(P), abs=1e-6)
    level = levels_of(form(torch.arange(12.0)), levels=3)
    assert by_level(metrics.ece, P, form(level)).equal(by_level(metrics.ece, P, level))
    score = torch.arange(12.0)
    assert detection(form(score), form(score + 2)) == detection(score, score + 2)
    assert correlation(form(score), form(-score), draws=5).value == pytest.approx(-1)
    found = score > 3
    assert robust_accuracy(form(found)) == robust_accuracy(found)
    assert accuracy_curve(form(score), form(found), [5.0]).equal(accuracy_curve(score, found, [5.0]))
    assert risk_coverage(P, form(score)).area == risk_coverage(P, score).area
    pair = [form(P.log_p), form(sample(12, seed=1).log_p)]
    plain = [P.log_p, sample(12, seed=1).log_p]
    assert variance(pair) == pytest.approx(variance(plain))
    assert variance_by_level(pair, form(level)).allclose(variance_by_level(plain, level))
    assert mutual_information(pair).allclose(mutual_information(plain))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int16, np.int64])
def test_labels_of_any_whole_type(dtype):
    assert predictions(P.log_p, P.y.numpy().astype(dtype)).y.equal(P.y)


def test_long_doubles_become_doubles():
    assert as_tensor(np.ones(2, np.longdouble), "x").dtype == torch.float64


@pytest.mark.parametrize("value", ["cat", None, [[1.0], [1.0, 2.0]], ["a"], {"a": 1}, object()])
def test_what_is_no_array_is_refused(value):
    with pytest.raises(InputError, match=r"`log_p` is .*expected numbers: a tensor, a NumPy array or a list"):
        predictions(value, [0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bits_of_a_thousand_classes_are_read(dtype):
    """ln 1000 is rounded by up to 0.2 % in float16, 1.6 % in bfloat16: more than the tolerance of the sum."""
    p = predictions(torch.zeros(2, 1000).log_softmax(-1).to(dtype), [0, 1])
    assert metrics.confidence(p) == pytest.approx(1e-3, rel=1e-6)
    assert metrics.confidence(predictions_from_logits(torch.zeros(2, 1000, dtype=dtype), [0, 1])) == pytest.approx(1e-3)


def test_probabilities_are_not_taken_for_logits():
    with pytest.raises(InputError, match="`logits` are probabilities"):
        predictions_from_logits(P.log_p.exp(), P.y)


def test_metrics_by_name_with_options_lists_and_functions():
    p = sample(80)
    found = measure(p, {"ece": {"bins": 20}, "nll": None}, draws=5)
    assert list(found) == ["ece", "nll"] and found["ece"].value == metrics.ece(p, bins=20) != metrics.ece(p)
    mixed = measure(p, ["accuracy", {"ece": {"bins": 3}}, metrics.brier, lambda p: 0.5], draws=5)
    assert list(mixed) == ["accuracy", "ece", "brier", "<lambda>"] and mixed["ece"].value == metrics.ece(p, bins=3)
    assert measure((p.log_p, p.y), "ece", draws=5)["ece"].value == pytest.approx(metrics.ece(p), abs=1e-6)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"ece": {"bin": 20}}, "ece has no argument 'bin'. Did you mean 'bins'?"),
        ({"ece": 20}, "arguments of ece are 20"),
        ({"ec": {}}, "There is no 'ec' among the metrics"),
        (["ece", {"ece": {}}], "Duplicate metric 'ece'"),
        (3, "3 is no metric"),
        ([None], "None is no metric"),
    ],
)
def test_what_is_no_metric_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        measure(P, given, draws=2)


@pytest.mark.parametrize("p", [P.log_p, [P.log_p], (1, 2, 3), None])
def test_measure_asks_for_predictions(p):
    with pytest.raises(InputError, match=r"Predictions, as from sf.predict, or a pair \(logits, labels\)"):
        measure(p)
