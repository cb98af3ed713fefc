"""The command line, used clumsily: one message, exit code 2, no traceback, nothing lost; and one JSON document."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from surefooted import cli
from surefooted.cell import training
from surefooted.execute import execute
from surefooted.files import read_tensors
from surefooted.machine import Machine
from surefooted.spec import PACKAGES, complete, names
from surefooted.store import Store

QUICK = ["--net", "mlp", "--net.width", "4", "--recipe.epochs", "1", "--recipe.batch", "256", "--accelerator", "cpu"]


@pytest.fixture
def run(monkeypatch, capfd):
    """What a shell would see of ``surefooted words``: exit code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words)])
        capfd.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main()
        out, error = capfd.readouterr()
        assert "Traceback" not in error
        return end.value.code or 0, out, error

    return call


@pytest.fixture
def refused(run):
    """The message of a command that must fail, which is the same with and without --json."""

    def call(*words):
        code, out, error = run(*words)
        assert (code, out) == (2, "") and error.startswith("surefooted: ")
        message = error.removeprefix("surefooted: ").rstrip("\n")
        code, out, error = run(*words, "--json")
        assert code == 2 and json.loads(out) == {"error": message}
        return message

    return call


@pytest.fixture
def document(run):
    """The one JSON document of a command that must not fail."""

    def call(*words):
        code, out, _ = run(*words, "--json")
        assert code == 0, out
        return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A store with a vanilla network in it."""
    root = tmp_path_factory.mktemp("kept")
    cell = training("vanilla", {"mlp": {"width": 4}}, "digits", {"recipe": {"epochs": 1, "batch": 256}})
    execute([cell], Store(root), machine=Machine("cpu"))
    return root, cell


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train vanila", "Did you mean 'vanilla'?"),
        ("train pat --method.epss 1", "pat has no argument 'epss'. Did you mean 'eps'?"),
        ("train pat --method.eps -1 --method.steps 0", "steps = '0'"),
        ("train pat --method.eps", "--method.eps has no value"),
        ("train pat mlp", "unexpected 'mlp'"),
        ("train", "which method? Name one (surefooted list methods), such as pat."),
        ("train --method.eps 0.1", "options of method were given (eps), but not which; add --method NAME."),
        ("train vanilla --net mlpp", "Did you mean 'mlp'?"),
        ("train vanilla --net.width 0", "width = '0': input should be greater than or equal to 1"),
        ("train vanilla --net.width 1000000000", "make it smaller"),
        ("train vanilla --net.width 10000000000000000000000", "cannot be built"),
        ("train vanilla --net cnn4", "cnn4 needs images of at least"),
        ("train vanilla --data digit", "Did you mean 'digits'?"),
        ("train vanilla --data mnist", "Give --data-root, or set SUREFOOTED_DATA"),
        ("train vanilla --data-root /nowhere", "There is no '/nowhere'"),
        ("train vanilla --data.validation 2", "validation = '2': input should be less than or equal to 1"),
        ("train vanilla --data.validation 0.0001", "less than one image"),
        ("train adals --data.validation 0", "the validation set has 0 images"),
        ("train ar_adals --method.levels 500", "learns its labels from 500 validation subset(s)"),
        ("train ls --method.eps 1.5", "less than or equal to 1"),
        ("train vanilla --recipe.epochs 0", "epochs = '0'"),
        ("train vanilla --recipe.batch none", "batch = 'none'"),
        ("train vanilla --recipe entm_mnst", "Did you mean 'entm_mnist'?"),
        ("train vanilla --recipe.augment [flipp]", "Did you mean 'flip'?"),
        ("train vanilla --seed -1", "--seed"),
        ("train vanilla --seed x", "--seed"),
        (
            "train vanilla --recipe.augment flip",
            "augment = 'flip': expected a list; write [flip], and several with commas",
        ),
        ("train vanilla --net.classes 3", "mlp has no argument 'classes'. It is not an option"),
        (
            "train custom --method.perturb.eps 0.1",
            "of method.perturb were given (eps), but not which; add --method.per",
        ),
        ("train vanilla --precision fp8", "precision = 'fp8': input should be 'fp32' or 'bf16'"),
        ("train vanilla --accelerator gpu", "accelerator is 'gpu'. Did you mean 'cpu'?"),
        ("train vanilla --devices 0", "--devices"),
        ("train vanilla --config absent.toml", "absent.toml cannot be read: No such file"),
        ("train vanilla --bogus 3", "there is no option --bogus. There are: data, method, net, recipe, record."),
        ("train vanilla --epochs 3", "Arguments of components follow their slot: --SLOT.epochs VALUE."),
        ("train vanilla --store /dev/null/x", "a part of its path is a file"),
        ("train vanilla --out /dev/null/x.safetensors", "a file is in its place"),
        ("train vanilla --out /proc/x.safetensors", "choose another place"),
        ("train vanilla --out /tmp", "is a directory; give the name of a file"),
        ("attack pgd", "which network? Give --model"),
        ("attack pgd --model 0123", "no train artefact in"),
        ("attack pgd --model mymods:good", "To evaluate it: surefooted audit --model mymods:good --data NAME."),
        ("measure --model good.pt2", "To evaluate it: surefooted audit --model good.pt2 --data NAME."),
        ("attack pgd --model ../x", "../x is not there"),
        ("attack pgd --model absent.safetensors", "absent.safetensors is not there"),
        ("measure --model x.safetensors", "x.safetensors is not there"),
        ("measure", "which network?"),
        ("study run dmo", "Did you mean 'demo'?"),
        ("study run demo --size big", "'full' or 'smoke'"),
        ("study run demo --workers -1", "--workers"),
        ("study run demo --only plane", "demo has no chapters to choose from"),
        ("study run uta --size smoke --only plain", "Did you mean 'plane'?"),
        ("report uta --size smoke --only plane", "run: surefooted study run uta --size smoke --only plane"),
        ("study run", "name"),
        ("study rnu", "rnu"),
        ("report dmo", "Did you mean 'demo'?"),
        ("report demo --size smoke", "run: surefooted study run demo"),
        ("list metod", "Did you mean 'methods'?"),
        ("list methods pgd", "there is no 'pgd' among the methods. Did you mean 'pgd_at'?"),
        ("lst", "lst"),
    ],
)
def test_bad_words(refused, words, said):
    given = words.split()
    if given[0] == "train":
        default = {"--net": "mlp", "--recipe.epochs": "1", "--accelerator": "cpu"}
        given += [word for option, value in default.items() if option not in given for word in (option, value)]
    assert said in refused(*given)


def test_all_faults_are_said_at_once(refused):
    words = ["--method.eps", "-1", "--method.stepz", "3", "--recipe.lr", "0", "--net.widht", "3", "--net", "mlp"]
    lines = refused("train", "pat", *words).splitlines()
    assert len(lines) == 4 and all(any(word in line for line in lines) for word in ("eps", "stepz", "lr", "widht"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("attack", "which attack? Name one (surefooted list attacks)"),
        ("attack pdg", "Did you mean 'pgd'?"),
        ("attack pgd --attack.norm l3", "'linf' or 'l2'"),
        ("attack pgd --attack.eps -0.1", "eps = '-0.1'"),
        ("attack pgd --split tset", "--split is 'tset'; expected train, validation or test."),
        ("attack pgd --limit -5", "--limit"),
        ("attack pgd --data.test_limits 3", "digits has no argument 'test_limits'. Did you mean 'test_limit'?"),
        ("measure --metric ecee", "Did you mean 'ece'?"),
        ("measure --ece.bins 0", "ece: bins = '0'"),
        ("attack autoattack --attack.version custom --attack.attacks apgd_ce", "expected a list; write [apgd_ce]"),
        ("measure --ece.bin 5", "ece has no argument 'bin'. Did you mean 'bins'?"),
        ("measure --ece 5", "the options of a metric are written --ece.OPTION VALUE"),
        ("measure --metric ece --nll.bins 5", "there is no option --nll.bins"),
        ("measure --levels 100000", "--levels is 100000, and there are 449 images"),
        ("measure --draws 0", "--draws"),
        ("measure --attack.eps 1", "options of attack were given (eps), but not which; add --attack NAME."),
        ("measure --attack pgdd", "Did you mean 'pgd'?"),
        ("measure pgd", "unexpected 'pgd'"),
        ("measure --against 0123", "no train artefact in"),
        ("measure --ood digit", "Did you mean 'digits'?"),
        ("measure --ood.path x", "options of ood were given (path), but not which"),
        ("measure --ood plane", "the images of --ood are (1, 1, 2), and the network is for (1, 8, 8)"),
    ],
)
def test_bad_words_about_a_network(refused, kept, words, said):
    root, cell = kept
    before = sorted(root.rglob("*"))
    assert said in refused(*words.split(), "--model", cell.key[:10], "--store", root, "--accelerator", "cpu")
    assert sorted(root.rglob("*")) == before


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
    store, cell = kept
    key = cell.key
    found = document("trained", "--store", str(store))
    assert [one["key"] for one in found] == [key] and found[0]["method"] == cell.method
    for words, said in (((), key[:12]), (("VANILLA", "mlp"), key[:12]), (("lenet",), "None of the 1 networks")):
        code, out, error = run("trained", *words, "--store", str(store))
        assert code == 0 and said in out and not error
    assert "epochs=1" in run("trained", "--store", str(store))[1]  # and no argument that is the default
    assert document("trained") == [] and "No network was trained" in run("trained")[1]


def test_attack_and_measure_by_key_by_file_and_on_other_data(document, kept, tmp_path):
    root, cell = kept
    place = ["--store", root, "--accelerator", "cpu", "--limit", "40"]
    weights = cell.path(Store(root)) / "weights.safetensors"
    by_key = document("attack", "pgd", "--attack.eps", "8/255", "--attack.steps", "3", "--model", cell.key[:9], *place)
    swapped = ["--attack.steps", "3", "pgd", "--attack.eps=8/255", "--data", "digits"]
    by_file = document("attack", *swapped, "--model", weights, *place)
    assert by_key["robust_accuracy"] == by_file["robust_accuracy"] and by_key["n"] == 40
    assert by_key["attack"]["pgd"]["eps"] == 8 / 255
    out = tmp_path / "moved.safetensors"
    document("attack", "fgsm", "--model", cell.key, "--out", out, *place)
    assert read_tensors(out)[0]["x"].shape == (40, 1, 8, 8)
    words = ["--data", "digits", "--draws", "20", "--attack", "fgsm", "--levels", "2"]
    measured = document("measure", "--model", weights, *words, *place)
    assert measured["n"] == 40 and all(len(row) == 2 for row in measured["by_level"].values())
    bins = document("measure", "--model", cell.key, "--metric", "ece", "--ece.bins", "3", "--draws", "20", *place)
    assert bins["metrics"].keys() == {"ece"} and bins["metrics"]["ece"]["options"] == {"bins": "3"}


def test_a_network_against_itself_and_its_data_as_foreign_tell_nothing_apart(document, run, kept):
    root, cell = kept
    place = ["--model", cell.key, "--store", root, "--accelerator", "cpu", "--limit", "60", "--draws", "50"]
    words = ["--metric", "accuracy", "--metric", "nll", "--against", cell.key, "--ood", "digits", "--decompose"]
    said = document("measure", *words, *place)
    assert all(one["value"] == one["low"] == one["high"] == 0 for one in said["against"]["differences"].values())
    assert said["against"]["mcnemar"] == {"only_first": 0, "only_second": 0, "p": 1.0}
    for one in said["ood"]["measures"].values():
        assert one["auroc"] == 0.5 and one["low"] < 0.5 < one["high"] and one["n_outside"] == 60
    brier = said["decompositions"]["brier"]
    sharp = brier["resolution"] + brier["within_covariance"]
    assert brier["brier"] == pytest.approx(
        brier["reliability"] + brier["uncertainty"] + brier["within_variance"] - sharp, abs=1e-9
    )
    file = cell.path(Store(root)) / "weights.safetensors"  # it does not say what it was trained on
    words[words.index(cell.key)] = file
    assert document("measure", *words, *place)["against"] == said["against"]
    code, out, _ = run("measure", *words, *place)
    assert code == 0 and all(word in out for word in ("against the other", "McNemar", "AUROC", "taken apart", "digits"))


def test_foreign_images_may_have_classes_of_their_own(document, kept, tmp_path):
    root, cell = kept
    noise = np.random.default_rng(0).integers(0, 256, (90, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "d.npz", x_train=noise, y_train=np.arange(90) % 30)
    words = ["--ood", "npz", "--ood.path", tmp_path / "d.npz", "--split", "train", "--metric", "accuracy"]
    said = document("measure", "--model", cell.key, "--store", root, "--accelerator", "cpu", "--draws", "9", *words)
    assert said["ood"]["measures"].keys() == {"max_probability", "margin", "total_entropy"}
    assert all(0 <= one["low"] <= one["auroc"] <= one["high"] <= 1 for one in said["ood"]["measures"].values())


def test_a_file_without_data_asks_for_them(refused, kept):
    root, cell = kept
    words = ["--model", cell.path(Store(root)) / "weights.safetensors", "--store", root, "--accelerator", "cpu"]
    assert "name it (--data)" in refused("attack", "fgsm", *words)
    assert "name it (--data)" in refused("measure", *words)


def test_files_that_hold_no_network(refused, tmp_path):
    bad = tmp_path / "w.safetensors"
    for save in (
        lambda: torch.save({"x": torch.zeros(3)}, bad),
        lambda: torch.save({"x": torch.zeros(3)}, bad, _use_new_zipfile_serialization=False),
        lambda: bad.write_bytes(b"half"),
        lambda: save_file({"x": torch.zeros(3)}, bad),
    ):
        save()
        text = refused("attack", "pgd", "--data", "digits", "--model", bad, "--accelerator", "cpu")
        assert str(bad) in text
        assert ("pickle" in text) == (bad.read_bytes()[:2] in (b"PK", b"\x80\x02"))


def test_a_key_that_is_short_or_of_a_damaged_artefact(refused, kept, tmp_path):
    _, cell = kept
    store = Store(tmp_path / "s")
    for key in ("aa11", "aa22"):
        store.path("train", key).mkdir(parents=True)
        (store.path("train", key) / "spec.json").write_text('{"method": 1}')
    place = ["--store", store.root, "--accelerator", "cpu"]
    assert "2 keys" in refused("attack", "pgd", "--model", "aa", *place)
    assert "is damaged" in refused("attack", "pgd", "--model", "aa11", *place)
    (store.path("train", "aa11") / "spec.json").write_text("{")
    assert "cannot be read as JSON" in refused("attack", "pgd", "--model", "aa11", *place)
    # The same words with other data are another network: it is not trained in silence.
    (store.path("train", "aa22") / "spec.json").write_text(json.dumps(cell.about()))
    assert "no longer those that aa22 was trained with" in refused("attack", "pgd", "--model", "aa22", *place)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": np.zeros((40, 4, 4), np.uint8)}, "has no 'y_train'"),
        ({"x_train": np.zeros((40, 4, 4), np.int32), "y_train": np.zeros(40, int)}, "x_train is int32; uint8"),
        ({"x_train": np.full((40, 4, 4), 7.0), "y_train": np.zeros(40, int)}, "floats from 7 to 7"),
        ({"x_train": np.full((40, 4, 4), np.nan), "y_train": np.zeros(40, int)}, "40 image(s) with NaN"),
        ({"x_train": np.zeros((40, 4, 4), np.uint8), "y_train": np.zeros(40)}, "y_train is float64"),
        ({"x_train": np.zeros((40, 4, 4), np.uint8), "y_train": np.full(40, -1)}, "label -1 is outside"),
        ({"x_train": np.zeros((40, 4, 4), np.uint8), "y_train": np.full(40, 9), "classes": np.array(["a"])}, "label 9"),
        ({"x_train": np.zeros((40, 4, 4), np.uint8), "y_train": np.array([{}] * 40)}, "without objects"),
    ],
)
def test_data_that_cannot_be_used(refused, tmp_path, arrays, said):
    np.savez(tmp_path / "d.npz", **arrays)
    words = ["train", "vanilla", "--data", "npz", "--data.path", tmp_path / "d.npz", *QUICK]
    assert said in refused(*words)
    (tmp_path / "d.npz").write_bytes((tmp_path / "d.npz").read_bytes()[:100])
    assert "cannot be read as a NumPy archive" in refused(*words)
    (tmp_path / "d.npz").unlink()
    assert "There is no" in refused(*words)


def test_a_network_for_other_images(refused, kept, tmp_path):
    root, cell = kept
    np.savez(tmp_path / "d.npz", x_train=np.zeros((40, 4, 4), np.uint8), y_train=np.arange(40) % 3)
    words = ["--model", cell.key, "--store", root, "--data", "npz", "--data.path", tmp_path / "d.npz"]
    for command in (("attack", "fgsm"), ("measure",)):
        assert "reads images of (C, H, W) = (1, 8, 8)" in refused(*command, *words, "--accelerator", "cpu")


def test_a_full_disk_loses_nothing(refused, document, monkeypatch, tmp_path):
    words = ["train", "vanilla", *QUICK]
    with monkeypatch.context() as patch, open("/dev/full", "wb") as full:
        Store()
        patch.setattr(os, "fsync", lambda _: os.write(full.fileno(), b"x"))
        assert "the disk is full; free some space and run the same command again" in refused(*words)
    assert document(*words)["last_epoch"]["epoch"] == 1


def test_a_loss_that_is_no_number(refused):
    words = ["--recipe.optimiser", "sgd", "--recipe.schedule", "steps", "--recipe.drops", "[[0, 1.0e+40]]"]
    text = refused("train", "vanilla", "--net", "mlp", "--recipe.epochs", "2", "--accelerator", "cpu", *words)
    assert "became nan in epoch 1, step 2, at learning rate 1e+37" in text and "--recipe.lr" in text


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
    assert method["perturb"]["pgd"]["eps"] == 0.1 and method["loss"] == complete(
        "surefooted.scores", {"entm_loss": {"lam": 0.5}}
    )
    assert method["target"]["adaptive"]["levels"] == 2


def test_list(run, document):
    methods = document("list", "methods")
    assert isinstance(methods, list) and all({"name", "summary", "arguments"} <= entry.keys() for entry in methods)
    assert document("list").keys() == PACKAGES.keys()
    for kind, package in PACKAGES.items():
        assert [entry["name"] for entry in document("list", kind)] == names(package)
        for name in names(package):
            code, out, error = run("list", kind, name)
            assert code == 0 and name in out and not error
            assert document("list", kind, name)[0]["name"] == name
    assert "= []" in run("list", "recipes", "recipe")[1]  # brackets are no markup


@pytest.mark.parametrize(
    "words", ["--help", "-h", *(f"{c} --help" for c in ["train", "trained", "attack", "measure", "report", "list"])]
)
def test_help(run, words):
    code, out, _ = run(*words.split())
    assert code == 0 and "surefooted" in out


def test_help_needs_no_torch():
    code = "import sys, surefooted.cli; assert not {'torch', 'lightning_fabric', 'pyarrow'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


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

    monkeypatch.setattr("surefooted.execute.execute", stop)
    code, out, error = run("train", "vanilla", *QUICK)
    assert (code, out) == (130, "") and "the same command goes on from here" in error
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
    words = ["train", "ls", "--data", "npz", "--data.path", tmp_path / "d.npz", *QUICK, "--recipe.batch", "20"]
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
