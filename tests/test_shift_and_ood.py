"""Evaluations of any classifier beside the audit: corrupted images, out-of-distribution images, local analysis."""

import json
import re
import sys
from functools import partial

import numpy as np
import pytest
import torch
from learnt import learnt
from shell import own_streams
from torch import nn

import surefooted as sf
from surefooted import cli
from surefooted.auditing.ood import OODDesign, OODFindings
from surefooted.auditing.shift import corruption_types, mean_over_parts
from surefooted.core.predictions import predictions
from surefooted.core.types import Points
from surefooted.data import arrays, digits
from surefooted.errors import ArgumentError, DataNotice, InputError
from surefooted.evaluation.metrics import accuracy, ece, overconfidence
from surefooted.evaluation.metrics.detection import detection
from surefooted.evaluation.metrics.measuring import metric_interval
from surefooted.evaluation.metrics.uncertainty import uncertainties
from surefooted.models.external import InMemoryModel
from surefooted.pipeline.execute import execute
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import CorruptedPredictTask, CorruptionTask, StreamedShiftTask, resolve_data

N = 40


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return learnt(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), 60)


@pytest.fixture(scope="module")
def linear():
    torch.manual_seed(0)
    return learnt(nn.Sequential(nn.Flatten(), nn.Linear(64, 10)), 60)


# Corrupted images


def test_accuracy_under_corruption_is_that_of_corrupted_images(net):
    result = sf.corrupt(net, "digits", "fog, contrast", limit=N, draws=50, quiet=True)
    points, rights = digits().test.points(slice(0, N)), {}
    for name in ("fog", "contrast"):
        for severity in (1, 3, 5):
            x = getattr(sf.corruptions, name)(severity=severity)(points.x, points.rows, seed=0)
            right = sf.predict(net, Points(x, points.y, points.rows)).top()[1]
            assert result.numbers["accuracy"][name][severity - 1]["value"] == pytest.approx(float(right.mean()))
            rights[name, severity] = float(right.mean())
    n = result.numbers
    cells = [cell["value"] for levels in n["accuracy"].values() for cell in levels]
    assert n["mean_corruption_error"]["value"] == pytest.approx(1 - np.mean(cells))
    by_severity = [one["value"] for one in n["by_severity"]["accuracy"]]
    assert by_severity[1:] == pytest.approx(np.reshape(cells, (2, 5)).mean(0).tolist())
    assert by_severity[0] == pytest.approx(float(sf.predict(net, points).top()[1].mean()))
    assert all(one["low"] <= one["value"] <= one["high"] for one in n["by_severity"]["ece"])
    assert "Mean corruption error" in str(result)


def test_images_that_are_not_stored_give_the_stored_predictions(net):
    store, data = Store(), resolve_data("digits")
    victim, corrupted = InMemoryModel(net, (1, 8, 8)), CorruptionTask(data, "shot_noise", limit=N)
    streamed, stored = StreamedShiftTask(victim, corrupted), CorruptedPredictTask(victim, corrupted)
    assert streamed.key == stored.key
    execute([streamed], store, quiet=True)
    found = streamed.result(store)
    assert not corrupted.is_done(store)
    other = Store("other")
    execute([stored], other, quiet=True)
    for one, expected in zip(found, stored.result(other), strict=True):
        torch.testing.assert_close(one.log_p, expected.log_p)
        assert torch.equal(one.rows, expected.rows)


def test_the_mean_of_one_version_is_the_metric_with_its_interval(net):
    p = sf.predict(net, digits().test.take(slice(0, N)))
    found = mean_over_parts(ece, [p], draws=100)
    assert (found.value, found.low, found.high) == pytest.approx(metric_interval(ece, p, draws=100)[:3])
    whole = sf.bootstrap(accuracy, p, draws=100)
    assert mean_over_parts(accuracy, [p, p], draws=100)[:3] == pytest.approx(whole[:3])
    assert mean_over_parts(ece, [p, p], draws=100)[:3] == pytest.approx(found[:3])
    for metric in (overconfidence, partial(ece, bins=4)):
        assert mean_over_parts(metric, [p], draws=100) == pytest.approx(metric_interval(metric, p, draws=100))


def test_the_mean_of_perfect_accuracies_has_an_interval(net):
    p = sf.predict(net, digits().test.take(slice(0, N)))
    right = p._replace(y=p.log_p.argmax(-1))
    assert mean_over_parts(accuracy, [right, right], draws=20) == metric_interval(accuracy, right)
    wrong = p._replace(y=p.log_p.argmin(-1))
    assert mean_over_parts(accuracy, [wrong, wrong], draws=20) == metric_interval(accuracy, wrong)


def test_the_mean_error_of_calibrated_versions_may_be_zero():
    generator = torch.Generator().manual_seed(0)
    sure = torch.rand(3, 400, generator=generator, dtype=torch.float64) / 2 + 0.5
    y = (torch.rand(3, 400, generator=generator) > sure).long()
    parts = [predictions(torch.stack([c, 1 - c], 1).log(), one) for c, one in zip(sure, y)]
    found = mean_over_parts(ece, parts, draws=200)
    assert found.low == 0 and found.value == pytest.approx(np.mean([ece(p) for p in parts]))


def test_types_are_named_or_grouped():
    assert len(corruption_types("all", 3)) == 19 and len(corruption_types("benchmark", 1)) == 15
    with pytest.warns(DataNotice, match="Images are grey: saturate is left out"):
        assert "saturate" not in corruption_types("all", 1)
    for text, message in (("fgo", "Did you mean 'fog'"), ("fog,fog", "'fog' is given twice"), ("", "no type")):
        with pytest.raises(ArgumentError, match=message):
            corruption_types(text, 1)


def test_what_cannot_be_corrupted_is_refused_before_any_work(net):
    small = arrays(np.zeros((12, 4, 4), np.uint8) + 99, np.arange(12) % 10, names=10)
    with pytest.raises(InputError, match="4×4 pixels; expected at least 8"):
        sf.corrupt(nn.Sequential(nn.Flatten(), nn.Linear(16, 10)), small, "fog", quiet=True)
    with pytest.raises(ArgumentError, match="`draws` is 0; expected a whole number of at least 1"):
        sf.corrupt(net, "no data set", "fog", draws=0, quiet=True)
    with pytest.raises(InputError, match="saturate changes colours"):
        sf.corrupt(net, "digits", "saturate", limit=N, quiet=True)
    with pytest.raises(InputError, match="classes"):
        sf.corrupt(nn.Sequential(nn.Flatten(), nn.Linear(64, 7)), "digits", "fog", limit=N, quiet=True)


def box(net):
    return sf.blackbox(lambda x: net(torch.from_numpy(x)).argmax(1).numpy(), 10, "labels")


def test_of_labels_only_accuracy_is_reported(net):
    with torch.no_grad():
        result = sf.corrupt(box(net), "digits", "fog", limit=N, draws=20, quiet=True)
        expected = sf.corrupt(net, "digits", "fog", limit=N, draws=20, quiet=True)
    n = result.numbers
    assert n["by_severity"] == {"accuracy": expected.numbers["by_severity"]["accuracy"]}
    assert set(n["by_type"]["fog"]) == {"accuracy"} and "mean_ece" not in n
    assert "ECE" not in str(result) and "calibration cannot be measured" in str(result)
    for item in result.page.items:
        assert "calibration" not in item.title and "ECE" not in item.caption
        assert not {"ece", "overconfidence"} & {column.key for column in getattr(item, "columns", ())}


# Out-of-distribution images


def noise(n=30, shape=(8, 8)):
    return np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8), np.zeros(n, int)


def test_detection_is_that_of_the_uncertainties(net):
    store, ood = Store(), arrays(*noise())
    design = OODDesign(InMemoryModel(net, (1, 8, 8)), resolve_data("digits"), resolve_data(ood), limit=30)
    design.check()
    execute(design.tasks, store, quiet=True)
    found = OODFindings(design, store).measures
    with torch.no_grad():
        inside, outside = (uncertainties(net(one.points(slice(0, 30)).x)[None]) for one in (digits().test, ood.test))
    assert set(found) == {"max_probability", "total_entropy", "margin"}
    for name, one in found.items():
        assert one.auroc == pytest.approx(detection(inside[name], outside[name]).auroc)


def test_odd_sets_of_ood_images_are_refused(net):
    model, own = InMemoryModel(net, (1, 8, 8)), resolve_data("digits")
    with pytest.raises(InputError, match=r"shape \(1, 9, 9\), those of the classifier \(1, 8, 8\)"):
        OODDesign(model, own, resolve_data(arrays(*noise(shape=(9, 9))))).check()
    with pytest.raises(InputError, match="the data set of the classifier itself"):
        OODDesign(model, own, own).check()
    with pytest.raises(ArgumentError, match="`ood` needs the classifier's confidence, but it answers labels only"):
        OODDesign(InMemoryModel(box(net), (1, 8, 8)), own, resolve_data(arrays(*noise()))).check()


# Local analysis


def test_a_linear_classifier_is_as_linear_as_it_is(linear):
    result = sf.analyse(linear, "digits", limit=N, eps=0.2, surfaces=1, quiet=True)
    means = result.numbers["means"]
    assert means["q"]["value"] < 1e-3
    norm = float(torch.linalg.matrix_norm(linear[1].weight.detach().double(), 2))
    assert means["jacobian_norm"]["value"] == pytest.approx(norm, rel=1e-5)
    assert means["normalised_margin"]["value"] == pytest.approx(means["margin"]["value"] / norm, rel=1e-5)
    f = sf.predict(linear, digits().test.take(slice(0, N)))
    assert result.numbers["accuracy"] == pytest.approx(accuracy(f))
    assert 0 < result.numbers["correlation"]["value"] <= 1
    assert [item.name for item in result.page.items] == ["local", "margin-distance", "loss-surfaces"]


@pytest.mark.parametrize("option", ["eps", "reach"])
def test_radii_of_an_analysis_are_positive(linear, option):
    with pytest.raises(ArgumentError, match=f"`{option}` is -1; expected a finite number above 0"):
        sf.analyse(linear, "digits", **{option: -1.0}, quiet=True)


@pytest.mark.parametrize("surfaces", [-1, -3])
def test_surfaces_of_an_analysis_are_counted(linear, surfaces):
    with pytest.raises(ArgumentError, match=f"`surfaces` is {surfaces}; expected a whole number of at least 0"):
        sf.analyse(linear, "no data set", surfaces=surfaces, quiet=True)


# Commands

MODEL = """
import torch
from torch import nn

def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
"""


@pytest.fixture
def command(tmp_path, monkeypatch, capfd):
    """Run a command; its exit code, and what it printed on both streams."""
    (tmp_path / "plain_linear.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words)])
        with own_streams(), pytest.raises(SystemExit) as end:
            cli.main()
        out, err = capfd.readouterr()
        return end.value.code or 0, out, err

    return run


WORDS = ("--model", "plain_linear:model", "--data", "digits", "--limit", 20, "-q", "--json")


def test_commands_write_a_page(command, tmp_path):
    np.savez("noise.npz", x_test=noise()[0], y_test=noise()[1])
    code, out, err = command("corrupt", *WORDS, "--corruptions", "fog", "--draws", 20)
    found = json.loads(out)
    assert (code, err) == (0, "") and len(found["accuracy"]["fog"]) == 5
    assert "Distribution shift" in (tmp_path / found["report"]).read_text()
    code, out, _ = command("analyse", *WORDS, "--eps", "8/16", "--surfaces", 1)
    found = json.loads(out)
    assert code == 0 and found["eps"] == 0.5 and re.match("reports/analyse_plain", found["report"])
    audited = ("--budget", "smoke", "--eps", 0.1, "--levels", 2, "--corruptions", "fog", "--ood", "npz")
    code, out, _ = command("audit", *WORDS, *audited, "--ood.path", "noise.npz")
    found = json.loads(out)
    assert code == 0 and {"shift", "ood"} <= found.keys()
    page = (tmp_path / found["report"]).read_text()
    assert "Distribution shift" in page and "Out-of-distribution images" in page


@pytest.mark.parametrize(
    "words, text",
    [
        (("corrupt",), "Which classifier? Give --model"),
        (("corrupt", *WORDS, "--corruptions", "fgo"), "--corruptions: there is no type of corruption 'fgo'"),
        (("corrupt", *WORDS, "--order", "sorted"), "--order is 'sorted'; expected official, random"),
        (("analyse", *WORDS, "--eps", "much"), "--eps is 'much'; expected a number"),
        (("analyse", *WORDS, "--eps", "0"), "--eps is 0; expected a finite number above 0"),
    ],
)
def test_wrong_words_are_refused(command, words, text):
    code, _, err = command(*words)
    assert code == 2 and text in err
