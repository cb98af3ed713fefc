"""``surefooted measure --predictions``: any program's predictions, as a table, a document and a page."""

from pathlib import Path

import numpy as np
import pytest
import torch

from surefooted.core.predictions import predictions
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.stability import variance

Z = 2 * torch.randn(60, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.multinomial((0.6 * Z).softmax(-1), 1, generator=torch.Generator().manual_seed(1))[:, 0]
P = predictions(Z.log_softmax(-1), Y)


@pytest.fixture
def file(tmp_path):
    np.savez(tmp_path / "a.npz", logits=Z.numpy(), y=Y.numpy())
    np.savez(tmp_path / "b.npz", probs=(Z / 2).softmax(-1).numpy(), y=Y.numpy())
    return tmp_path / "a.npz"


def test_a_file_is_measured_compared_and_reported(document, file):
    words = ["--predictions", file, "--ece.bins", "20", "--draws", "5"]
    said = document("measure", *words, "--against", file.with_name("b.npz"), "--out", file.parent / "report")
    assert said["metrics"]["ece"]["value"] == pytest.approx(metrics.ece(P, bins=20))
    assert said["outputs"] == "logits" and said["reason"] == "they are named 'logits'" and said["n"] == 60
    assert said["against"]["differences"]["nll"]["value"] > 0 and "Risk" in Path(said["report"]).read_text()


@pytest.mark.filterwarnings("ignore:.*NaN or")
def test_a_table_says_how_the_file_was_read_and_what_is_no_answer(run, file):
    broken = Z.clone()
    broken[7, 1] = torch.nan
    np.savez(file, logits=broken.numpy(), y=Y.numpy())
    code, out, _ = run("measure", "--predictions", file, "--draws", "10", "--metric", "accuracy")
    assert code == 0 and "a.npz: 60 rows, 3 classes, read as logits (they are named 'logits')" in out
    assert "1 of 60 rows are no answer" in out


def test_several_files_are_models_of_one_test_set(document, run, file):
    words = ["--predictions", file, "--predictions", file.with_name("b.npz"), "--metric", "accuracy", "--draws", "10"]
    said = document("measure", *words)
    assert said["variance"]["value"] == pytest.approx(variance([P.log_p, (Z / 2).log_softmax(-1)]))
    assert [one["metrics"]["accuracy"]["value"] for one in said["models"]] == [metrics.accuracy(P)] * 2
    code, out, _ = run("measure", *words)
    assert code == 0 and "variance between the 2 models" in out
    assert run("measure", *words, "--against", file)[0] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--outputs", "softmax"], "--outputs is 'softmax'; expected one of auto"),
        (["--outputs", "probabilities"], "The probabilities of a.npz range from"),
        (["--model", "abc"], "--model cannot be used: --predictions is measured, no network. Leave it out."),
        (["--levels", "3"], "--levels cannot be used"),
        (["--split", "validation"], "--split cannot be used"),
        (["--order", "random"], "--order cannot be used"),
        (["--mean", "0.5"], "--mean cannot be used"),
        (["--std", "0.5"], "--std cannot be used"),
        (["--weights", "a.safetensors"], "--weights cannot be used"),
        (["--layout", "flat"], "--layout cannot be used"),
        (["--pixels", "uint8"], "--pixels cannot be used"),
        (["--metric", "eec"], "Did you mean 'ece'"),
        (["--ece.bins", "0"], "--ece.bins is '0'"),
        (["--pgd.eps", "1"], "--pgd.eps"),
        (["--against", "absent.npz"], "There is no 'absent.npz'"),
    ],
)
def test_what_makes_no_sense_is_refused(run, file, words, message):
    code, _, error = run("measure", "--predictions", file, *words)
    assert code == 2 and message in error


def test_options_of_files_need_a_file(run):
    assert "--out cannot be used: it goes with --predictions" in run("measure", "--model", "abc", "--out", "there")[2]
