"""Commands with a classifier that surefooted did not train: attack, transfer, corrupt and audit take the same ones."""

import json

import pytest

from surefooted.errors import ConvertedInput

MODULE = """
import numpy as np
import torch
from torch import nn


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def half():
    return net().half()


def labels(x):
    return np.digitize(x.mean((1, 2, 3)), np.linspace(0.2, 0.4, 9))


class Array(nn.Module):
    def forward(self, x):
        return torch.from_numpy(x.numpy().reshape(len(x), -1)[:, :10])


def array():
    return Array()
"""
DATA = ("--data", "digits", "--limit", "12", "-q")


@pytest.fixture(autouse=True)
def module(tmp_path, monkeypatch):
    (tmp_path / "their_nets.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def test_an_external_network_is_attacked_like_our_own(document):
    found = document("attack", "pgd", "--model", "their_nets:net", "--attack.eps", "0.3", "--attack.steps", "3", *DATA)
    assert found["n"] == 12 and found["proxy"] is None and found["robust_accuracy"]["value"] <= 0.2


def test_a_precision_of_its_own_is_said(run):
    with pytest.warns(ConvertedInput, match="The model works in float16"):
        code, out, _ = run("attack", "fgsm", "--model", "their_nets:half", *DATA, "--json")
    assert code == 0 and json.loads(out)["precision"] == "float16"


def test_a_black_box_is_attacked_without_gradients(document, refused):
    box = ("--model", "their_nets:labels", "--outputs", "labels", *DATA)
    found = document("attack", "hop_skip_jump", "--attack.queries", "60", "--attack.directions", "5", *box)
    assert found["size_quartiles"] is not None and found["mean_queries"] <= 60
    assert "hop_skip_jump (also for labels)" in refused("attack", "pgd", *box)


def test_a_black_box_has_to_say_what_it_returns(refused):
    message = refused("attack", "square", "--model", "their_nets:labels", *DATA)
    assert "--outputs probabilities, --outputs logits or --outputs labels" in message


def test_examples_of_one_external_model_are_tried_on_another(document):
    found = document(
        *("transfer", "fgsm", "--model", "their_nets:labels", "--outputs", "labels"),
        *("--proxy", "their_nets:net", *DATA),
    )
    assert found["proxy"] and found["mean_queries"] == 2


def test_a_surrogate_is_needed_to_transfer(refused):
    assert "Give --proxy" in refused("transfer", "fgsm", "--model", "their_nets:net", *DATA)


def test_an_external_model_under_corruptions(document, refused):
    words = ("--draws", "20", *DATA)
    found = document("corrupt", "--model", "their_nets:net", "--corruptions", "gaussian_noise,fog", *words)
    assert set(found["accuracy"]) == {"gaussian_noise", "fog"}
    only = ("--corruptions", "fog", *words)
    assert document("corrupt", "--model", "their_nets:labels", "--outputs", "labels", *only)["n"] == 12
    assert "Did you mean 'fog'?" in refused("corrupt", "--model", "their_nets:net", "--corruptions", "fogg", *DATA)


def test_a_model_that_leaves_torch_is_attacked_without_gradients(document, refused):
    words = ("--model", "their_nets:array", *DATA)
    found = document("attack", "square", "--attack.queries", "5", *words)
    assert [flag["name"] for flag in found["flags"]] == ["zero_gradients"]
    for command in (("attack", "pgd"), ("audit", "--levels", "2")):
        message = refused(*command, *words)
        assert "Can't call numpy()" in message and "sf.blackbox" in message


@pytest.mark.parametrize("command", [("attack", "pgd"), ("corrupt",), ("audit",)])
def test_an_external_model_needs_a_data_set(command, refused):
    assert "--data" in refused(*command, "--model", "their_nets:net", "-q")


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".torchscript"])
def test_files_that_contain_code_are_not_read(suffix, refused, tmp_path):
    (tmp_path / f"net{suffix}").write_bytes(b"PK")
    message = refused("attack", "pgd", "--model", f"net{suffix}", *DATA)
    assert "it was not read" in message and f"torch.jit.load('net{suffix}')" in message and "--model" in message


def test_options_of_external_models_are_refused_for_our_own(kept, refused):
    root, task = kept
    message = refused("attack", "pgd", "--model", task.key, "--store", root, "--outputs", "labels", "-q")
    assert "--outputs: these options are for external models" in message


def test_an_audit_of_labels_prints_its_limits(run, tmp_path):
    box = ("--model", "their_nets:labels", "--outputs", "labels", "--budget", "smoke", "--levels", "2")
    code, out, error = run("audit", *box, "--queries", "60", *DATA)
    assert code == 0, error
    assert "upper bounds" in out and "calibration cannot be measured" in out
    code, out, _ = run("audit", *box, "--queries", "60", *DATA, "--json")
    assert code == 0 and json.loads(out)["queries"] == 60
