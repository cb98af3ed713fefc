"""The calibration report: every number is that of the function it names, and its page holds what was given."""

from functools import partial
from math import isnan, nan

import numpy as np
import pytest
import torch
from test_metrics import sample

import surefooted as sf
from surefooted.errors import InputError, NonFiniteOutput
from surefooted.evaluation import metrics
from surefooted.evaluation.calibration_report import CalibrationReport
from surefooted.evaluation.metrics.intervals import binomial_interval
from surefooted.evaluation.metrics.measuring import measure
from surefooted.evaluation.metrics.paired import mcnemar, paired_bootstrap
from surefooted.evaluation.saved_predictions import read_outputs
from surefooted.evaluation.temperature import cross_fit_temperature, fit_temperature

P = sample(120, k=4, dtype=torch.float64)
LOGITS, Y = P.log_p + 1, P.y


@pytest.fixture(scope="module")
def report() -> CalibrationReport:
    other = LOGITS + torch.randn(LOGITS.shape, generator=torch.Generator().manual_seed(1))
    return sf.calibration(LOGITS, Y, against=other, draws=20, bins=5)


def test_every_number_is_that_of_its_function(report):
    own = measure(P, draws=20)
    assert set(report.metrics) == set(metrics.__all__)
    assert all(one.value == pytest.approx(own[name].value, nan_ok=True) for name, one in report.metrics.items())
    assert report.metrics["accuracy"] == own["accuracy"] and report.omitted == ()
    weight = sum(row.count * abs(row.confidence - row.accuracy.value) for row in report.reliability if row.count)
    assert weight / 120 == pytest.approx(metrics.ece(P, bins=5)) and len(report.reliability) == 5
    t, (scaled, halves) = report.temperature, cross_fit_temperature(P)
    assert (t.temperature, t.halves) == (pytest.approx(fit_temperature(P)), pytest.approx(halves))
    assert t.after["nll"].value == pytest.approx(metrics.nll(scaled)) and t.change["nll"].value < 0
    assert report.risk[1.0] == binomial_interval(round(120 * (1 - metrics.accuracy(P))), 120)
    surest = P.take(P.top()[0].argsort(descending=True)[:60])
    assert report.risk[0.5].value == pytest.approx(1 - metrics.accuracy(surest))
    assert report.curve.area == pytest.approx(metrics.aurc(P))


def test_two_files_are_compared_row_by_row(report):
    q = read_outputs(LOGITS + torch.randn(LOGITS.shape, generator=torch.Generator().manual_seed(1)), Y).p
    c = report.comparison
    assert c.differences["brier"] == pytest.approx(paired_bootstrap(metrics.brier, report.saved.p, q, draws=20))
    assert c.mcnemar == mcnemar(P, q) and c.values["ece"] == pytest.approx(metrics.ece(q))


def test_it_prints_and_writes_what_it_measured(report, tmp_path):
    text, html = report.summary(), report.write(tmp_path).read_text()
    assert "read as logits (they are no probabilities and no log-probabilities)" in text
    for shown in (
        "smooth_ece",
        f"temperature {report.temperature.temperature:.3f}",
        "McNemar",
        "compared with against",
    ):
        assert shown in text
    for shown in ("Reliability diagram", "Temperature scaling", "Risk and coverage", "Compared with against", "<svg"):
        assert shown in html
    assert (tmp_path / "figures" / "reliability.csv").read_text().startswith("series,confidence,accuracy,n,low,high")
    document = report.document()
    assert document["n"] == 120 and document["no_answer"] == 0 and document["outputs"] == "logits"
    assert sum(row["count"] for row in document["reliability"]) == 120
    assert document["against"]["mcnemar"]["p"] == report.comparison.mcnemar.p


def test_names_in_a_page_are_text(tmp_path):
    saved = read_outputs(LOGITS, Y, name="<script>alert(1)</script>[bold]")
    report = sf.calibration(saved, metrics=["ece"], draws=5)
    assert "[bold]" in report.summary() and "<script>alert" not in report.write(tmp_path).read_text()


def test_predictions_arrays_pairs_and_files_are_one(tmp_path):
    np.savez(tmp_path / "p.npz", logits=LOGITS, y=Y)
    forms = [(LOGITS.tolist(), Y.tolist()), ((LOGITS, Y),), (P,), (tmp_path / "p.npz",), (str(tmp_path / "p.npz"),)]
    values = [sf.calibration(*form, metrics="ece", draws=5).metrics["ece"].value for form in forms]
    assert values == pytest.approx([metrics.ece(P)] * 5)
    chosen = sf.calibration(P, metrics=[{"ece": {"bins": 20}}, partial(metrics.brier), lambda p: 0.5], draws=5).metrics
    assert chosen["ece"].value == metrics.ece(P, bins=20) and list(chosen)[1:] == ["brier", "<lambda>"]
    both = sf.calibration(P, against=(LOGITS * 2, Y), metrics="nll", draws=5).comparison
    assert both.values["nll"] == pytest.approx(metrics.nll(read_outputs(LOGITS * 2, Y).p))


def test_confidences_give_what_can_be_known():
    confidence, _ = P.top()
    saved = read_outputs(P.log_p.argmax(-1), Y, confidence=confidence)
    report = sf.calibration(saved, draws=5)
    assert report.omitted == ("brier", "classwise_ece", "entropy", "nll")
    assert report.metrics["ece"].value == pytest.approx(metrics.ece(P))
    assert "needs probabilities of all classes" in report.summary()
    again = sf.calibration(P.log_p.argmax(-1), Y, confidence=confidence, metrics="aurc", draws=5)
    assert again.metrics["aurc"].value == pytest.approx(metrics.aurc(P))
    with pytest.raises(InputError, match="nll needs probabilities of all classes; predictions has the predicted label"):
        sf.calibration(saved, metrics="nll")
    mixed = sf.calibration(P, against=saved, draws=5).comparison
    assert "nll" not in mixed.differences and mixed.differences["ece"].value == pytest.approx(0, abs=1e-9)


def test_rows_without_an_answer_are_counted_and_said():
    broken = LOGITS.clone()
    broken[[3, 50]] = nan
    with pytest.warns(NonFiniteOutput, match="2 of 120"):
        report = sf.calibration(broken, Y, draws=10)
    assert sf.calibration(LOGITS, Y, metrics="ece", draws=5).missing == ""
    assert report.document()["no_answer"] == 2 and "2 of 120 rows are no answer" in report.summary()
    assert report.metrics["nll"].value == torch.inf and not isnan(report.temperature.change["nll"].value)


def test_one_row_and_no_errors_are_no_fault(tmp_path):
    one = sf.calibration([[3.0, 0.0]], [0], draws=5)
    assert "two examples" in one.temperature.note and one.write(tmp_path).exists()
    right = sf.calibration([[3.0, 0.0], [0.0, 2.0]] * 5, [0, 1] * 5, metrics="error_auroc", draws=5)
    assert right.temperature.temperature == 1 and right.risk[1.0].value == 0
    assert isnan(right.metrics["error_auroc"].value) and "undefined" not in right.summary()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sf.calibration(LOGITS), "`y` is missing: calibration needs the true label"),
        (lambda: sf.calibration("p.npz", Y), "is a file, which holds its labels; leave out `y`"),
        (lambda: sf.calibration(P, metrics="eec"), "Did you mean 'ece'"),
        (lambda: sf.calibration(P, against=LOGITS[:5]), "`y` is missing"),
        (lambda: sf.calibration(LOGITS, Y, against=(LOGITS[:5], Y[:5]), draws=2), "has 120 rows, against 5"),
        (lambda: sf.calibration(LOGITS, Y, bins=0), "bins = 0"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()
