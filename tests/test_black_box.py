"""Black boxes and models with other outputs: what they return is read, or refused with a reason."""

import numpy as np
import pytest
import torch
from torch import nn

import surefooted as sf
from surefooted import attacks
from surefooted.attacks.base import GRADIENT_FREE
from surefooted.components.spec import build
from surefooted.errors import ArgumentError, ModelError, Notice
from surefooted.models.external import ExternalModel, InMemoryModel
from surefooted.models.external.io_adapter import OUTPUTS

SHAPE, CLASSES = (1, 4, 4), 3
WEIGHTS = np.random.default_rng(0).normal(size=(16, CLASSES)).astype(np.float32)


def logits(x):
    return x.reshape(len(x), -1) @ WEIGHTS


def log_probabilities(x):
    z = logits(x)
    return z - np.log(np.exp(z).sum(1, keepdims=True))


BOXES = {
    "logits": logits,
    "log_probabilities": log_probabilities,
    "probabilities": lambda x: np.exp(log_probabilities(x)),
    "labels": lambda x: logits(x).argmax(1),
}


@pytest.fixture(scope="module")
def points():
    torch.manual_seed(0)
    x = torch.rand(12, *SHAPE)
    return sf.Points(x, torch.from_numpy(logits(x.numpy()).argmax(1)), torch.arange(12))


@pytest.mark.parametrize("outputs", BOXES)
def test_outputs_have_one_meaning(outputs, points):
    p = sf.predict(sf.blackbox(BOXES[outputs], CLASSES, outputs), points)
    expected = sf.predict(sf.blackbox(logits, CLASSES, "logits"), points).log_p
    assert torch.equal(p.log_p.argmax(1), points.y)
    if outputs == "labels":
        expected = nn.functional.one_hot(points.y, CLASSES).float().clamp_min(1e-30).log()
    torch.testing.assert_close(p.log_p, expected)


def test_one_output_of_a_binary_classifier(points):
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 1))
    binary = points._replace(y=points.y.clamp_max(1))
    p = net(points.x)[:, 0].sigmoid().detach()
    for model, outputs in ((net, "sigmoid"), (nn.Sequential(net, nn.Sigmoid()), "probabilities")):
        for flat in (model, nn.Sequential(model, nn.Flatten(0))):  # (n, 1) and (n,)
            found = sf.predict(sf.classifier(flat, binary, outputs=outputs), binary).log_p.exp()
            torch.testing.assert_close(found, torch.stack([1 - p, p], 1))
            with pytest.raises(ModelError, match=r"`outputs=sigmoid`.*`outputs=probabilities`"):
                sf.predict(flat, binary)


def test_arrays_have_the_layout_and_type_that_was_asked_for(points):
    seen = {}

    def remember(x):
        seen[x.shape[1:], x.dtype.name] = x
        return np.zeros(len(x), int)

    x = torch.rand(3, 2, 4, 5)
    for layout in ("nchw", "nhwc", "flat"):
        for pixels in ("float32", "uint8"):
            sf.blackbox(remember, 2, "labels", layout=layout, pixels=pixels)(x)
    assert set(seen) == {(s, t) for s in ((2, 4, 5), (4, 5, 2), (40,)) for t in ("float32", "uint8")}
    assert np.array_equal(seen[(4, 5, 2), "float32"], x.permute(0, 2, 3, 1).numpy())
    assert np.array_equal(seen[(40,), "uint8"], (x * 255).round().flatten(1).to(torch.uint8).numpy())


def test_a_callable_gets_memory_of_its_own_and_small_batches(points):
    sizes = []

    def greedy(x):
        sizes.append(len(x))
        x *= 0  # writes to its input
        return np.tile([0.7, 0.2, 0.1], (len(x), 1))

    before = points.x.clone()
    sf.predict(sf.blackbox(greedy, CLASSES, batch=5), points)
    assert torch.equal(points.x, before) and sizes == [5, 5, 2]


def fail(x):
    raise ConnectionError("no route to host")


FAULTS = {
    "exception": (fail, "probabilities", r"failed on 12 images .*ConnectionError: no route to host"),
    "rows": (lambda x: BOXES["probabilities"](x)[:-1], "probabilities", r"shape \(11, 3\) for 12 images"),
    "classes": (lambda x: np.ones((len(x), 4)) / 4, "probabilities", r"4 numbers per image; expected 3"),
    "words": (lambda x: ["cat"] * len(x), "labels", r"no array of numbers"),
    "none": (lambda x: None, "probabilities", r"no array of numbers"),
    "scores as labels": (logits, "labels", r"`outputs=labels`, expected one label per image"),
    "label": (lambda x: np.full(len(x), 3), "labels", r"label 3; expected whole numbers from 0 to 2"),
    "fraction": (lambda x: np.full(len(x), 0.5), "labels", r"label 0.5; expected whole numbers"),
    "label rows": (lambda x: np.zeros(len(x) - 1), "labels", r"shape \(11,\) for 12 images"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_answers_are_refused(fault, points):
    function, outputs, message = FAULTS[fault]
    with pytest.raises(ModelError, match=message):
        sf.predict(sf.blackbox(function, CLASSES, outputs), points)


@pytest.mark.parametrize("outputs", ["probabilities", "labels"])
def test_an_answer_that_is_no_number_is_no_answer(outputs, points):
    def partly(x):
        out = BOXES[outputs](x).astype(float)
        out[:2] = np.nan
        return out

    with pytest.warns(Notice, match="NaN"):
        assert sf.predict(sf.blackbox(partly, CLASSES, outputs), points).log_p[:2].isnan().all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"outputs": "scores"}, "`outputs` is 'scores'; expected logits, "),
        ({"layout": "chw"}, "`layout` is 'chw'; expected nchw, nhwc or flat"),
        ({"pixels": "int"}, "`pixels` is 'int'; expected float32 or uint8"),
        ({"classes": 1}, "`classes` is 1"),
    ],
)
def test_impossible_black_boxes_are_refused(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        sf.blackbox(**{"function": logits, "classes": 3} | arguments)


def test_attacks_that_need_gradients_name_those_that_do_not(points):
    box = sf.blackbox(logits, CLASSES, "logits")
    free = {name for name in attacks.__all__ if name not in ("worst_of",) and _is_free(build("attack", name))}
    assert free == {"hop_skip_jump", "random_search", "square"} and all(name in GRADIENT_FREE for name in free)
    for victim in (box, nn.Sequential(box), nn.Sequential(nn.Identity(), box)):
        with pytest.raises(ModelError, match=r"pgd needs gradients, and a black box.*hop_skip_jump"):
            attacks.pgd()(victim, points)
    assert attacks.square(eps=0.3, queries=40)(box, points).found.any()


def _is_free(attack):
    return attack.passes == attack.gradient_free


def test_keys_belong_to_what_a_callable_uses():
    def box(weights, classes=CLASSES, outputs="labels"):
        return InMemoryModel(
            sf.blackbox(lambda x: (x.reshape(len(x), -1) @ weights).argmax(1), classes, outputs), SHAPE
        )

    class Stored:
        def __init__(self, weights):
            self.weights = weights

        def predict(self, x):
            return (x.reshape(len(x), -1) @ self.weights).argmax(1)

    nearly = WEIGHTS * 1.0001  # the same labels
    assert box(WEIGHTS).key == box(WEIGHTS.copy()).key != box(nearly).key
    bound, other = (InMemoryModel(sf.blackbox(Stored(w).predict, CLASSES, "labels"), SHAPE) for w in (WEIGHTS, nearly))
    assert bound.key != other.key and bound.labels_only and not bound.differentiable


MODULE = """
import numpy as np
from torch import nn
import torch
def answer(x):
    return np.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1)
def give():
    return answer
def two(x, y):
    return x
def one_logit():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    (tmp_path / "their_boxes.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return "their_boxes"


def test_a_function_of_images_is_a_black_box_once_its_outputs_are_named(module):
    names = ("dark", "bright")
    for function in ("answer", "give"):
        model = ExternalModel(f"{module}:{function}", (1, 8, 8), outputs="probabilities", classes=names)
        assert not model.differentiable and model.load()(torch.zeros(2, 1, 8, 8)).argmax(1).tolist() == [1, 1]
        with pytest.raises(ModelError, match=r"black box.* say what it returns: `outputs=probabilities`"):
            ExternalModel(f"{module}:{function}", (1, 8, 8), classes=names).load()
    with pytest.raises(ModelError, match=r"needs arguments \(x, y\)"):
        ExternalModel(f"{module}:two", (1, 8, 8), outputs="labels", classes=names).load()


def test_names_stand_for_classifiers_in_python(module):
    x, y = torch.rand(10, 1, 8, 8), torch.arange(10) % 2
    one = f"{module}:one_logit"
    with pytest.raises(ModelError, match=r"`outputs=sigmoid`"):
        sf.predict(one, (x, y))
    net = sf.classifier(one, (x, y), outputs="sigmoid")
    clean = sf.predict(net, (x, y))
    assert clean.log_p.shape == (10, 2) and sf.attack("pgd", net, (x, y), eps=0.3, steps=3).found.any()
    moved = sf.transfer({"pgd": {"eps": 0.3, "steps": 3}}, net, net, (x, y))
    assert (moved.found >= (clean.log_p.argmax(1) != y)).all()
    with pytest.raises(ArgumentError, match="The data set cannot be inferred"):
        sf.classifier(one)


def test_every_kind_of_output_is_explained():
    from surefooted.cli.flags import Outputs

    assert all(outputs in Outputs.__metadata__[0].help for outputs in OUTPUTS)


@pytest.mark.parametrize("outputs", ["probabilities", "labels"])
def test_an_audit_keeps_within_its_queries(outputs, tmp_path):
    asked = 0
    weights = np.random.default_rng(0).normal(size=(64, 10))

    def answer(x):
        nonlocal asked
        asked += len(x)
        z = x.reshape(len(x), -1) @ weights
        p = np.exp(z - z.max(1, keepdims=True))
        return p / p.sum(1, keepdims=True) if outputs == "probabilities" else z.argmax(1)

    result = sf.audit(
        sf.blackbox(answer, 10, outputs), "digits", eps=0.1, budget="smoke", limit=8, levels=2, queries=80
    )
    numbers = result.numbers
    assert 0 < asked <= 80 * 8 and numbers["queries"] == 80
    assert [one["attack"] for one in numbers["prices"]] == ["Square"] * (outputs != "labels") + ["HopSkipJump"]
    assert all(one["most"] <= 64 and one["seconds"] is not None for one in numbers["prices"])
    assert set(numbers["calibration"]) == ({"clean"} if outputs == "labels" else {"clean", "temperature", "attacked"})
    page = result.write(tmp_path / "report").read_text()
    assert "upper bounds" in page and "At most 80 queries per image" in page
    assert ("calibration cannot be measured" in page) == (outputs == "labels")
    assert "gradient masking" not in page and "upper bounds" in str(result)


def test_the_budget_of_queries_is_for_black_boxes():
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    with pytest.raises(ArgumentError, match="`queries` is for black boxes"):
        sf.audit(net, "digits", budget="smoke", queries=100)
    constant = sf.blackbox(lambda x: [0] * len(x), 10, "labels")
    for options, message in (
        ({"queries": 10}, "needs at least 40"),
        ({"eot": 5}, "`eot` is for attacks with gradients"),
    ):
        with pytest.raises(ArgumentError, match=message):
            sf.audit(constant, "digits", budget="smoke", **options)


def test_the_key_of_a_callable_knows_inner_functions_and_keyword_defaults():
    """The images are black, so that the answers on the images that are tried are equal."""

    def box(shift, scale):
        def inner(x, *, scale=scale):
            return np.stack([[shift] * 3 for _ in x]).astype(float) * 0 * scale + [0.2, 0.3, 0.5]

        return sf.blackbox(inner, classes=3)

    def key(shift, scale):
        return InMemoryModel(box(shift, scale), SHAPE).key

    assert key(1, 2) == key(1, 2)
    assert len({key(1, 2), key(2, 2), key(1, 3)}) == 3


def test_a_bound_method_is_named_by_the_class_of_its_object():
    class Base:
        def predict(self, x): ...

    class Forest(Base): ...

    assert str(InMemoryModel(sf.blackbox(Forest().predict, classes=3), SHAPE)) == "Forest.predict"
