"""Networks, losses and schedules of the user's code: trained, kept under a key that knows the code, or refused."""

import importlib
import json
import sys
from textwrap import dedent
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import surefooted as sf
from surefooted.components.code import find_code, keep_code, source_digest
from surefooted.components.spec import complete
from surefooted.core.types import Forward
from surefooted.errors import ArgumentError, InputError, ModelError, StoreError
from surefooted.models.nets.own import keep_network
from surefooted.models.weights import load_model
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import train_task
from surefooted.training.loop import fit

DATA = {"digits": {"train_limit": 64, "test_limit": 40, "validation": 0.25}}
ONCE = {"recipe": {"epochs": 1, "batch": 16}}

MODULE = """
    import torch
    from torch import nn

    WIDTH = 8

    class Net(nn.Module):
        def __init__(self, in_channels, num_classes: int = 2, width: int = WIDTH):
            super().__init__()
            self.norm = nn.BatchNorm2d(in_channels)
            self.body = nn.Linear(64 * in_channels, width)
            self.head = nn.Linear(width, num_classes)

        def forward(self, x):
            return self.head(torch.relu(self.body(self.norm(x).view(len(x), -1))))

    def make(shape, classes):
        return Net(shape[0], classes)

    def loss(logits, target, weight: float = 1.0):
        return weight * torch.nn.functional.cross_entropy(logits, target, reduction="none")

    def halves(progress):
        return 1.0 if progress < 0.5 else 0.5
"""


@pytest.fixture
def module(tmp_path, monkeypatch):
    """Write a module and forget what an earlier one of its name was."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # it would be taken for that of a file of the same second

    def write(text=MODULE, name="mine"):
        (tmp_path / f"{name}.py").write_text(dedent(text))
        importlib.invalidate_caches()
        sys.modules.pop(name, None)
        return name

    yield write
    for name in [name for name in sys.modules if name.startswith("mine")]:
        del sys.modules[name]


def equal(a, b):
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


class Small(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(shape[-1] * shape[-2], classes))

    def forward(self, x):
        return self.layers(x)


def test_a_class_is_the_same_training_by_name_and_in_python(module, tmp_path):
    """And another process, which knows the key alone, finds it and imports the code."""
    module()
    import mine

    by_name = train_task("vanilla", {"mine:Net": {"width": "4"}}, DATA, ONCE)
    assert train_task("vanilla", {"mine:Net": {"width": 4}}, DATA, ONCE).key == by_name.key
    assert train_task("vanilla", mine.Net, DATA, ONCE).net == train_task("vanilla", "mine:Net", DATA, ONCE).net
    run = sf.train("vanilla", {"mine:Net": {"width": 4}}, DATA, ONCE, store=Store(tmp_path / "s"))
    assert run.task.key == by_name.key and run.net.head.out_features == 10  # filled in, in place of the default of 2
    loaded = sf.load(run.task.key[:12], store=Store(tmp_path / "s"))
    assert equal(loaded, run.net) and not loaded.training
    assert bool((sf.predict(loaded, run.data).log_p == sf.predict(run.net, run.data).log_p).all())


def test_changed_code_is_another_training_and_is_not_taken_for_the_old_one(module, tmp_path):
    name, store = module(), Store(tmp_path / "s")
    run = sf.train("vanilla", f"{name}:Net", DATA, ONCE, store=store)
    before = source_digest(find_code("mine:make").value)
    module(MODULE.replace("torch.relu", "torch.tanh"))
    assert source_digest(find_code("mine:make").value) != before  # make uses Net
    with pytest.raises(StoreError, match=r"The code of mine:Net has changed since: its hash was \w+ and is \w+"):
        sf.load(run.task.key, store=store)
    assert train_task("vanilla", "mine:Net", DATA, ONCE).key != run.task.key
    module(MODULE.replace("WIDTH = 8", "WIDTH = 9"))
    assert train_task("vanilla", "mine:Net", DATA, ONCE).key != run.task.key  # the default of an argument
    assert source_digest(lambda x: x + 1) != source_digest(lambda x: x + 2)


def test_a_file_of_weights_does_not_run_code(module, tmp_path):
    run = sf.train("vanilla", f"{module()}:Net", DATA, ONCE, store=Store(tmp_path / "s"))
    file = run.task.path(Store(tmp_path / "s")) / "weights.safetensors"
    with pytest.raises(ModelError, match=r"of a network of other code, mine:Net\. A file of weights must not run code"):
        load_model(file)


def test_a_module_is_trained_from_its_own_weights_and_left_as_it_is(tmp_path):
    torch.manual_seed(3)
    net, store = Small((1, 8, 8), 10), Store(tmp_path)
    start = {name: value.clone() for name, value in net.state_dict().items()}
    still = {"recipe": {"epochs": 1, "batch": 64, "lr": 1e-30}}
    runs = [sf.train("vanilla", net, DATA, still, seed=seed, store=store) for seed in (0, 1)]
    assert all(torch.allclose(run.net.state_dict()[name], start[name]) for run in runs for name in start)
    sf.train("vanilla", net, DATA, {"recipe": {"epochs": 1, "lr": 0.1}}, store=store)
    assert all(torch.equal(value, start[name]) for name, value in net.state_dict().items())
    with torch.no_grad():
        net.layers[1].weight += 1
    assert train_task("vanilla", net, DATA, still).key != runs[0].task.key
    with pytest.raises(ArgumentError, match="2 networks, which would all start at the weights of this module"):
        train_task({"ensemble": {"members": 2}}, net, DATA, ONCE)
    assert sf.train({"ensemble": {"members": 2}}, Small, DATA, ONCE, store=store).net.members[1].layers


def test_without_a_store_nothing_is_kept_and_code_needs_no_source(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made: dict = {}
    exec(
        "def make(classes):\n    import torch.nn as nn\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, classes))",
        made,
    )
    make, seen = made["make"], []
    with pytest.raises(ArgumentError, match=r"The source of make is not available.*store=None"):
        sf.train("vanilla", make, DATA, ONCE, store=Store(tmp_path / "s"))
    halved = sf.Score(lambda f: 0.5 * sf.scores.cross_entropy()(f), "half")
    with pytest.raises(ArgumentError, match=r"no reproducible key.*store=None"):
        sf.train(sf.methods.custom(loss=halved), "mlp", DATA, ONCE, store=Store(tmp_path / "s"))
    run = sf.train(sf.methods.custom(loss=halved), make, DATA, ONCE, store=None, on_epoch=seen.append)
    assert seen == run.history and not (tmp_path / ".surefooted").exists()
    with pytest.raises(ArgumentError, match="`store` is 'here'; expected a Store"):
        sf.train("vanilla", "mlp", DATA, ONCE, store="here")


def test_a_changed_recipe_has_no_spec_of_the_old_one():
    """dataclasses.replace kept the spec, so that training silently took the recipe as it was before."""
    from dataclasses import replace

    assert replace(sf.recipe(), learning_rate=lambda epoch: 1.0).spec is None
    assert replace(sf.methods.vanilla(), members=2).spec is None and replace(sf.scores.entropy(), name="h").spec is None


BAD = {
    "prints, then fails": ("print('hello'); raise RuntimeError('no GPU here')", "net", "cannot be imported .*no GPU"),
    "exits": ("raise SystemExit(3)", "net", "cannot be imported .*SystemExit"),
    "lacks the name": ("def nets(): ...", "net", "has no 'net'. Did you mean 'nets'"),
    "is a number": ("net = 3", "net", "is int; expected a torch.nn.Module"),
    "returns a number": ("def net(): return 3", "net", "returned a int; expected a torch.nn.Module"),
    "needs arguments": ("def net(depth, k): ...", "net", r"needs arguments \(depth, k\)\. Give them as options"),
    "fails": ("def net(classes): raise KeyError('x')", "net", r"mine:net\(classes=10\) failed \(KeyError: 'x'\)"),
    "is a module": ("from torch import nn; net = nn.Linear(1, 1)", "net", "is a module. Its weights are where"),
    "no weights": ("from torch import nn\nclass net(nn.Flatten):\n def __init__(self): super().__init__()", "net",
                   "has no weight to train"),
    "other classes": ("from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 7))", "net",
                      "returns 7 logits per image, but the data have 10 classes"),
    "other images": ("from torch import nn\ndef net(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))", "net",
                     r"The model failed on 2 images of shape \(1, 8, 8\)"),
    "detached": ("from torch import nn\nclass net(nn.Linear):\n def __init__(self): super().__init__(64, 10)\n"
                 " def forward(self, x): return super().forward(x.flatten(1)).detach()", "net",
                 "have no gradient with respect to its weights"),
    "extra state": ("from torch import nn\nclass net(nn.Linear):\n def __init__(self): super().__init__(64, 10)\n"
                    " def forward(self, x): return super().forward(x.flatten(1))\n"
                    " def get_extra_state(self): return {'a': 1}\n def set_extra_state(self, s): pass", "net",
                    r"no tensor in its state dict \(_extra_state\)"),
}  # fmt: skip


@pytest.mark.parametrize(("source", "name", "message"), BAD.values(), ids=BAD)
def test_networks_that_cannot_be_trained_are_refused_before_the_training(module, capsys, source, name, message):
    module(source)
    with pytest.raises(InputError, match=message):
        train_task("vanilla", f"mine:{name}", DATA, ONCE)
    assert capsys.readouterr().out == ""


def test_options_of_own_code_are_checked(module):
    module()
    with pytest.raises(InputError, match=r"mine:Net has no argument 'widht'\. Did you mean 'width'"):
        train_task("vanilla", {"mine:Net": {"widht": 3}}, DATA, ONCE)
    with pytest.raises(InputError, match="mine:Net: width is 'wide': input should be a valid integer"):
        train_task("vanilla", {"mine:Net": {"width": "wide"}}, DATA, ONCE)
    with pytest.raises(InputError, match="names no code; expected MODULE:FUNCTION"):
        train_task("vanilla", "mine:1", DATA, ONCE)


ODD = """
    import torch
    from torch import nn

    class InPlace(nn.Module):  # flattens by view, writes into its input, returns a dictionary, prints
        def __init__(self, classes):
            super().__init__()
            self.conv, self.head = nn.Conv2d(1, 2, 3), nn.Linear(72, classes)

        def forward(self, x):
            print("forward")
            return {"logits": self.head(self.conv(x.sub_(0.5)).view(len(x), -1))}

    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(64, 64), nn.Linear(64, 64)
            self.b.weight, self.head = self.a.weight, nn.Linear(64, 10)

        def forward(self, x):
            return self.head(self.b(torch.relu(self.a(x.flatten(1)))))

    def lazy():
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    def doubles():
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()
"""


@pytest.mark.filterwarnings("ignore::surefooted.errors.ConvertedInput")
@pytest.mark.parametrize("name", ["InPlace", "Tied", "lazy", "doubles"])
def test_odd_networks_train_and_come_back(module, tmp_path, name):
    module(ODD)
    store = Store(tmp_path / "s")
    run = sf.train({"fgsm_at": {"eps": 0.05}}, f"mine:{name}", DATA, ONCE, store=store)
    assert equal(sf.load(run.task.key, store=store), run.net)
    assert not equal(sf.network(f"mine:{name}", (1, 8, 8), 10), run.net)


def test_fit_says_what_is_wrong_with_a_network():
    splits, recipe = sf.digits(**DATA["digits"]), sf.recipe(epochs=1)
    program = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    program.eval().train = refuse_mode  # as torch.export does
    frozen = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).requires_grad_(False)
    for bad, message in (
        (nn.Sequential(nn.Flatten(), nn.LazyLinear(10)), "lazy layers"),
        (frozen, "no weight to train"),
        (program, "no training mode, as an exported program has none"),
    ):
        with pytest.raises(ModelError, match=message):
            fit(sf.methods.vanilla(), bad, splits, recipe)


def forward(rows=6, classes=4):
    logits = torch.randn(1, rows, classes, generator=torch.Generator().manual_seed(0), requires_grad=True)
    return Forward(logits, torch.arange(rows) % classes, logits.detach() + 1)


FORMULAS = {
    "cross_entropy() + 0.1 * entropy()": "cross_entropy() + 0.1 * entropy()@1.2",
    " cross_entropy+1/10*entropy ": "cross_entropy() + 0.1 * entropy()@1.2",
    "cross_entropy() - (entropy() - 2 * dlr())": "cross_entropy() - entropy() + 2.0 * dlr()@1.2.1",
    "-smoothed_cross_entropy(gamma=1/4)": "-smoothed_cross_entropy(gamma=0.25)",
    "at_clean(cross_entropy()) + 6 * kl_from_clean()": "at_clean(score=cross_entropy()) + 6.0 * kl_from_clean()",
    "cross_entropy()": "cross_entropy",
}


@pytest.mark.parametrize(("text", "normal"), FORMULAS.items())
def test_a_formula_has_one_spec_and_the_value_of_its_terms(text, normal):
    spec = complete("score", text)
    assert list(spec) == [normal] and complete("score", spec) == spec
    named = {name: getattr(sf.scores, name) for name in sf.scores.__all__}
    by_hand = eval(
        text.strip().replace("cross_entropy+1/10*entropy", "cross_entropy() + 1/10*entropy()"),
        {"__builtins__": {}},
        named,
    )
    assert torch.equal(sf.methods.custom(loss=text).loss(forward()), by_hand(forward()))


def test_python_and_the_formula_are_one_training():
    loss = sf.scores.cross_entropy() + 0.1 * sf.scores.entropy()
    by_python, by_text = (
        train_task(sf.methods.custom(loss=one), "mlp", DATA, ONCE) for one in (loss, "cross_entropy() + 0.1*entropy()")
    )
    assert by_python.key == by_text.key
    assert by_python.key != train_task({"custom": {"loss": "cross_entropy() + 0.2 * entropy()"}}, "mlp", DATA, ONCE).key


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("entropyy() + 1 * entropy()", "There is no 'entropyy' among the scores. Did you mean 'entropy'"),
        ("2", "is the number 2; expected a sum of scores"),
        ("cross_entropy() * entropy()", "is not a weighted sum"),
        ("cross_entropy() + 1", "is not a weighted sum"),
        ("__import__('os').system('ls')", "is no score"),
        ("().__class__", "is no score"),
        ("cross_entropy(", "is no formula"),
        ("entropy(3)", "write the arguments by name"),
        ("entropy(**x)", "write the arguments by name"),
        ("smoothed_cross_entropy(gamma=7) + entropy()", "less than or equal to 1"),
        ("1e999 * entropy()", "too large"),
        ("+".join(["entropy()"] * 3000), "nested more than 50 deep|is no formula"),
    ],
)
def test_a_formula_is_read_and_never_run(text, message):
    with pytest.raises(InputError, match=message):
        complete("score", text)


def test_own_losses_and_schedules_are_in_the_key_with_their_code(module, tmp_path):
    module()
    method = {"custom": {"loss": {"mine:loss": {"weight": "2"}}}}
    recipe = {"recipe": {"epochs": 2, "batch": 16, "schedule": "mine:halves", "lr": 0.01}}
    task = train_task(method, "mlp", DATA, recipe)
    import mine

    made = sf.methods.custom(loss={"mine:loss": {"weight": 2.0}})
    by_python = sf.recipe(epochs=2, batch=16, schedule=mine.halves, lr=0.01)
    assert train_task(made, "mlp", DATA, by_python).key == task.key
    run = sf.train(method, "mlp", DATA, recipe, store=Store(tmp_path / "s"))
    assert [entry["lr"] for entry in run.history] == [0.01, 0.005]
    f = forward()
    assert torch.allclose(made.loss(f), 2 * nn.functional.cross_entropy(f.logits[0], f.target, reduction="none"))
    mixed = sf.methods.custom(loss=mine.loss).loss - 0.5 * sf.scores.entropy()
    assert complete("score", complete("score", mixed)) == complete("score", mixed)
    module(MODULE.replace("weight *", "2 * weight *"))
    assert train_task(method, "mlp", DATA, recipe).key != task.key


LOSSES = {
    "averages": ("def f(logits, target): return logits.mean()", r"shape \(\) for 6 images.*reduction='none'"),
    "detached": ("def f(logits, target): return logits.detach()[:, 0]", "no gradient with respect to the logits"),
    "predicts": ("def f(logits, target): return logits.argmax(-1)", "returns torch.int64; expected a float tensor"),
    "fails": ("def f(logits, target): return 1 / 0", r"The loss mine:f failed \(ZeroDivisionError"),
    "one argument": ("def f(x): ...", r"takes the arguments \(x\); expected a function of logits"),
    "too many": ("def f(a, b, c): ...", r"takes the arguments \(a, b, c\)"),
    "no function": ("f = 3", "is int; expected a function of logits"),
    "makes nothing": ("def f(): return 1", r"mine:f\(\) returned int; expected a score"),
    "matrix": ("def f(logits, target): return logits", r"shape \(6, 4\) for 6 images"),
}


@pytest.mark.parametrize(("source", "message"), LOSSES.values(), ids=LOSSES)
def test_losses_that_cannot_be_minimised_are_refused(module, source, message):
    module(source)
    with pytest.raises(InputError, match=message):
        sf.methods.custom(loss="mine:f").loss(forward())


def test_a_loss_that_is_nan_ends_the_training_with_a_sentence(module, tmp_path):
    module("def f(logits, target): return logits[:, 0] * float('nan')")
    with pytest.raises(InputError, match="The loss became nan in epoch 1, step 1"):
        sf.train({"custom": {"loss": "mine:f"}}, "mlp", DATA, ONCE, store=Store(tmp_path / "s"))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("def f(a, b): ...", r"takes the arguments \(a, b\); expected one"),
        ("def f(progress): return -1", "returns -1 at 0 of the training"),
        ("def f(progress): return 'x'", r"failed at 0 of the training \(ValueError"),
        ("f = 3", "is no function"),
    ],
)
def test_schedules_that_are_none_are_refused(module, source, message):
    module(source)
    with pytest.raises(InputError, match=message):
        sf.recipe(schedule="mine:f")
    with pytest.raises(InputError, match=r"expected one of the schedules, or MODULE:FUNCTION\. Did you mean 'cosine'"):
        sf.recipe(schedule="cosin")


def test_the_hash_of_a_function_knows_what_it_uses():
    def scaled(factor):
        return lambda logits, target: factor * logits[:, 0]

    assert source_digest(scaled(1)) != source_digest(scaled(2)) == source_digest(scaled(2))
    assert keep_code(nn.Linear).name == "torch.nn.modules.linear:Linear"


def refuse_mode(mode=True):
    raise NotImplementedError("Calling train() is not supported yet.")


def test_a_loss_without_source_trains_unstored_only():
    names: dict = {}
    exec("def loss(logits, target):\n    return (logits.logsumexp(1) - logits[range(len(target)), target])", names)
    data, recipe = {"digits": {"train_limit": 40}}, {"recipe": {"epochs": 1}}
    method = {"custom": {"loss": names["loss"]}}
    assert len(sf.train(method, "mlp", data, recipe, store=None).history) == 1
    with pytest.raises(InputError, match="source of loss is not available"):
        sf.train(method, "mlp", data, recipe)


class Focal:
    def __init__(self, gamma):
        self.gamma = gamma

    def __call__(self, logits, target):
        return self.gamma * logits[:, 0]


def holding(value):
    return lambda logits, target: (value, logits)[1]


def test_objects_that_hold_something_else_have_another_key():
    assert source_digest(Focal(1.0)) == source_digest(Focal(1.0)) != source_digest(Focal(-1.0))
    assert source_digest(Focal(1.0).__call__) != source_digest(Focal(-1.0).__call__)
    one, other = (lambda p: 1 - p), (lambda p: 1 + p)
    assert source_digest(one) != source_digest(other)
    for first, second in (
        (np.arange(3), np.arange(1, 4)),
        (nn.CrossEntropyLoss(label_smoothing=0.1), nn.CrossEntropyLoss(label_smoothing=0.5)),
        (SimpleNamespace(width=8), SimpleNamespace(width=64)),
        (torch.ones(2), torch.ones(2, 1)),
    ):
        assert source_digest(holding(first)) != source_digest(holding(second))
    with pytest.raises(ArgumentError, match="whose content is not known"):
        source_digest(holding(iter([1])))


def test_defaults_class_attributes_and_imports_are_part_of_the_key(module):
    text = (
        dedent(MODULE)
        + """

class Held:
    hidden = 3

    def forward(self, x, *, scale=2):
        import mine
        return x * mine.WIDTH
"""
    )

    def digest(changed):
        module(changed)
        return source_digest(find_code("mine:Held").value)

    first = digest(text)
    changes = (("hidden = 3", "hidden = 4"), ("scale=2", "scale=3"), ("WIDTH = 8", "WIDTH = 9"))
    assert all(digest(text.replace(*change)) != first for change in changes) and digest(text) == first


def test_a_module_with_another_plain_attribute_is_another_network():
    nets = [nn.Sequential(nn.Flatten(), nn.Linear(64, 10)) for _ in range(2)]
    nets[1].load_state_dict(nets[0].state_dict())
    assert keep_network(nets[0]) == keep_network(nets[1])
    nets[1].temperature = 20.0
    assert keep_network(nets[0]) != keep_network(nets[1])


@pytest.mark.parametrize("name", ["subprocess:getoutput", "subprocess:getoutput@0123456789abcdef", "mine:Net"])
def test_a_store_cannot_name_code_that_is_called(module, tmp_path, name):
    store = Store(tmp_path / "s")
    run = sf.train("vanilla", f"{module()}:Net", DATA, ONCE, store=store)
    file = run.task.path(store) / "spec.json"
    spec = json.loads(file.read_text())
    file.write_text(json.dumps(spec | {"net": {name: {"cmd": f"touch {tmp_path}/ran"}}}))
    with pytest.raises(StoreError, match=f"names the code {name}, which a store may not"):
        sf.load(run.task.key, store=Store(tmp_path / "s"))
    assert not (tmp_path / "ran").exists()
