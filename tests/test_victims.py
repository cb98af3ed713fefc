"""Several networks as one, and dropout left on, from the command line: the same numbers as in Python."""

import json
import sys

import numpy as np
import pytest
import torch
from shell import own_streams

import surefooted as sf
from surefooted import cli
from surefooted.cli.attack import task_of
from surefooted.cli.session import ModelChoice, Subset
from surefooted.core.files import read_tensors, write_tensors
from surefooted.errors import InputError
from surefooted.evaluation.metrics import accuracy
from surefooted.evaluation.metrics.uncertainty import mutual_information
from surefooted.models.ensembles import Ensemble
from surefooted.models.external import ModelOptions
from surefooted.pipeline.execute import execute
from surefooted.pipeline.lookup import find_victim
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import DeepEnsemble, MCDropout, TrainTask, UncertaintyTask, WeightsFile, train_task

CPU = Runtime("cpu", threads=1)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    store, net = Store(tmp_path_factory.mktemp("kept")), {"small_convnet": {"width": 4, "dropout": 0.2}}
    recipe = {"recipe": {"epochs": 3, "batch": 64}}
    tasks = [train_task("vanilla", net, {"digits": {"test_limit": 80}}, recipe, seed=seed) for seed in range(2)]
    execute(tasks, store, runtime=CPU, quiet=True)
    return store, tasks


@pytest.fixture
def document(kept, monkeypatch, capfd):
    """The JSON document of a command on the store."""

    def call(*words):
        place = ["--store", str(kept[0].root), "--accelerator", "cpu", "--json", "--quiet"]
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words), *place])
        capfd.readouterr()
        with own_streams(), pytest.raises(SystemExit):
            cli.main()
        return json.loads(capfd.readouterr().out)

    return call


def attack_on(victim, *words, data=None, surrogate=None):
    """The task of ``surefooted attack``."""
    chosen, proxy = (one and ModelChoice("", one, ModelOptions()) for one in (victim, surrogate))
    return task_of(chosen, list(words), {"data": data}, subset=Subset(), surrogate=proxy)


def test_an_ensemble_and_dropout_are_measured_and_attacked(kept, document):
    store, tasks = kept
    both = ",".join(one.key[:12] for one in tasks)
    said = document("measure", "--model", both, "--metric", "accuracy", "--draws", 10)
    data, whole = sf.digits(test_limit=80), Ensemble([one.load(store) for one in tasks])
    assert said["metrics"]["accuracy"]["value"] == pytest.approx(accuracy(sf.predict(whole, data.test)))
    for model in (both, f"{tasks[0].key[:12]}@3"):
        said = document("attack", "pgd", "--attack.eps", "0.1", "--model", model)
        assert said["n"] == 80 and said["robust_accuracy"]["value"] < 1
        flags = [flag["name"] for flag in said["flags"]]
        assert any("random" in flag for flag in flags) == ("@" in model)
    attacked = attack_on(find_victim(model, store), "pgd", "--attack.eps", "0.1")
    assert attacked.key == said["key"]
    again = sf.attack("pgd", attacked.victim.load(store), data.test, eps=0.1)
    assert torch.equal(attacked.result(store)["found"], again.found)


def test_uncertainty_is_that_of_the_samples(kept):
    store, tasks = kept
    both = find_victim(",".join(task.key[:12] for task in tasks), store)
    found = UncertaintyTask(both, limit=30)
    execute([found, alone := UncertaintyTask(tasks[0], limit=30)], store, runtime=CPU, quiet=True)
    data = sf.digits(test_limit=80).test.take(slice(0, 30))
    samples = [sf.predict(task.load(store), data).log_p for task in tasks]
    seen = found.result(store)
    assert seen.keys() - alone.result(store).keys() == {"expected_entropy", "mutual_information", "sample_variance"}
    torch.testing.assert_close(seen["mutual_information"], mutual_information(samples), atol=1e-6, rtol=1e-4)
    confidence, _ = sf.predict(both.load(store), data).top()
    torch.testing.assert_close(seen["max_probability"], 1 - confidence, atol=1e-6, rtol=1e-4)


def test_a_seed_draws_other_masks(kept, document):
    words = ["measure", "--model", f"{kept[1][0].key}@2", "--metric", "nll", "--draws", 9]
    values = [document(*words, "--seed", seed)["metrics"]["nll"]["value"] for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_networks_of_other_data_are_not_put_together(kept, document):
    store, tasks = kept
    other = train_task("vanilla", tasks[0].net, {"digits": {"test_limit": 80, "split_seed": 1}}, tasks[0].recipe)
    with pytest.raises(InputError, match="test images of one may be training images of the other"):
        DeepEnsemble((tasks[0], other))
    execute([other], store, runtime=CPU, quiet=True)
    said = document("measure", "--model", tasks[0].key, "--against", other.key, "--metric", "nll", "--draws", 9)
    assert "trained on different data" in said["error"]


def test_options_of_data_are_on_top_of_those_that_a_network_was_trained_with(kept):
    """A default of the split would put images that were trained on into the test."""
    _, tasks = kept
    made = attack_on(tasks[0], "pgd", "--data.test_limit", "30")
    assert len(made.images()) == 30 and made.data["digits"]["validation"] == tasks[0].data["digits"]["validation"]
    assert attack_on(tasks[0], "pgd", "--data.test_limit", "80").data is None
    assert attack_on(tasks[0], "pgd", data="digits").data is None
    other = attack_on(tasks[0], "pgd", "--data.split_seed", "1", data="digits")
    with pytest.raises(InputError, match=r"\d+ of these 80 images of the test split are training images"):
        other.images()


def test_weights_say_what_they_were_trained_on(kept, tmp_path):
    """Where the file says so and those data are here: they are no test, and need not be named."""
    store, tasks = kept
    file = tmp_path / "w.safetensors"
    file.write_bytes((store.path("train", tasks[0].key) / "weights.safetensors").read_bytes())
    weights = find_victim(str(file), store)
    assert weights.data == tasks[0].data
    assert torch.equal(attack_on(weights, "pgd").images().rows, sf.digits(test_limit=80).test.rows)
    other = attack_on(weights, "pgd", "--data.split_seed", "1", data="digits")
    with pytest.raises(InputError, match=r"\d+ of these 80 images of the test split are training images"):
        other.images()
    tensors, about = read_tensors(file)
    lies = [{"checksum": "0"}, {"data": {"npz": {"path": "d.npz"}}}, {"data": {"digits": 3}}, {"data": "digits"}]
    lies += [{"data": {"plane": {"examples": 10**20}}}, {"data": {"digits": {"validation": 7}}}]
    for lie in lies:
        write_tensors(file, tensors, about | lie)
        assert find_victim(str(file), store).data is None


def test_weights_of_data_in_a_file_know_the_split_of_that_file(tmp_path):
    """Where the user says where it lies: what lies there is what the weights were trained on, or it is not."""
    store, rng = Store(tmp_path / "store"), np.random.default_rng(0)
    np.savez(tmp_path / "d.npz", x_train=rng.integers(0, 256, (90, 4, 4), dtype=np.uint8), y_train=np.arange(90) % 3)
    data = {"npz": {"path": str(tmp_path / "d.npz")}}
    training = train_task("vanilla", {"mlp": {"width": 4}}, data, {"recipe": {"epochs": 1}})
    execute([training], store, runtime=CPU, quiet=True)
    weights = WeightsFile(training.path(store) / "weights.safetensors")
    assert weights.data is None and weights.split_of(training.data) == training.data
    words = ["fgsm", "--data.path", data["npz"]["path"]]
    assert len(attack_on(weights, *words, data="npz").images())
    words += ["--data.split_seed", "1"]
    with pytest.raises(InputError, match="images of the test split are training images"):
        attack_on(weights, *words, data="npz").images()


def test_a_proxy_of_another_data_set_is_refused(kept):
    _, tasks = kept
    net = {"mlp": {"width": 4}}
    foreign = train_task("vanilla", net, {"plane": {"examples": 80}}, {"recipe": {"epochs": 1}})
    split = train_task("vanilla", net, {"digits": {"split_seed": 1}}, {"recipe": {"epochs": 1}})
    with pytest.raises(InputError, match="Use a surrogate trained on the same data set"):
        attack_on(tasks[0], "pgd", surrogate=foreign)
    attack_on(tasks[0], "pgd", surrogate=split)


def test_what_several_samples_alone_tell_cannot_be_raised_on_one(kept):
    store, tasks = kept
    data, one, both = sf.digits(test_limit=8), tasks[0].load(store), Ensemble([task.load(store) for task in tasks])
    for objective in ("variance", "mutual_information"):
        with pytest.raises(InputError, match=f"{objective} is constant for a single prediction"):
            sf.attack("pgd", one, data.test, eps=0.1, objective=objective)
        sf.attack("pgd", both, data.test, eps=0.1, steps=2, objective=objective)


def test_what_a_model_may_be(kept, tmp_path):
    store, tasks = kept
    key = tasks[0].key
    assert isinstance(find_victim(key, store), TrainTask) and isinstance(find_victim(f"{key}@2", store), MCDropout)
    assert isinstance(find_victim(f"{key}, {tasks[1].key}", store), DeepEnsemble)
    assert isinstance(find_victim("some/weights.safetensors", store), WeightsFile)
    for model, said in (
        (f"{key}@0", "dropout masks"),
        (f"{key}@x", "dropout masks"),
        (f"{key},zz", "'zz' is no key of a stored network"),
    ):
        with pytest.raises(InputError, match=said):
            find_victim(model, store)
