"""The command line, used clumsily: one message, exit code 2, no traceback, nothing lost."""

import inspect
import json
import os

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from test_cli import QUICK

from surefooted import cli
from surefooted.cli.app import with_flags
from surefooted.core.files import read_tensors, write_tensors
from surefooted.errors import ArgumentError, WorkerError
from surefooted.pipeline.store import Store


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("train vanila", "Did you mean 'vanilla'?"),
        ("train pat --method.epss 1", "pat has no argument 'epss'. Did you mean 'eps'?"),
        ("train pat --method.eps -1 --method.steps 0", "--method.steps is '0'"),
        ("train pat --method.eps", "--method.eps has no value"),
        ("train pat mlp", "Unexpected 'mlp'"),
        ("train", "Which method? Name one (surefooted list methods), such as pat."),
        ("train --method.eps 0.1", "Options for --method were given (eps) without --method itself; add --method NAME."),
        ("train vanilla --net mlpp", "Did you mean 'mlp'?"),
        ("train vanilla --net.width 0", "--net.width is '0': input should be greater than or equal to 1"),
        ("train vanilla --net.width 1000000000", "Reduce its size"),
        (
            "train vanilla --net.width 10000000000000000000000",
            "should be less than or equal to",
        ),
        ("train vanilla --net cnn4", "cnn4 needs images of at least"),
        ("train vanilla --data digit", "Did you mean 'digits'?"),
        ("train vanilla --data mnist", "Set --data-root or SUREFOOTED_DATA"),
        ("train vanilla --data.validation 2", "--data.validation is '2': input should be less than or equal to 1"),
        ("train vanilla --data.validation 0.0001", "less than one image"),
        (
            "train adals --data.validation 0",
            "1 subset(s) of the validation split, which has 0 images. Hold out more (--data.validation 0.1)",
        ),
        (
            "train ar_adals --method.levels 500",
            "learns its labels from 500 subset(s) of the validation split, which has",
        ),
        ("train ls --method.eps 1.5", "less than or equal to 1"),
        ("train vanilla --recipe.epochs 0", "--recipe.epochs is '0'"),
        ("train vanilla --recipe.batch none", "--recipe.batch is 'none'"),
        ("train vanilla --recipe entm_mnst", "Did you mean 'entm_mnist'?"),
        ("train vanilla --recipe.augment [flipp]", "Did you mean 'flip'?"),
        ("train vanilla --seed -1", "--seed"),
        ("train vanilla --seed x", "--seed"),
        (
            "train vanilla --recipe.augment flip",
            "--recipe.augment is 'flip': expected a list. Write [flip] for one value",
        ),
        ("train vanilla --net.classes 3", "mlp has no argument 'classes'. It is not an option"),
        (
            "train custom --method.perturb.eps 0.1",
            "--method.perturb were given (eps) without --method.perturb itself; add --method.per",
        ),
        ("train vanilla --precision fp8", "--precision is 'fp8': input should be 'fp32' or 'bf16'"),
        ("train vanilla --accelerator gpu", "accelerator is 'gpu'. Did you mean 'cpu'?"),
        ("train vanilla --devices 0", "--devices"),
        ("train vanilla --config absent.toml", "absent.toml cannot be read: No such file"),
        (
            "train vanilla --bogus 3",
            "There is no option --bogus. Components are given as --method, --net, --data",
        ),
        ("train vanilla --eps 3", "There is no option --eps."),
        ("train pat --method entm", "--method is given twice (pat and entm); give it once."),
        ("train vanilla --net lenet --net mlp", "--net is given twice; give it once."),
        (
            "train custom --method.perturb pgd --method.perturb.objective x",
            "--method.perturb.objective is 'x': there is no",
        ),
        ("train custom --method.perturb pgd --method.perturb.eps x", "--method.perturb.eps is 'x'"),
        ("train vanilla --modle x", "There is no option --modle."),
        ("train vanilla --nope", "There is no option --nope."),
        ("train vanilla --acelerator cpu", "Did you mean --accelerator?"),
        ("train vanilla --epochs 3", "There is no option --epochs. Did you mean --recipe.epochs?"),
        ("train pat --epsilon 0.1", "There is no option --epsilon. Did you mean --method.eps?"),
        ("train pat --alpha 0.1", "There is no option --alpha. Did you mean --method.step_size?"),
        ("train PAT --method.num_steps 3", "pat has no argument 'num_steps'. Did you mean 'steps'?"),
        ("train vanilla --store /dev/null/x", "a part of its path is a file"),
        ("train vanilla --out /dev/null/x.safetensors", "a file already exists at that path"),
        ("train vanilla --out /proc/x.safetensors", "choose another place"),
        ("train vanilla --out /tmp", "is a directory; give the name of a file"),
        ("attack pgd", "Which classifier? Give --model"),
        ("attack pgd --model 0123", "No key of a train artifact in"),
        ("attack pgd --model mymods:good", "Which data set? mymods:good does not say. Pass --data NAME."),
        ("measure --model good.pt2", "Which data set? good.pt2 does not say. Pass --data NAME."),
        ("attack pgd --model ../x", "../x does not exist"),
        ("attack pgd --model absent.safetensors", "absent.safetensors does not exist"),
        ("measure --model x.safetensors", "x.safetensors does not exist"),
        ("measure", "Which classifier?"),
        ("study run dmo", "Did you mean 'demo'?"),
        ("study run demo --size big", "'full' or 'smoke'"),
        ("study run demo --workers -1", "--workers"),
        ("study run demo --only plane", "demo has no chapters to choose from"),
        ("study run uta --size smoke --only plain", "Did you mean 'plane'?"),
        ("report uta --size smoke --only plane", "run: surefooted study run uta --size smoke --only plane"),
        ("study run demo --seeds x", "--seeds is 'x'"),
        ("study run demo --seeds 0", "--seeds is '0'"),
        ("study run demo --seedz 2", "There is no option --seedz of demo. Did you mean 'seeds'?"),
        ("study run uta --size smoke --seed 2", "There is no option --seed of uta. Did you mean 'seeds'?"),
        ("study run demo --seeds", "--seeds has no value"),
        ("study run demo seeds 2", "Unexpected 'seeds'"),
        ("report demo --size smoke --seeds 2", "run: surefooted study run demo --size smoke --seeds 2"),
        ("study run", "name"),
        ("study rnu", "rnu"),
        ("report dmo", "Did you mean 'demo'?"),
        ("report demo --size smoke", "run: surefooted study run demo"),
        ("list metod", "Did you mean 'methods'?"),
        ("list methods pgd", "There is no 'pgd' among the methods. Did you mean 'pgd_at'?"),
        ("lst", "lst"),
    ],
)
def test_bad_words(refused, words, said):
    given = words.split()
    if given[0] == "train":
        default = {"--net": "mlp", "--recipe.epochs": "1", "--accelerator": "cpu"}
        given += [word for option, value in default.items() if option not in given for word in (option, value)]
    assert said in refused(*given)


def test_a_data_root_that_is_not_there(refused, tmp_path):
    assert f"There is no '{tmp_path}/nowhere'" in refused("train", "vanilla", "--data-root", tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("`data.validation=0.1`", "--data.validation 0.1"),
        ("`data_root`", "--data-root"),
        ("`recipe.weight_decay`", "--recipe.weight_decay"),
        ("`temperature=halves`", "--temperature halves"),
        ("`data.path=my folder/d.npz`", "--data.path my folder/d.npz"),
        # Quoted text that is no argument of the command stays as it is.
        ("`model.eval()`", "`model.eval()`"),
        ("`torch.export`", "`torch.export`"),
        ("`surefooted train`", "`surefooted train`"),
        ("`batch`", "`batch`"),
        ("`DATA`", "`DATA`"),
        ("``", "``"),
    ],
)
def test_arguments_are_written_as_flags(message, shown):
    names = ["data", "data_root", "recipe", "split", "temperature"]
    assert with_flags(f"Set {message}, or {message}.", names) == f"Set {shown}, or {shown}."


def test_an_error_of_the_library_is_shown_with_flags_of_the_command(refused, monkeypatch):
    def fail(*_, **__):
        raise ArgumentError("Lower `recipe.lr` or set `data.validation=0.1`; `seeds` is unknown here.")

    monkeypatch.setattr("surefooted.pipeline.execute.execute", fail)
    shown = "Lower --recipe.lr or set --data.validation 0.1; `seeds` is unknown here."
    assert refused("train", "vanilla", *QUICK) == shown


def test_a_lost_worker_is_one_message(refused, monkeypatch):
    def fail(*_, **__):
        raise WorkerError("A worker process ended.")

    monkeypatch.setattr("surefooted.pipeline.execute.execute", fail)
    assert refused("train", "vanilla", *QUICK) == "A worker process ended."


def test_functions_take_few_arguments_by_position():
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    for module in vars(cli).values():
        if inspect.ismodule(module):
            for name, function in inspect.getmembers(module, inspect.isfunction):
                parameters = inspect.signature(function).parameters.values()
                assert sum(one.kind in kinds for one in parameters) <= 8, name


def test_all_faults_are_said_at_once(refused):
    words = ["--method.eps", "-1", "--method.stepz", "3", "--recipe.lr", "0", "--net.widht", "3", "--net", "mlp"]
    lines = refused("train", "pat", *words).splitlines()
    assert len(lines) == 4 and all(any(word in line for line in lines) for word in ("eps", "stepz", "lr", "widht"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("attack", "Which attack? Name one (surefooted list attacks)"),
        ("attack pdg", "Did you mean 'pgd'?"),
        ("attack pgd --attack.norm l3", "'linf' or 'l2'"),
        ("attack pgd --attack.eps -0.1", "--attack.eps is '-0.1'"),
        ("attack pgd --split tset", "--split is 'tset'; expected train, validation or test."),
        ("attack pgd --limit -5", "--limit"),
        ("attack pgd --data.test_limits 3", "digits has no argument 'test_limits'. Did you mean 'test_limit'?"),
        ("measure --metric ecee", "Did you mean 'ece'?"),
        ("measure --ece.bins 0", "--ece.bins is '0'"),
        ("attack autoattack --attack.version custom --attack.attacks apgd_ce", "expected a list. Write [apgd_ce]"),
        ("measure --ece.bin 5", "ece has no argument 'bin'. Did you mean 'bins'?"),
        ("measure --ece 5", "the options of a metric are written --ece.OPTION VALUE"),
        ("measure --metric ece --nll.bins 5", "There is no option --nll.bins"),
        ("measure --levels 100000", "--levels is 100000, but there are only 449 images"),
        ("measure --draws 0", "--draws"),
        ("measure --attack.eps 1", "Options for --attack were given (eps) without --attack itself; add --attack NAME."),
        ("measure --attack pgdd", "Did you mean 'pgd'?"),
        ("measure pgd", "Unexpected 'pgd'"),
        ("measure --against 0123", "No key of a train artifact in"),
        ("measure --ood digit", "Did you mean 'digits'?"),
        ("measure --ood.path x", "Options for --ood were given (path) without --ood itself"),
        ("measure --ood plane", "The images of --ood are (1, 1, 2), but the network reads (1, 8, 8)"),
    ],
)
def test_bad_words_about_a_network(refused, kept, words, said):
    root, task = kept
    before = sorted(root.rglob("*"))
    assert said in refused(*words.split(), "--model", task.key[:10], "--store", root, "--accelerator", "cpu")
    assert sorted(root.rglob("*")) == before


def test_a_file_without_data_asks_for_them(refused, kept, tmp_path):
    root, task = kept
    tensors, about = read_tensors(task.path(Store(root)) / "weights.safetensors")
    write_tensors(tmp_path / "w.safetensors", tensors, about | {"data": {"npz": {"path": "gone.npz"}}})
    words = ["--model", tmp_path / "w.safetensors", "--store", root, "--accelerator", "cpu"]
    assert "Name a data set with --data." in refused("attack", "fgsm", *words)
    assert "Name a data set with --data." in refused("measure", *words)


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
    _, task = kept
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
    (store.path("train", "aa22") / "spec.json").write_text(json.dumps(task.arguments()))
    assert "Another version of surefooted trained aa22" in refused("attack", "pgd", "--model", "aa22", *place)


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"x_train": np.zeros((40, 4, 4), np.uint8)}, "has no array 'y_train'"),
        ({"x_train": np.zeros((40, 4, 4), np.int32), "y_train": np.zeros(40, int)}, "x_train is int32; expected uint8"),
        ({"x_train": np.full((40, 4, 4), 7.0), "y_train": np.zeros(40, int)}, "floats from 7 to 7"),
        ({"x_train": np.full((40, 4, 4), np.nan), "y_train": np.zeros(40, int)}, "NaN or infinity in 40 image(s)"),
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
    root, task = kept
    np.savez(tmp_path / "d.npz", x_train=np.zeros((40, 4, 4), np.uint8), y_train=np.arange(40) % 3)
    words = ["--model", task.key, "--store", root, "--data", "npz", "--data.path", tmp_path / "d.npz"]
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
    words = ["--recipe.optimiser", "sgd", "--recipe.schedule", "steps", "--recipe.drops", "[[0, 1.0e+37]]"]
    text = refused("train", "vanilla", "--net", "mlp", "--recipe.epochs", "2", "--accelerator", "cpu", *words)
    assert "became nan in epoch 1, step 2, at learning rate 1e+34" in text and "--recipe.lr" in text
