"""Names, arguments and keys: one spelling of a thing, and an error for what is none."""

import dataclasses
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

import surefooted as sf
from surefooted import attacks
from surefooted.cli.options import parse_components
from surefooted.components.describe import describe
from surefooted.components.spec import KINDS, build, canonical, complete, names, parse_spec, resolve
from surefooted.components.text import read_text
from surefooted.core import scores
from surefooted.core.types import Score
from surefooted.errors import InputError
from surefooted.pipeline.tasks import AttackTask, PredictTask, attack_task, train_task
from surefooted.training import methods, recipes

EVERY = [(kind, name) for kind in KINDS for name in names(kind)]


@pytest.mark.parametrize(("kind", "name"), EVERY)
def test_every_component_is_described_in_a_sentence_and_plain_data(kind, name):
    about = describe(kind, name)
    assert about["name"] == name and len(about["summary"]) > 10 and about["summary"].rstrip()[-1] in ".:)"
    json.dumps(about, allow_nan=False)
    assert all({"name", "type", "default", "required"} == set(argument) for argument in about["arguments"])
    assert not any("surefooted." in argument["type"] or "typing" in argument["type"] for argument in about["arguments"])


def test_everything_public_has_an_example_that_runs():
    """The doctests run it; here it is there at all."""
    exported = [(name, getattr(sf, name)) for name in sf.__all__]
    public = [(name, item) for name, item in exported if inspect.isfunction(item) or inspect.isclass(item)]
    public += [(f"{kind} {name}", resolve(kind, name)) for kind, name in EVERY]
    without = [name for name, item in public if ">>> " not in (inspect.getdoc(item) or "")]
    assert [name for name in without if not name.endswith("Error")] == []


# Those with a required argument are built where their own tests are.
BUILT_BY_NAME = [
    (kind, name)
    for kind in ("method", "attack", "score", "target", "recipe", "augmentation", "recorder")
    for name in names(kind)
    if not any(argument["required"] for argument in describe(kind, name)["arguments"])
]


@pytest.mark.parametrize(("kind", "name"), BUILT_BY_NAME)
def test_a_complete_spec_builds_the_same_component_again(kind, name):
    spec = complete(kind, name)
    assert complete(kind, spec) == spec
    assert complete(kind, json.loads(canonical(spec))) == spec
    assert build(kind, spec).spec.json() == spec


def test_nested_names_tables_and_components_are_one():
    by_name = complete("attack", {"pgd": {"objective": "dlr" if "dlr" in scores.__all__ else "entropy"}})
    inner = parse_spec(by_name)[1]["objective"]
    assert complete("attack", {"pgd": {"objective": inner}}) == by_name
    made = build("score", inner)
    assert complete("attack", attacks.pgd(objective=made)) == by_name


@pytest.mark.parametrize(
    ("kind", "given", "said"),
    [
        ("method", "vanila", "Did you mean 'vanilla'?"),
        ("method", {"pat": {"epss": 1}}, "pat has no argument 'epss'. Did you mean 'eps'?"),
        ("method", {"pat": {"eps": -1}}, "eps = -1: input should be greater than or equal to 0"),
        ("method", {"pat": {"eps": "much"}}, "eps = 'much': input should be a valid number"),
        ("method", {"pat": {"eps": float("nan")}}, "finite"),
        ("method", {"pat": {"steps": 0}}, "steps = 0: input should be greater than or equal to 1"),
        ("method", {"pat": {"steps": 1.5}}, "steps = 1.5: input should be a valid integer"),
        ("method", {"ls": {"eps": 1.01}}, "less than or equal to 1"),
        ("method", {"pat_ls": {"smoothing": -0.1}}, "greater than or equal to 0"),
        ("method", {"custom": {"perturb": "pgdd"}}, "Did you mean 'pgd'?"),
        ("method", {"custom": {"loss": {"entm_loss": {"lamb": 1}}}}, "Did you mean 'lam'?"),
        ("method", {"custom": {"loss": 3}}, "instance of Score"),
        ("method", {"pat": 3}, "expected a table"),
        ("method", {"pat": {}, "ls": {}}, "Expected one component"),
        ("method", 5, "Expected a name"),
        ("method", {5: {}}, "Expected the name of a component"),
        ("attack", {"pgd": {"norm": "l3"}}, "'linf' or 'l2'"),
        ("recipe", {"recipe": {"augment": ["flipp"]}}, "Did you mean 'flip'?"),
        ("recipe", {"recipe": {"augment": [{"crop": {"pad": 0}}]}}, "pad = 0"),
        ("recipe", {"recipe": {"drops": [[10, 0.1]]}}, "schedule='steps'"),
        ("recipe", {"recipe": {"epochs": 0}}, "epochs = 0"),
        ("recipe", {"growing_eps": {"shares": [[0, 0.5], [3, 0.2], [5, 1]]}}, "decreases (0.5, 0.2, 1)"),
        ("recipe", {"growing_eps": {"shares": [[3, 0.5], [3, 1]]}}, "epochs do not increase (3, 3)"),
        ("recipe", {"growing_eps": {"shares": [[0, 0.5], [3, 0.7]]}}, "ends at 0.7 of ε in epoch 3"),
        ("recipe", {"growing_eps": {"shares": [[0, 0], [30, 1]]}}, "before the last of 30 epochs"),
        ("recipe", {"recipe": {"nesterov": True}}, "nesterov needs optimiser='sgd'"),
        ("recipe", {"recipe": {"optimiser": "sgd", "nesterov": True, "momentum": 0}}, "momentum 0"),
        ("recipe", {"growing_eps": {"shares": []}}, "the schedule is empty"),
        ("recipe", {"growing_eps": {"of": "entm_mnst"}}, "Did you mean 'entm_mnist'?"),
        ("data", "digit", "Did you mean 'digits'?"),
        ("recipe", {"recipe": {"augment": "crop"}}, "augment = 'crop': expected a list. Write [crop] for one value"),
        (
            "network",
            {"mlp": {"classes": 3}},
            "mlp has no argument 'classes'. It is not an option: Surefooted supplies it.",
        ),
    ],
)
def test_what_cannot_be_built_is_said(kind, given, said):
    with pytest.raises(InputError) as error:
        build(kind, given)
    assert said in str(error.value)


def test_all_faults_come_at_once():
    with pytest.raises(InputError) as error:
        train_task(
            {"pat": {"eps": -1, "steps": 0, "norn": "l2"}}, "lenett", "digits", {"recipe": {"lr": 0, "batch": 0}}
        )
    text = str(error.value)
    assert len(text.splitlines()) == 6
    for part in (
        "`method.eps` is -1",
        "`method.steps` is 0",
        "'norn'. Did you mean 'norm'?",
        "Did you mean 'lenet'?",
        "`recipe.lr` is 0",
        "`recipe.batch` is 0",
    ):
        assert part in text


@pytest.mark.parametrize("word", ["none", "None", "null", None])
def test_the_word_none_is_what_the_argument_takes_it_for(word):
    assert complete("method", {"pat": {"step_size": word}})["pat"]["step_size"] is None
    assert complete("method", {"custom": {"perturb": word}})["custom"]["perturb"] is None
    if word in ("none", None):  # here it is one of the choices
        task = train_task("vanilla", {"mlp": {"normalise": word}}, "digits")
        assert task.net["mlp"]["normalise"] == "none"


def test_what_was_put_together_by_hand_cannot_be_stored():
    with pytest.raises(InputError, match="has an argument that was not made by a registered function"):
        train_task(
            methods.custom(loss=scores.cross_entropy() - 2 * Score(lambda f: f.logits[0, :, 0])), "mlp", "digits"
        )
    with pytest.raises(InputError, match="not made by a registered function"):
        train_task(dataclasses.replace(methods.pat(), members=1), "mlp", "digits")
    with pytest.raises(InputError, match="not made by a registered function"):
        complete("score", Score(lambda f: f.logits[0, :, 0]))


BASE = {
    "method": {"ls": {"eps": 0.5}},
    "net": {"mlp": {"width": 4}},
    "data": {"digits": {"validation": 0.2}},
    "recipe": {"recipe": {"epochs": 2, "augment": ["crop"]}},
}


@pytest.mark.parametrize(
    "spelling",
    [
        {"method": methods.ls(eps=0.5)},
        {"method": {"ls": {"eps": "0.5"}}},
        {"net": {"mlp": {"width": 4.0, "layers": 1, "dropout": 0}}},
        {"net": {"mlp": {"dropout": 0.0, "width": "4"}}},
        {"data": {"digits": {"test": 0.25, "validation": 0.2, "train_limit": 0}}},
        {"recipe": recipes.recipe(epochs=2, augment=("crop",))},
        {"recipe": {"recipe": {"augment": [{"crop": {"pad": 4}}], "epochs": 2, "momentum": 0.9}}},
        {"recipe": {"recipe": {"augment": ({"crop": {}},), "epochs": 2, "drops": []}}},
        {"seed": 0, "precision": "fp32"},
    ],
)
def test_another_spelling_of_the_same_has_the_same_key(spelling):
    assert train_task(**BASE | spelling).key == train_task(**BASE).key


@pytest.mark.parametrize(
    "change",
    [
        {"method": {"ls": {"eps": 0.51}}},
        {"method": "vanilla"},
        {"net": {"mlp": {"width": 5}}},
        {"net": {"mlp": {"width": 4, "dropout": 0.1}}},
        {"data": {"digits": {"validation": 0.3}}},
        {"data": {"digits": {"validation": 0.2, "split_seed": 1}}},
        {"recipe": {"recipe": {"epochs": 2}}},
        {"recipe": {"recipe": {"epochs": 2, "augment": [{"crop": {"pad": 3}}]}}},
        {"recipe": {"recipe": {"epochs": 2, "augment": ["crop"], "lr": 0.002}}},
        {"seed": 1},
        {"precision": "bf16"},
    ],
)
def test_any_change_has_another_key(change):
    assert train_task(**BASE | change).key != train_task(**BASE).key


def test_cells_that_read_others_change_with_them():
    one, other = train_task(**BASE), train_task(**BASE | {"seed": 1})
    keys = {
        task.key
        for victim in (one, other)
        for task in (
            attack_task(victim, {"pgd": {"eps": 1}}),
            attack_task(victim, {"pgd": {"eps": 0.5}}),
            attack_task(victim, {"pgd": {"eps": 1}}, "train"),
            attack_task(victim, {"pgd": {"eps": 1}}, seed=1),
            attack_task(victim, {"pgd": {"eps": 1}}, limit=5),
            PredictTask(victim),
            PredictTask(victim, source_attack=attack_task(victim, {"pgd": {"eps": 1}})),
        )
    }
    assert len(keys) == 14
    assert attack_task(one, {"pgd": {"eps": 1}}).key == attack_task(one, attacks.pgd(eps=1.0)).key
    assert isinstance(attack_task(one, "pgd"), AttackTask)


def test_levels_are_ranked_on_the_vanilla_model_that_anybody_would_train():
    adaptive = {"ar_adals": {"levels": 3, "robustness": {"carlini_wagner": {"steps": 2, "away_from": "prediction"}}}}
    task = train_task(**BASE | {"method": adaptive})
    on_train, on_validation = task.requires
    assert (on_train.split, on_validation.split) == ("train", "validation")
    assert on_train.victim.key == on_validation.victim.key == train_task(**BASE | {"method": "vanilla"}).key
    adaptive["ar_adals"]["alpha"] = 0.01
    assert [need.key for need in train_task(**BASE | {"method": adaptive}).requires] == [
        need.key for need in task.requires
    ]


def archive(path, seed=0):
    rng = np.random.default_rng(seed)
    path.parent.mkdir(exist_ok=True)
    np.savez(path, x_train=rng.integers(0, 256, (40, 4, 4), dtype=np.uint8), y_train=np.arange(40) % 3)
    return {"npz": {"path": str(path)}}


def test_where_the_data_lie_is_not_in_the_key_but_what_they_are_is(tmp_path):
    def key(data):
        return train_task("vanilla", "mlp", data).key

    first = key(archive(tmp_path / "here" / "a.npz"))
    assert key(archive(tmp_path / "there" / "b.npz")) == first
    assert key(archive(tmp_path / "there" / "c.npz", seed=1)) != first


def test_keys_are_the_same_in_every_process():
    code = f"from surefooted.pipeline.tasks import train_task; print(train_task(**{BASE!r}).key)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == train_task(**BASE).key


@pytest.mark.parametrize(
    ("text", "hint", "value"),
    [
        ("8/255", float, 8 / 255),
        ("-1/2", float | None, -0.5),
        ("1.5/3", float, 0.5),
        ("8/4", int, 2.0),  # then checked to be whole
        ("1e3", int, 1000.0),
        ("1e999", int, "1e999"),
        ("1/0", float, "1/0"),
        ("1e9/3", float, "1e9/3"),
        ("9" * 5000 + "/7", float, "9" * 5000 + "/7"),
        ("0.1", float, "0.1"),
        ("010", int, "010"),
        ("2024/05", str, "2024/05"),
        ("2024/05", str | Path, "2024/05"),
        ("[x]", str, "[x]"),
        ("none", str, "none"),
        ("none", str | None, None),
        ("null", float | None, None),
        (None, Literal["none", "channel"], "none"),
        (None, float, None),
        ("on", float, "on"),
        (True, float, "true"),
        (True, bool, True),
        (1, str, 1),
        ("[1/2, 3]", tuple[float, ...], [0.5, "3"]),
        ("[[1, 1/4]]", tuple[tuple[int, float], ...], [["1", 0.25]]),
        ("[[1, 1/4, 1/2]]", tuple[tuple[int, float], ...], [["1", 0.25, "1/2"]]),
        ("[unfinished", tuple[float, ...], "[unfinished"),
        ("[" * 5000, tuple[float, ...], "[" * 5000),
        ("[1/2, crop, {crop: {pad: 2}}]", tuple[Any, ...], ["1/2", "crop", {"crop": {"pad": "2"}}]),
    ],
)
def test_text_is_read_by_the_type_of_the_argument(text, hint, value):
    assert read_text(text, hint) == value


def gathered(*words, file=None):
    return parse_components(
        ("method", "net", "data", "recipe"),
        {},
        words,
        file,
        defaults={"data": "digits", "recipe": "recipe"},
        bare="method",
    )


@pytest.mark.parametrize("way", [list, reversed])
def test_components_within_components_from_flags_in_any_order(way):
    flags = [
        ("--method", "custom"),
        ("--method.perturb", "pgd"),
        ("--method.perturb.eps", "0.1"),
        ("--method.target", "adaptive"),
        ("--method.target.levels", "2"),
        ("--method.loss", "entm_loss"),
        ("--method.loss.lam=1/2",),
        ("--net", "mlp"),
        ("--net.width", "4"),
        ("--recipe.augment", "[crop, {shift: {fraction: 1/10}}]"),
    ]
    found = gathered(*(word for flag in way(flags) for word in flag))
    assert found == {
        "method": {
            "custom": {
                "perturb": {"pgd": {"eps": "0.1"}},
                "target": {"adaptive": {"levels": "2"}},
                "loss": {"entm_loss": {"lam": "1/2"}},
            }
        },
        "net": {"mlp": {"width": "4"}},
        "data": {"digits": {}},
        "recipe": {"recipe": {"augment": "[crop, {shift: {fraction: 1/10}}]"}},
    }
    assert build("method", found["method"]).target.levels == 2
    assert complete("method", found["method"])["custom"]["loss"] == complete("score", {"entm_loss": {"lam": 0.5}})
    assert complete("recipe", found["recipe"])["recipe"]["augment"][1] == {"shift": {"fraction": 0.1}}


TOML = """
net = "mlp"
[method.pat]
eps = "8/255"
step_size = "none"
[recipe]
epochs = 3
augment = ["crop", {shift = {fraction = "1/10"}}]
"""
YAML = """
net: mlp
method: {pat: {eps: 8/255, step_size: none}}
recipe: {recipe: {epochs: 3, augment: [crop, {shift: {fraction: 1/10}}]}}
"""


@pytest.mark.parametrize(("name", "text"), [("run.toml", TOML), ("run.yaml", YAML)])
def test_a_file_says_the_same_and_flags_win(tmp_path, name, text):
    file = tmp_path / name
    file.write_text(text)
    found = gathered(file=file)
    assert found["method"] == {"pat": {"eps": "8/255", "step_size": "none"}}
    assert complete("method", found["method"])["pat"]["eps"] == 8 / 255
    assert complete("recipe", found["recipe"])["recipe"]["augment"][1] == {"shift": {"fraction": 0.1}}
    assert complete("recipe", found["recipe"])["recipe"]["epochs"] == 3
    assert gathered("--method.eps", "0.2", "--net.width", "3", file=file) | {"recipe": 0} == {
        "method": {"pat": {"eps": "0.2", "step_size": "none"}},
        "net": {"mlp": {"width": "3"}},
        "data": {"digits": {}},
        "recipe": 0,
    }
    # Another method's arguments are not this one's.
    assert gathered("--method.eps", "0.2", "ls", file=file)["method"] == {"ls": {"eps": "0.2"}}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("pat --methd.eps 1", "There is no option --methd.eps. Did you mean --method.eps?"),
        ("pat --method entm", "--method is given twice (pat and entm); give it once."),
        ("pat --net mlp --net lenet", "--net is given twice (mlp and lenet)"),
        ("pat --method.step_size 1 --method.step-size 2", "--method.step_size is given twice (1 and 2)"),
        ("pat --epochs 3", "There is no option --epochs. Did you mean --recipe.epochs?"),
        ("pat --eps 3", "There is no option --eps. Did you mean --method.eps?"),
        ("pat --model-x 3", "There is no option --model-x."),
        ("pat --nope", "There is no option --nope. Components are given as --method, --net"),
        ("pat mlp", "Unexpected 'mlp'"),
        ("pat --net.width", "--net.width has no value"),
        ("--net.width --net mlp", "--net.width has no value"),
        ("--method.eps 1", "Options for --method were given (eps) without --method itself"),
        ("pat --method..y 3", "--method..y is not an option"),
    ],
)
def test_words_that_are_no_options(flags, said):
    with pytest.raises(InputError) as error:
        gathered(*flags.split())
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("absent.toml", None, "No such file"),
        ("bad.toml", "[method", "is not valid TOML"),
        ("bad.yaml", "{a: [", "is not valid YAML"),
        ("bytes.toml", b"\xff\xfe", "UTF-16"),
        ("list.yaml", "[1, 2]", "does not contain a table"),
        ("key.toml", 'metod = "pat"\nnett = "mlp"', "unknown key 'metod'. Did you mean 'method'?"),
        ("two.toml", 'metod = "pat"\nnett = "mlp"', "unknown key 'nett'. Did you mean 'net'?"),
        ("code.yaml", "method: !!python/object/apply:os.system ['true']", "is not valid YAML"),
        ("strange.yaml", "method: {[5]: {}}", "a key is a table or a list"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, name, text, said):
    file = tmp_path / name
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InputError) as error:
        gathered(file=file)
    assert said in str(error.value)
