"""Adapters, each against the real package. Those of a package that is not installed are skipped, and say so."""

import ast
import copy
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from learnt import learnt
from torch import nn

import surefooted as sf
from surefooted import adapters
from surefooted.core.packages import import_package
from surefooted.core.predictions import predictions_from_logits
from surefooted.errors import ArgumentError, DependencyError, ModelError
from surefooted.evaluation.adapters.shared import predictions_from_outputs, with_eps

FOLDER = Path(adapters.__file__).parent


def package(name: str):
    """The real package; a test whose package is missing, or needs another that is, is skipped and says which."""
    return pytest.importorskip(name, exc_type=ImportError)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return learnt(nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), 60).eval()


@pytest.fixture(scope="module")
def points():
    return sf.digits().test.points(slice(40))


@pytest.fixture(scope="module")
def logits(net, points):
    with torch.no_grad():
        return net(points.x)


def lines_of_code(file: Path) -> int:
    """Lines that are neither blank nor a comment nor part of a docstring."""
    text, told = file.read_text(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            told |= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(1 for number, line in lines if number not in told and line.strip() and line.strip()[0] != "#")


@pytest.mark.parametrize("score", [-0.1, 1.5, 3, float("nan")])
def test_one_score_per_example_is_a_probability(score):
    p = predictions_from_outputs([0.25, 1.0], [0, 1]).log_p.exp()
    assert p.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    with pytest.raises(ArgumentError, match=r"one score per example, not all in \[0, 1\]; expected probabilities"):
        predictions_from_outputs([0.5, score], [0, 1])


def test_an_adapter_has_at_most_sixty_lines():
    assert {file.name: lines_of_code(file) for file in FOLDER.glob("*.py") if lines_of_code(file) > 60} == {}


def test_a_missing_package_is_told_apart_from_a_broken_one(tmp_path, monkeypatch):
    with pytest.raises(
        DependencyError, match=r"An example needs the package no_one\. Install it: pip install no-one\."
    ):
        import_package("no_one", "An example", "no-one")
    (tmp_path / "broken_one.py").write_text("import no_one\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DependencyError, match="installed but broken"):
        import_package("broken_one", "An example", "broken-one")


# --- torchmetrics ---


def test_torchmetrics_computes_what_we_compute(logits, points):
    torchmetrics = package("torchmetrics")
    ours = torchmetrics.MetricCollection(
        {"ece": adapters.torchmetrics_metric("ece", bins=7), "acc": adapters.torchmetrics_metric("accuracy")}
    )
    for part in (slice(0, 13), slice(13, 40)):  # batches of different sizes: not a mean of means
        ours.update(logits[part], points.y[part])
    theirs = torchmetrics.classification.MulticlassCalibrationError(10, n_bins=7)
    theirs.update(logits, points.y)
    found = ours.compute()
    p = predictions_from_logits(logits, points.y)
    assert found["ece"].item() == pytest.approx(theirs.compute().item(), abs=1e-6)
    assert found["ece"].item() == pytest.approx(sf.metrics.ece(p, bins=7), abs=1e-6)
    assert found["acc"].item() == pytest.approx(sf.metrics.accuracy(p))
    assert ours["acc"].higher_is_better is True and ours["ece"].higher_is_better is False


def test_a_torchmetrics_metric_lives_as_one(logits, points):
    torchmetrics = package("torchmetrics")
    metric = adapters.torchmetrics_metric("nll", sync_on_compute=False)
    assert isinstance(metric, torchmetrics.Metric) and metric.sync_on_compute is False
    metric.update(logits.softmax(1), points.y)
    value = metric.compute()
    for twin in (copy.deepcopy(metric), metric.clone(), pickle.loads(pickle.dumps(metric))):
        assert twin.compute() == value
        twin.reset()
        twin.update(logits[:5], points.y[:5])
        assert twin.compute() != value
    gathered = adapters.torchmetrics_metric("nll")
    gathered.preds, gathered.target = torch.cat([logits[:9], logits[9:]]), points.y  # as synchronisation leaves them
    gathered._update_count = 1
    assert gathered.compute() == pytest.approx(value.item(), abs=1e-6)


# --- foolbox ---


def test_foolbox_attacks_with_a_radius(net, points):
    fb = package("foolbox")
    fmodel = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")
    epsilons = [0.0, 0.05, 0.2]
    attack = adapters.foolbox_attack(sf.attacks.pgd(steps=5))
    _, clipped, is_adv = attack(fmodel, points.x, points.y, epsilons=epsilons)
    assert isinstance(attack, fb.attacks.base.FixedEpsilonAttack) and is_adv.shape == (3, 40)
    for eps, x, found in zip(epsilons, clipped, is_adv):
        own = sf.attacks.pgd(eps=eps, steps=5)(net, points.x, points.y, seed=epsilons.index(eps))
        assert found.equal(own.found)
        assert float((x - points.x).abs().max()) <= eps + 1e-6
    theirs = fb.attacks.LinfPGD(steps=5, rel_stepsize=0.5)(fmodel, points.x, points.y, epsilons=0.05)[2]
    assert abs(int(is_adv[1].sum()) - int(theirs.sum())) <= 1
    one, _, found = attack(fmodel, points.x, fb.criteria.Misclassification(points.y), epsilons=0.05)
    assert one.shape == points.x.shape and found.shape == (40,)
    assert attack.repeat(2)(fmodel, points.x, points.y, epsilons=0.05)[2].sum() >= found.sum()


def test_foolbox_attacks_of_minimal_norm(net, points):
    fb = package("foolbox")
    fmodel = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")
    attack = adapters.foolbox_attack(sf.attacks.fmn(norm="l2", steps=30))
    _, clipped, is_adv = attack(fmodel, points.x, points.y, epsilons=[None, 0.5])
    own = sf.attacks.fmn(norm="l2", steps=30)(net, points.x, points.y)
    assert isinstance(attack, fb.attacks.base.MinimizationAttack) and is_adv[0].equal(own.found)
    assert is_adv[1].sum() <= is_adv[0].sum() and clipped[0].equal(own.x)


def test_foolbox_bounds_are_the_models_own(net, points):
    fb = package("foolbox")

    class Wide(nn.Module):
        def forward(self, x):
            return net((x + 1) / 2)

    fmodel = fb.PyTorchModel(Wide().eval(), bounds=(-1, 1), device="cpu")
    attack = adapters.foolbox_attack(sf.attacks.pgd(steps=5))
    _, clipped, is_adv = attack(fmodel, 2 * points.x - 1, points.y, epsilons=0.2)
    assert abs(int(is_adv.sum()) - int(sf.attacks.pgd(eps=0.1, steps=5)(net, points).found.sum())) <= 1
    assert 0.15 < float((clipped - (2 * points.x - 1)).abs().max()) <= 0.2 + 1e-6


def test_foolbox_targets_are_refused(net, points):
    fb = package("foolbox")
    fmodel = fb.PyTorchModel(net, bounds=(0, 1), device="cpu")
    with pytest.raises(ArgumentError, match="untargeted"):
        adapters.foolbox_attack(sf.attacks.pgd())(
            fmodel, points.x, fb.criteria.TargetedMisclassification(points.y), epsilons=0.1
        )


# --- adversarial-library and AttackBench ---


def test_the_convention_of_adversarial_library(net, points):
    attack = adapters.adv_lib_attack(sf.attacks.pgd(eps=0.05, steps=5))
    adversarial = attack(net, points.x, points.y, targeted=False)
    assert adversarial.equal(sf.attacks.pgd(eps=0.05, steps=5)(net, points.x, points.y).x)
    wide = attack(model=net, inputs=points.x, labels=points.y, ε=0.3)
    assert 0.2 < float((wide - points.x).abs().max()) <= 0.3 + 1e-6
    with pytest.raises(ArgumentError, match="`targeted` is True"):
        attack(net, points.x, points.y, targeted=True)
    with pytest.raises(ArgumentError, match="`steps` is no argument"):
        attack(net, points.x, points.y, steps=3)


def test_adversarial_library_finds_as_much(net, points):
    pgd_linf = package("adv_lib.attacks.projected_gradient_descent").pgd_linf
    theirs = pgd_linf(net, points.x, points.y, 0.05, steps=20, random_init=False, relative_step_size=0.1)
    ours = adapters.adv_lib_attack(sf.attacks.pgd(eps=0.05, steps=20))(net, points.x, points.y)
    broken = [(net(x).argmax(1) != points.y).sum().item() for x in (theirs, ours)]
    assert abs(broken[0] - broken[1]) <= 1


def test_attackbench_runs_our_attack(net, points):
    bench = package("attackbench")
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(points.x[:20], points.y[:20]), batch_size=10)
    attack = adapters.attackbench_attack(sf.attacks.fmn(norm="l2", steps=20))
    found = bench.run_attack(copy.deepcopy(net), loader, attack, "l2", device=torch.device("cpu"), debug=True)
    own = sf.attacks.fmn(norm="l2", steps=20)(net, points.take(slice(20)))
    assert found["adv_success"] == own.found.tolist() and not any(found["box_failures"])
    smallest = torch.tensor(found["distances"]["l2"])
    assert (smallest <= own.distance + 1e-5).all() and max(found["num_forwards"]) < 2000


def test_the_convention_of_attackbench(net, points):
    attack = adapters.attackbench_attack(sf.attacks.ddn(steps=5))
    given = {"model": net, "inputs": points.x, "labels": points.y, "targeted": False, "targets": None}
    assert attack(**given, threat_model="l2").shape == points.x.shape
    assert (attack.__name__, attack._attackbench_name, attack._attackbench_lib) == ("ddn", "ddn", "surefooted")
    with pytest.raises(ArgumentError, match="`threat_model` is 'linf', but the attack's norm is 'l2'"):
        attack(**given, threat_model="linf")


def test_another_radius_takes_its_own_step():
    assert with_eps(sf.attacks.pgd(eps=0.1, objective="dlr"), 0.2).spec == sf.attacks.pgd(eps=0.2, objective="dlr").spec


# --- RobustBench ---


def test_models_of_robustbench(net, monkeypatch):
    """The real package needs autoattack, which is not on PyPI: its function is replaced by one that is called alike."""
    asked = []

    def load_model(
        model_name, model_dir="./models", dataset="cifar10", threat_model="Linf", custom_checkpoint="", norm=None
    ):
        asked.append((model_name, model_dir, dataset, threat_model))
        return {"Rice2020Overfitting": net}[model_name]

    for module in ("robustbench", "robustbench.utils"):
        stand_in = ModuleType(module)
        vars(stand_in).update(load_model=load_model, __path__=[])
        monkeypatch.setitem(sys.modules, module, stand_in)
    load = adapters.RobustBenchLoader("cifar10", "L2", Path("zoo"))
    assert load("Rice2020Overfitting") is net and asked == [("Rice2020Overfitting", "zoo", "cifar10", "L2")]
    with pytest.raises(ModelError, match="RobustBench cannot load 'Nobody2020'"):
        load("Nobody2020")


def test_the_model_zoo_of_robustbench(tmp_path):
    zoo = package("robustbench.model_zoo.cifar10")
    torch.manual_seed(0)
    model = zoo.linf["Wong2020Fast"]["model"]()
    (tmp_path / "cifar10/Linf").mkdir(parents=True)
    torch.save(model.state_dict(), tmp_path / "cifar10/Linf/Wong2020Fast.pt")  # where RobustBench looks before it loads
    net = adapters.RobustBenchLoader("cifar10", "Linf", tmp_path)("Wong2020Fast")
    x = torch.rand(2, 3, 32, 32)
    assert not net.training and sf.predict(net, (x, torch.tensor([0, 1]))).log_p.equal(model.eval()(x).log_softmax(1))
    with pytest.raises(ModelError, match=r"RobustBench cannot load 'Nobody2020' .*KeyError"):
        adapters.RobustBenchLoader()("Nobody2020")


def test_a_result_in_robustbenchs_format():
    """The entries of github.com/RobustBench/robustbench, model_info/cifar10/Linf/Rice2020Overfitting.json."""
    shares = [{"value": value} for value in (0.8534, 0.5342, 0.53)]
    numbers = {"norm": "linf", "eps": 8 / 255, "budget": "full", "calibration": {"clean": {"accuracy": shares[0]}}}
    headline = {"suite_robust_accuracy": shares[1], "robust_accuracy": shares[2]}
    numbers["headline"] = headline | {"suite": "AutoAttack (full)"}
    stated = {
        "link": "https://arxiv.org/abs/2002.11569",
        "name": "Overfitting in adversarially robust deep learning",
        "authors": "Leslie Rice, Eric Wong, J. Zico Kolter",
        "additional_data": False,
        "number_forward_passes": 1,
        "venue": "ICML 2020",
        "architecture": "WideResNet-34-20",
        "reported": "58",
    }
    evaluated = {"dataset": "cifar10", "eps": "8/255", "clean_acc": "85.34", "autoattack_acc": "53.42"}
    assert adapters.robustbench_record(numbers, "cifar10", **stated) == stated | evaluated
    quick = adapters.robustbench_record(numbers | {"budget": "quick", "norm": "l2", "eps": 0.5}, "cifar10")
    assert (quick["eps"], quick["external"]) == ("0.5", "53.00") and "autoattack_acc" not in quick
    black_box = adapters.robustbench_record(numbers | {"headline": headline | {"suite": "Square"}}, "cifar10")
    assert black_box["external"] == "53.00" and "autoattack_acc" not in black_box
    with pytest.raises(ArgumentError, match="`title` is no entry"):
        adapters.robustbench_record(numbers, "cifar10", title="x")


# --- MAITE ---


def parts_of_maite(net):
    data = adapters.MaiteDataset(sf.digits(test_limit=40), "digits")
    return data, adapters.MaiteModel(net, data.images.classes, "mlp"), adapters.MaiteMetric(["accuracy", "ece"])


def test_maites_protocols_are_satisfied(net):
    protocols = package("maite.protocols.image_classification")
    data, model, metric = parts_of_maite(net)
    attack = adapters.MaiteAttack({"pgd": {"eps": 0.1, "steps": 3}}, net)
    fog = adapters.MaiteCorruption("fog")
    assert isinstance(data, protocols.Dataset) and isinstance(model, protocols.Model)
    assert isinstance(metric, protocols.Metric) and isinstance(attack, protocols.Augmentation)
    assert isinstance(fog, protocols.Augmentation)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_maite_evaluates_as_we_do(net):
    tasks = package("maite.tasks")
    data, model, metric = parts_of_maite(net)
    found = tasks.evaluate(model=model, dataset=data, metric=metric, batch_size=7)[0]
    own = sf.measure(sf.predict(net, sf.digits(test_limit=40).test), ["accuracy", "ece"])
    assert found["accuracy"] == own["accuracy"].value and found["ece"] == pytest.approx(own["ece"].value, abs=1e-6)
    assert found["accuracy_low"] == own["accuracy"].low
    attack = adapters.MaiteAttack(sf.attacks.pgd(eps=0.1, steps=3), net)
    under = tasks.evaluate(model=model, dataset=data, metric=metric, augmentation=attack, batch_size=7)[0]
    robust = sf.attacks.pgd(eps=0.1, steps=3)(net, sf.digits(test_limit=40).test).robust_accuracy
    assert under["accuracy"] == pytest.approx(robust.value)  # rows key the draws, so batches do not matter


def test_maites_parts_without_maite(net):
    data, model, metric = parts_of_maite(net)
    images, labels, metadata = zip(*(data[k] for k in range(4)))
    metric.update(model([image.numpy() for image in images]), labels, metadata)
    assert metric.compute()["accuracy_high"] <= 1
    metric.reset()
    fog = adapters.MaiteCorruption({"gaussian_noise": {"severity": 3}})
    large = [torch.rand(3, 32, 32) for _ in range(2)]
    together = fog((large, labels[:2], [{"id": "a"}, {"id": 5}]))[0]
    assert together[1].equal(fog((large[1:], labels[1:2], [{"id": 5}]))[0][0])
    with pytest.raises(IndexError):
        data[40]


# --- scikit-learn ---


def test_scikit_learn_scores():
    from sklearn.datasets import load_iris
    from sklearn.metrics import brier_score_loss, log_loss, make_scorer
    from sklearn.model_selection import cross_validate
    from sklearn.naive_bayes import GaussianNB

    x, y = load_iris(return_X_y=True)
    names = np.array(["setosa", "versicolor", "virginica"])[y]
    estimator = GaussianNB().fit(x, names)
    found = cross_validate(
        GaussianNB(), x, names, cv=3, scoring={n: adapters.sklearn_scorer(n) for n in ("nll", "ece")}
    )
    theirs = cross_validate(GaussianNB(), x, names, cv=3, scoring="neg_log_loss")
    assert found["test_nll"] == pytest.approx(theirs["test_score"], rel=1e-4)
    scorer = make_scorer(adapters.sklearn_score, response_method="predict_proba", greater_is_better=False, metric="nll")
    assert scorer(estimator, x, names) == pytest.approx(-log_loss(names, estimator.predict_proba(x)), rel=1e-4)
    two = GaussianNB().fit(x[:100, :1], y[:100])
    probabilities = two.predict_proba(x[:100, :1])[:, 1]
    assert adapters.sklearn_score(y[:100], probabilities, metric="brier") == pytest.approx(
        2 * brier_score_loss(y[:100], probabilities)
    )
    with pytest.raises(ArgumentError, match="cannot rank"):
        adapters.sklearn_scorer("confidence")
    with pytest.raises(ArgumentError, match="unclear which label is which"):
        adapters.sklearn_score(["a", "b", "a"], estimator.predict_proba(x[:3]))


def test_a_network_as_a_classifier_of_scikit_learn(net, points, logits):
    from sklearn.base import clone
    from sklearn.metrics import get_scorer

    table, names = points.x.flatten(1).numpy(), [f"digit {k}" for k in range(10)]
    classifier = clone(adapters.NetworkClassifier(net, names, shape=(1, 8, 8)))
    y = np.array(names)[points.y]
    assert classifier.predict_proba(table) == pytest.approx(logits.softmax(1).numpy(), abs=1e-6)
    assert classifier.score(table, y) == sf.metrics.accuracy(predictions_from_logits(logits, points.y))
    assert get_scorer("accuracy")(classifier, table, y) == classifier.score(table, y)
    ece = sf.metrics.ece(predictions_from_logits(logits, points.y))
    assert adapters.sklearn_scorer("ece")(classifier, table, y) == pytest.approx(-ece, abs=1e-6)
    backwards = adapters.NetworkClassifier(net, names[::-1], shape=(1, 8, 8))  # its classes are not sorted
    y = np.array(names[::-1])[points.y]
    assert adapters.sklearn_scorer("ece")(backwards, table, y) == pytest.approx(-ece, abs=1e-6)
    for wrong in ("digit 55", "zero"):  # between the classes, and after them
        with pytest.raises(ArgumentError, match=f"`y` has the label '{wrong}', which is no class of the estimator"):
            adapters.sklearn_scorer("ece")(classifier, table, [wrong, *y[1:]])


# --- Hugging Face evaluate ---


def test_evaluate_computes_what_we_compute(logits, points, tmp_path, monkeypatch):
    package("datasets")
    evaluate = package("evaluate")
    monkeypatch.setattr(evaluate.config, "HF_METRICS_CACHE", str(tmp_path))
    p = predictions_from_logits(logits, points.y)
    ece = adapters.evaluate_metric("ece", bins=7)
    assert isinstance(ece, evaluate.Metric)
    found = ece.compute(predictions=logits.numpy(), references=points.y.numpy())
    assert found == {"ece": pytest.approx(sf.metrics.ece(p, bins=7), abs=1e-6)}
    for part in (slice(0, 13), slice(13, 40)):
        ece.add_batch(predictions=logits[part].softmax(1).tolist(), references=points.y[part].tolist())
    assert ece.compute() == {"ece": pytest.approx(found["ece"], abs=1e-6)}
    both = evaluate.combine([adapters.evaluate_metric("nll"), adapters.evaluate_metric("accuracy")])
    assert both.compute(predictions=logits.numpy(), references=points.y.numpy())["nll"] == pytest.approx(
        sf.metrics.nll(p)
    )
