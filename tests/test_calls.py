"""Calls as other libraries write them: understood, or answered with the right spelling, and never with a traceback."""

import inspect
from typing import Literal

import numpy as np
import pytest
import torch

import surefooted as sf
from surefooted.components.component import component
from surefooted.components.spec import KINDS, complete, names, resolve
from surefooted.components.spelling import ARGUMENTS, COMPONENTS, VALUES, _plain, understand
from surefooted.core.types import Points
from surefooted.errors import ArgumentError, DataError, InputError
from surefooted.evaluation.metrics.robustness import robust_accuracy

torch.manual_seed(0)
NET = sf.nets.mlp((1, 8, 8), 10)
POINTS = Points(torch.rand(12, 1, 8, 8), torch.arange(12) % 10, torch.arange(12))
PGD = sf.attacks.pgd(eps=0.1, steps=2)
X, Y, _ = POINTS

FORMS = {
    "points": (POINTS,),
    "tensors": (X, Y),
    "a pair": ((X, Y),),
    "NumPy": (X.numpy(), Y.numpy()),
    "float64": (X.numpy().astype(float), Y.numpy().astype(np.int32)),
    "lists": (X.tolist(), Y.tolist()),
    "lists of tensors": (list(X), list(Y)),
    "points of NumPy": (Points(X.numpy(), Y.numpy(), np.arange(12)),),
    "with gradient": (X.clone().requires_grad_(), Y),
    "a data set": (sf.arrays(X, Y, names=10),),
    "a split": (sf.arrays(X, Y, names=10).test,),
}


@pytest.mark.parametrize("given", FORMS.values(), ids=FORMS)
def test_an_attack_takes_images_and_labels_in_any_form(given):
    expected = PGD(NET, POINTS)
    assert all(a.equal(b) for a, b in zip(PGD(NET, *given), expected))
    assert sf.attack("pgd", NET, *given, eps=0.1, steps=2).found.equal(expected.found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((X,), r"The labels are missing: call attack\(model, x, y\)"),
        ((X.numpy(),), "The labels are missing"),
        (((X * 255).byte(), Y), "Divide it by 255"),
        ((X * 255, Y), "divide by 255"),
        ((X, Y.float()), "expected a whole number for each of 12 images"),
        ((X, Y[:3]), "expected a whole number for each of 12 images"),
        ((X, torch.eye(10)[Y]), "expected a whole number"),
        ((POINTS, Y), "have labels of their own"),
        ((None,), "Expected Images"),
        (("digits",), "Expected Images"),
        (("digits", Y), "`x` is 'digits'"),
        ((X[0, 0, 0, 0], Y), "expected a float tensor"),
        ((X, Y + 10), "Labels range from 10"),
    ],
)
def test_what_is_no_images_with_labels_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        PGD(NET, *given)


def test_the_robust_accuracy_of_a_result_is_an_interval():
    result = PGD(NET, X, Y)
    assert isinstance(result.robust_accuracy, sf.Interval)
    assert result.robust_accuracy == robust_accuracy(result.found)


@pytest.mark.parametrize("norm", ["Linf", "L_inf", "l-inf", "LINF", "inf", np.inf, "L∞"])
def test_norms_are_understood(norm):
    assert sf.attacks.pgd(norm=norm).spec == sf.attacks.pgd().spec
    assert complete("attack", {"pgd": {"norm": norm}}) == complete("attack", "pgd")


@pytest.mark.parametrize("norm", ["L2", "l_2", 2, 2.0, "2", "euclidean"])
def test_the_euclidean_norm_is_understood(norm):
    assert sf.attacks.pgd(norm=norm).spec == sf.attacks.pgd(norm="l2").spec


def test_names_in_other_spellings_are_understood_and_keep_their_keys():
    assert complete("attack", "PGD") == complete("attack", "pgd")
    assert complete("method", "Trades") == complete("method", "trades")
    assert resolve("network", "WideResNet28-10") is sf.nets.wide_resnet28_10
    assert resolve("data", "CIFAR-10") is sf.cifar10
    assert sf.attacks.pgd(objective="DLR", start="Clean").spec == sf.attacks.pgd(objective="dlr", start="clean").spec
    assert sf.measure((torch.eye(3) * 2, [0, 1, 2]), "ECE", draws=5).keys() == {"ECE"}


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_names_of_a_kind_are_alike(kind):
    """Else neither would be understood in another spelling."""
    known = names(kind)
    assert len({_plain(name) for name in known}) == len(known)
    assert all(understand(name.upper(), known) == name for name in known)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: sf.attack("pgd", NET, X, Y, epsilon=0.1), "pgd has no argument 'epsilon'. Did you mean 'eps'?"),
        (lambda: sf.attacks.pgd(alpha=0.1), "pgd has no argument 'alpha'. Did you mean 'step_size'?"),
        (lambda: sf.attacks.pgd(num_steps=4), "pgd has no argument 'num_steps'. Did you mean 'steps'?"),
        (lambda: sf.attacks.pgd(nb_iter=4), "pgd has no argument 'nb_iter'. Did you mean 'steps'?"),
        (lambda: sf.attacks.square(n_iter=4), "square has no argument 'n_iter'. Did you mean 'queries'?"),
        (lambda: sf.attacks.pgd(Linf=0.1), "pgd has no argument 'Linf'. Did you mean 'norm'?"),
        (lambda: sf.attacks.pgd(loss_fn="dlr"), "pgd has no argument 'loss_fn'. Did you mean 'objective'?"),
        (
            lambda: sf.attack("pgd", NET, X, Y, batch_size=5),
            "attack has no argument 'batch_size'. Did you mean 'batch'?",
        ),
        (lambda: sf.attack("pgd", NET, X, labels=Y), "attack has no argument 'labels'. Did you mean 'y'?"),
        (lambda: sf.attack("BIM", NET, X, Y), "There is no 'BIM' among the attacks. Did you mean 'pgd'?"),
        (lambda: sf.attack("CW", NET, X, Y), "Did you mean 'carlini_wagner'?"),
        (lambda: sf.measure((X.flatten(1)[:, :3], Y % 3), "MCE"), "Did you mean 'max_calibration_error'?"),
        (
            lambda: sf.metrics.ece(sf.predict(NET, (X, Y)), n_bins=5),
            "ece has no argument 'n_bins'. Did you mean 'bins'?",
        ),
        (lambda: sf.audit(NET, "digits", epsilon=0.1), "no argument 'epsilon'. Did you mean 'eps'?"),
        (lambda: sf.attacks.pgd(norm="L1"), "pgd: norm = 'L1': input should be 'linf' or 'l2'."),
    ],
)
def test_other_names_are_answered_with_the_right_spelling(call, message):
    with pytest.raises(ArgumentError) as error:
        call()
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PGD", "Did you mean 'pgd'?"),
        ("ECE", "Did you mean 'metrics.ece'?"),
        ("Linf", "A norm is an argument: norm='linf'."),
        ("CrossEntropy", "Did you mean 'scores.cross_entropy'?"),
        ("__wrapped__", "has no attribute '__wrapped__'."),
    ],
)
def test_names_of_the_package_in_other_spellings(name, hint):
    with pytest.raises(AttributeError) as error:
        getattr(sf, name)
    assert str(error.value).endswith(hint)


def test_words_of_the_tables_name_what_exists():
    """A suggestion must not point to what has been renamed."""
    options = {
        argument
        for kind in KINDS
        for name in names(kind)
        for argument in inspect.signature(resolve(kind, name)).parameters
    }
    assert ARGUMENTS.keys() - options <= {"y", "limit", "level"}  # of attack, audit and measure themselves
    for kind, words in COMPONENTS.items():
        assert words.keys() <= set(names(kind))
    assert VALUES.keys() == {"linf", "l2"}


def test_choices_are_respelt_in_any_component():
    @component
    def one(*, mode: Literal["Fast", "slow_one"] | None = None):
        return lambda: None

    assert (
        one(mode="SLOW-ONE").spec.arguments == {"mode": "slow_one"}
        and one(mode="fast").spec.arguments["mode"] == "Fast"
    )
    with pytest.raises(ArgumentError, match="one: mode = 'medium'"):
        one(mode="medium")


def test_predictions_and_metrics_never_end_in_a_traceback():
    for given in (X, X.numpy(), (X.numpy(),), {"x": X}, 3):
        with pytest.raises(InputError):
            sf.predict(NET, given)
    assert len(sf.predict(NET, (X.numpy(), Y.numpy())).y) == 12
    with pytest.raises(DataError, match="one label per image"):
        sf.predict(NET, (X.numpy(), Y.numpy()[:5]))
