"""What commands print is what the same computation in Python says: no option is read and forgotten."""

import shutil

import pytest
import torch

import surefooted as sf
from surefooted.cli.study import request_study
from surefooted.core.files import read_tensors
from surefooted.data import digits
from surefooted.evaluation.metrics import nll
from surefooted.evaluation.metrics.levels import by_level, levels_of
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask, attack_task, train_task
from surefooted.report import Page
from surefooted.studies.base import Study

ON_40 = ["--split", "validation", "--limit", "40", "--accelerator", "cpu"]


@pytest.fixture
def own(kept, tmp_path):
    """A copy of the store that others list."""
    root, task = kept
    return shutil.copytree(root, tmp_path / "own"), task


def test_measuring_under_attack_and_by_level(document, own):
    root, task = own
    words = ["--attack", "pgd", "--attack.eps", "0.2", "--metric", "nll", "--levels", "2", "--draws", "20"]
    said = document("measure", *words, "--seed", "3", *ON_40, "--model", task.key, "--store", root)
    store, net, images = Store(root), task.load(Store(root)), digits().validation.take(slice(0, 40))
    moved = attack_task(task, {"pgd": {"eps": 0.2}}, "validation", limit=40, seed=3)
    p = PredictTask(task, "validation", moved, None, 40, 3).result(store)
    assert said["split"] == "validation" and said["attack"]["pgd"]["eps"] == 0.2
    assert said["metrics"]["nll"]["value"] == pytest.approx(nll(p)) and nll(p) > nll(sf.predict(net, images)) + 0.05
    sizes = sf.attack("nearest_boundary", net, images, away_from="prediction", seed=3).distance
    expected = by_level(nll, p, levels_of(sizes, levels=2)).tolist()
    found = said["by_level"]["nll"]
    assert [one["value"] for one in found] == pytest.approx(expected, abs=1e-5) and expected[0] > expected[1]
    assert all(one["low"] <= one["value"] <= one["high"] and one["n"] == 20 for one in found) and said["no_answer"] == 0


def test_an_attack_by_proxy_is_a_transfer_whose_points_are_handed_out(document, own, tmp_path):
    root, task = own
    store, out = Store(root), tmp_path / "moved.safetensors"
    other = train_task("vanilla", task.net, task.data, task.recipe, seed=1)
    execute([other], store, runtime=Runtime("cpu"), quiet=True)
    words = ["pgd", "--attack.eps", "0.2", "--model", task.key, "--proxy", other.key, "--seed", "2", "--out", out]
    said = document("attack", *words, *ON_40, "--store", root)
    points = digits().validation.points(slice(0, 40))
    again = sf.transfer({"pgd": {"eps": 0.2}}, task.load(store), other.load(store), points, seed=2)
    assert said["proxy"] == other.key and said["split"] == "validation" and said["n"] == 40
    assert said["robust_accuracy"]["value"] == pytest.approx(1 - float(again.found.float().mean()))
    torch.testing.assert_close(read_tensors(out)[0]["x"], again.x)


def test_what_a_training_is_told_is_what_is_trained(document, tmp_path):
    words = ["--net", "mlp", "--net.width", "4", "--recipe.epochs", "1", "--recipe.batch", "256", "--seed", "3"]
    words += ["--precision", "bf16", "--record", "robustness", "--record.images", "20", "--accelerator", "cpu"]
    said = document("train", "vanilla", *words, "--store", tmp_path)
    recipe, record = {"recipe": {"epochs": 1, "batch": 256}}, {"robustness": {"images": 20}}
    task = train_task("vanilla", {"mlp": {"width": 4}}, "digits", recipe, seed=3, precision="bf16", record=record)
    assert said["key"] == task.key and said["seed"] == 3 and task.is_done(Store(tmp_path))
    assert "pgd" in task.recorded(Store(tmp_path))


def test_a_study_is_run_and_its_report_is_written_again(document, run, own, monkeypatch, tmp_path):
    root, task = own
    study = Study(lambda: [PredictTask(task, limit=25)], lambda store: Page("A small study"))
    monkeypatch.setattr("surefooted.cli.study.StudyRequest.build", lambda _: study)
    monkeypatch.chdir(tmp_path)
    place = ["--store", root]
    code, _, error = run("report", "demo", *place)
    assert code == 2 and "1 results of demo are not in" in error
    said = document("study", "run", "demo", "--size", "smoke", "--workers", "1", "--accelerator", "cpu", *place)
    assert said["made"] == 1 and said["report"] == "reports/demo_smoke/index.html"
    assert "A small study" in (tmp_path / said["report"]).read_text()
    assert document("study", "run", "demo", "--workers", "1", "--report", "here", *place)["made"] == 0
    document("report", "demo", "--out", tmp_path / "there", *place)
    pages = [(tmp_path / where / "index.html").read_bytes() for where in ("here", "there")]
    assert pages[0] == pages[1]


def test_a_study_takes_arguments_of_its_own(document, own, monkeypatch, tmp_path):
    """demo trains nine methods, so as many networks per seed; each number of seeds has a report of its own."""
    root, task = own
    requests = [request_study("demo", words, size="smoke", only=[]) for words in ([], ["--seeds", "2"], ["--seeds=4"])]
    four, two = ({t.key for t in request.build().tasks() if t.kind == "train"} for request in requests[:0:-1])
    assert len(four) == 2 * len(two) and two < four
    assert [str(request.folder()) for request in requests] == [
        "reports/demo_smoke",
        "reports/demo_smoke_seeds-2",
        "reports/demo_smoke_seeds-4",
    ]
    seen = []

    def build(request):
        seen.append(request)
        return Study(lambda: [PredictTask(task, limit=25)], lambda store: Page("A small study"))

    monkeypatch.setattr("surefooted.cli.study.StudyRequest.build", build)
    monkeypatch.chdir(tmp_path)
    words = ["--size", "smoke", "--seeds", "2", "--workers", "1", "--accelerator", "cpu", "--store", root]
    assert document("study", "run", "demo", *words)["report"] == "reports/demo_smoke_seeds-2/index.html"
    assert seen[0].arguments == {"size": "smoke", "seeds": "2"}
