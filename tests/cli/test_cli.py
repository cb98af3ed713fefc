"""The command line: what its commands do, and one JSON document on standard output."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open

import surefooted
from surefooted.components.spec import KINDS, complete, names, plural
from surefooted.core.files import read_tensors
from surefooted.pipeline.store import Store

QUICK = ["--net", "mlp", "--net.width", "4", "--recipe.epochs", "1", "--recipe.batch", "256", "--accelerator", "cpu"]


def test_training_is_found_again_and_weights_are_copied(document, run, tmp_path):
    words = ["train", "vanilla", *QUICK, "--out", tmp_path / "new" / "w.safetensors"]
    first = document(*words)
    assert {"key", "weights", "last_epoch", "method", "net", "data", "recipe", "seed"} <= first.keys()
    assert document(*words) == first
    with safe_open(tmp_path / "new" / "w.safetensors", "pt") as file:
        assert len(list(file.keys())) == 6
    code, out, error = run(*words)
    assert code == 0 and first["key"][:12] in out and str(tmp_path / "new" / "w.safetensors") in out and not error


def test_what_was_trained_is_listed(document, run, kept, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    store, task = kept
    key = task.key
    found = document("trained", "--store", str(store))
    assert [one["key"] for one in found] == [key] and found[0]["method"] == task.method
    for words, said in (((), key[:12]), (("VANILLA", "mlp"), key[:12]), (("lenet",), "None of the 1 networks")):
        code, out, error = run("trained", *words, "--store", str(store))
        assert code == 0 and said in out and not error
    assert "epochs=6" in run("trained", "--store", str(store))[1]  # and no argument that is the default
    assert document("trained") == [] and "No network was trained" in run("trained")[1]


def test_attack_and_measure_by_key_by_file_and_on_other_data(document, kept, tmp_path):
    root, task = kept
    place = ["--store", root, "--accelerator", "cpu", "--limit", "40"]
    weights = task.path(Store(root)) / "weights.safetensors"
    by_key = document("attack", "pgd", "--attack.eps", "8/255", "--attack.steps", "3", "--model", task.key[:9], *place)
    swapped = ["--attack.steps", "3", "pgd", "--attack.eps=8/255", "--data", "digits"]
    by_file = document("attack", *swapped, "--model", weights, *place)
    assert by_key["robust_accuracy"] == by_file["robust_accuracy"] and by_key["n"] == 40
    assert by_key["attack"]["pgd"]["eps"] == 8 / 255
    out = tmp_path / "moved.safetensors"
    document("attack", "fgsm", "--model", task.key, "--out", out, *place)
    assert read_tensors(out)[0]["x"].shape == (40, 1, 8, 8)
    words = ["--data", "digits", "--draws", "20", "--attack", "fgsm", "--levels", "2"]
    measured = document("measure", "--model", weights, *words, *place)
    assert measured["n"] == 40 and all(len(row) == 2 for row in measured["by_level"].values())
    bins = document("measure", "--model", task.key, "--metric", "ece", "--ece.bins", "3", "--draws", "20", *place)
    assert bins["metrics"].keys() == {"ece"} and bins["metrics"]["ece"]["options"] == {"bins": "3"}


def test_a_network_against_itself_and_its_data_as_foreign_tell_nothing_apart(document, run, kept):
    root, task = kept
    place = ["--model", task.key, "--store", root, "--accelerator", "cpu", "--limit", "60", "--draws", "50"]
    words = ["--metric", "accuracy", "--metric", "nll", "--against", task.key, "--ood", "digits", "--decompose"]
    said = document("measure", *words, *place)
    assert all(one["value"] == one["low"] == one["high"] == 0 for one in said["against"]["differences"].values())
    assert said["against"]["mcnemar"] == {"only_first": 0, "only_second": 0, "p": 1.0}
    for one in said["ood"]["measures"].values():
        assert one["auroc"] == 0.5 and one["low"] < 0.5 < one["high"] and one["n_outside"] == 60
    brier = {name: term["value"] for name, term in said["decompositions"]["brier"].items()}
    sharp = brier["resolution"] + brier["within_covariance"]
    assert brier["brier"] == pytest.approx(
        brier["reliability"] + brier["uncertainty"] + brier["within_variance"] - sharp, abs=1e-9
    )
    file = task.path(Store(root)) / "weights.safetensors"  # it does not say what it was trained on
    words[words.index(task.key)] = file
    assert document("measure", *words, *place)["against"] == said["against"]
    code, out, _ = run("measure", *words, *place)
    assert code == 0 and all(
        word in out for word in ("with the other network", "McNemar", "AUROC", "decomposition of", "digits")
    )


def test_foreign_images_may_have_classes_of_their_own(document, kept, tmp_path):
    root, task = kept
    noise = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x_train=noise, y_train=np.arange(90) % 30)
    words = ["--ood", "npz", "--ood.path", tmp_path / "d.npz", "--split", "train", "--metric", "accuracy"]
    said = document("measure", "--model", task.key, "--store", root, "--accelerator", "cpu", "--draws", "9", *words)
    assert said["ood"]["measures"].keys() == {"max_probability", "margin", "total_entropy"}
    assert all(0 <= one["low"] <= one["auroc"] <= one["high"] <= 1 for one in said["ood"]["measures"].values())


def test_flags_win_over_the_file(document, tmp_path):
    text = '[method.pat]\neps = "8/255"\nsteps = 2\n[net.mlp]\nwidth = 3\n[recipe]\nepochs = 2'
    (tmp_path / "run.toml").write_text(text)
    words = ["--config", tmp_path / "run.toml", "--accelerator", "cpu", "--recipe.batch", "512"]
    made = document("train", "--method.steps", "1", "--recipe.epochs", "1", *words)
    assert made["method"]["pat"] | {"eps": 8 / 255, "steps": 1} == made["method"]["pat"]
    assert made["net"]["mlp"]["width"] == 3 and made["recipe"]["recipe"]["epochs"] == 1


def test_components_within_components(document):
    words = "--method custom --method.perturb pgd --method.perturb.eps 0.1 --method.perturb.steps 1"
    words += " --method.target.levels 2 --method.target adaptive"
    words += " --method.target.robustness carlini_wagner --method.target.robustness.steps 2"
    words += " --method.loss entm_loss --method.loss.lam 1/2 --recipe.augment [crop,flip]"
    method = document("train", *words.split(), *QUICK)["method"]["custom"]
    assert method["perturb"]["pgd"]["eps"] == 0.1 and method["loss"] == complete("score", {"entm_loss": {"lam": 0.5}})
    assert method["target"]["adaptive"]["levels"] == 2


def test_list(run, document):
    methods = document("list", "methods")
    assert isinstance(methods, list) and all({"name", "summary", "arguments"} <= entry.keys() for entry in methods)
    assert document("list").keys() == {plural(kind) for kind in KINDS}
    for kind, known in ((plural(kind), names(kind)) for kind in KINDS):
        assert [entry["name"] for entry in document("list", kind)] == known
        for name in known:
            code, out, error = run("list", kind, name)
            assert code == 0 and name in out and not error
            assert document("list", kind, name)[0]["name"] == name
    assert "= []" in run("list", "recipes", "recipe")[1]  # brackets are no markup


@pytest.mark.parametrize(
    "words",
    [
        "--help",
        "-h",
        *(f"{c} --help" for c in ["train", "trained", "attack", "measure", "audit", "study run", "report", "list"]),
    ],
)
def test_help(run, words):
    code, out, _ = run(*words.split())
    assert code == 0 and "surefooted" in out


def test_help_needs_no_torch():
    code = """
import sys
from surefooted import cli
for words in ("--help", "--version", "audit --help", "measure --help", "study run --help"):
    sys.argv = ["surefooted", *words.split()]
    try:
        cli.main()
    except SystemExit as end:
        assert not end.code
assert not {"torch", "lightning_fabric", "pyarrow"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, capture_output=True)


def test_version(run):
    code, out, error = run("--version")
    assert (code, out, error) == (0, f"surefooted {surefooted.__version__}\n", "")


def test_no_words_at_all_is_help(run):
    code, out, error = run()
    assert code == 2 and not error.endswith("surefooted: \n")
    assert "train" in out + error and "study" in out + error


def test_a_message_names_paths_that_look_like_markup(document, run, tmp_path):
    odd = tmp_path / "[bold]x[" / "w.safetensors"
    code, out, _ = run("train", "vanilla", *QUICK, "--out", odd)
    assert code == 0 and str(odd) in out and odd.exists()


def test_stopping_is_no_error_of_the_program(run, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("surefooted.pipeline.execute.execute", stop)
    code, out, error = run("train", "vanilla", *QUICK)
    assert (code, out) == (130, "") and "the same command resumes" in error
    code, out, _ = run("train", "vanilla", *QUICK, "--json")
    assert code == 130 and "error" in json.loads(out)


def test_a_closed_pipe_is_no_error():
    code = "from surefooted.cli import main; main()"
    shell = f"{sys.executable} -c '{code}' list --json | head -c 1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", shell], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{", "")


def test_data_parallel_training_from_the_command_line(document, tmp_path):
    """Two processes, one store: only the first writes, and nobody waits for the lock."""
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.integers(0, 256, (90, 4, 4), dtype=np.uint8), y_train=np.arange(90) % 3)
    words = [
        "train",
        "ls",
        "--data",
        "npz",
        "--data.path",
        tmp_path / "d.npz",
        *QUICK[:-4],
        "--recipe.batch",
        "20",
        *QUICK[-2:],
    ]
    spread = document(*words, "--devices", "2", "--store", tmp_path / "two")
    alone = document(*words, "--store", tmp_path / "one")
    assert spread["key"] == alone["key"]
    pairs = [read_tensors(Path(made["weights"]))[0] for made in (spread, alone)]
    for name in pairs[0]:
        torch.testing.assert_close(pairs[0][name], pairs[1][name], rtol=1e-3, atol=1e-5)
    assert not list((tmp_path / "two" / "work").iterdir())
    made = json.loads((Path(spread["weights"]).parent / "provenance.json").read_text())
    assert made["devices"] == 2 and document(*words, "--store", tmp_path / "two") == spread


def test_the_program_as_a_program(tmp_path):
    """A few words through a real shell, in a directory of their own."""

    def shell(*words):
        return subprocess.run([sys.executable, "-c", "from surefooted.cli import main; main()", *words],
                              capture_output=True, text=True, cwd=tmp_path, timeout=120)  # fmt: skip

    done = shell("train", "vanila", "--net", "mlp", "--json")
    assert done.returncode == 2 and json.loads(done.stdout)["error"] in done.stderr and "Traceback" not in done.stderr
    done = shell("list", "methods", "--json")
    assert done.returncode == 0 and {entry["name"] for entry in json.loads(done.stdout)} >= {"pat", "entm", "ar_adals"}
    assert not done.stderr
