"""Every command that the product prints or documents is one: it is planned, or its words are checked."""

import ast
import re
import shlex
import sys
from pathlib import Path

import pytest
import typer
from shell import own_streams
from tiny_sets import write_known_sets

import surefooted
from surefooted import cli
from surefooted.auditing import run as auditing
from surefooted.cli import study
from surefooted.cli.app import SLOTS, app
from surefooted.components.describe import describe
from surefooted.components.spec import names
from surefooted.data.paths import set_data_root
from surefooted.pipeline import execute as execution
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import train_task

ROOT = Path(surefooted.__file__).parents[1]
# The page that is run whole by test_bring_your_own.py is not among them.
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted({*ROOT.glob("docs/**/*.md")} - {ROOT / "docs/bring-your-own.md"}),
]
COMMANDS = typer.main.get_command(app).commands
# Keys in the README, which stand for those that a reader's trainings have.
KEYS = ("3fa9c1", "77b0e2", "91ab04")
OF_STUDIES = {f"--{one['name']}" for name in names("study") for one in describe("study", name)["arguments"]}


class Planned(BaseException):
    """Raised in place of a computation, once all its tasks have keys."""


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """The stand-ins of all known sets, a store with three small networks of MNIST, and their keys."""
    root = tmp_path_factory.mktemp("commands")
    write_known_sets(root / "data", "mnist", "fashion_mnist", "cifar10", "svhn")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SUREFOOTED_DATA", str(root / "data"))
        tasks = [
            train_task("vanilla", {"mlp": {"width": 4}}, "mnist", {"recipe": {"epochs": 1}}, seed=seed)
            for seed in range(len(KEYS))
        ]
        execute(tasks, Store(root / "store"), runtime=Runtime("cpu"), quiet=True)
    (root / "factory_of_docs.py").write_text(
        "from torch import nn\ndef factory():\n    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()\n"
    )
    return root, [task.key for task in tasks]


@pytest.fixture
def plan(places, monkeypatch, capfd):
    """Run a command up to its first computation: exit code 0 if it got there, or ended well."""
    root, keys = places
    monkeypatch.chdir(root)
    monkeypatch.syspath_prepend(root)
    monkeypatch.setenv("SUREFOOTED_STORE", str(root / "store"))

    def planned(tasks, store, **options):
        assert all(len(task.key) == 64 for task in tasks)
        raise Planned

    def foreseen(missing, *arguments, **options):
        planned(missing, None)

    for module in (execution, auditing):
        monkeypatch.setattr(module, "execute", planned)

    def requested(request, *arguments):
        request.build()
        raise Planned

    monkeypatch.setattr(auditing, "forecast", foreseen)
    monkeypatch.setattr(study, "run_study", requested)  # its tasks are planned by the tests of the studies
    placeholders = dict(zip(KEYS, keys)) | {"KEY": keys[0], "DIR": str(root / "data"), "CHAPTER": "plane"}
    placeholders |= {"package.module:factory": "factory_of_docs:factory"}

    def call(command):
        for placeholder, value in placeholders.items():
            command = re.sub(rf"(?<!\w){re.escape(placeholder)}\b", value, command)
        monkeypatch.setattr(sys, "argv", shlex.split(command, comments=True))
        with own_streams():
            try:
                cli.main()
            except Planned:
                return 0, ""
            except SystemExit as end:
                return end.code or 0, capfd.readouterr().err
        return 0, ""

    yield call
    set_data_root(None)


def documented(file):
    """The commands of a document: lines of code blocks, and code within a line."""
    text = file.read_text()
    blocks = "\n".join(re.findall(r"```\w*\n(.*?)```", text, re.S))
    inline = re.findall(r"`(surefooted [^`]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
    return [line for line in blocks.splitlines() if re.match(r"(surefooted|export) ", line)] + inline


@pytest.mark.filterwarnings("ignore:The first:surefooted.errors.DataNotice")
@pytest.mark.parametrize("file", DOCUMENTS, ids=lambda file: file.name)
def test_documented_commands_can_be_run_one_after_another(plan, monkeypatch, places, file):
    if file.name != "README.md":  # which says where data are looked for
        monkeypatch.setenv("SUREFOOTED_DATA", str(places[0] / "data"))
    for command in dict.fromkeys(documented(file)):
        if command.startswith("export "):
            name, _, value = shlex.split(command, comments=True)[1].partition("=")
            monkeypatch.setenv(name, value.replace("DIR", str(places[0] / "data")))
        elif not re.fullmatch(r"surefooted report NAME|surefooted \w+", command):  # incomplete on purpose
            code, error = plan(command)
            said = [line for line in error.splitlines() if "image passes" not in line]  # how long it may take
            assert (code, said) == (0, []), command


def strings_of(file):
    """The strings of a module, with X for what an f-string fills in."""
    tree = ast.parse(file.read_text())
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            yield node.value


def test_commands_in_messages_and_help_have_words_that_exist():
    checked = 0
    for file in sorted((ROOT / "surefooted").rglob("*.py")):
        for text in strings_of(file):
            for words in re.findall(rf"surefooted ((?:{'|'.join(COMMANDS)})\b[^`·|;()\n]*)", text):
                name, *rest = words.split()
                command = COMMANDS[name.rstrip(".,:'")]
                if hasattr(command, "commands") and rest and rest[0].strip(".,X") in command.commands:
                    command = command.commands[rest[0].strip(".,X")]
                known = {option for param in command.params for option in param.opts}
                known |= {"--help", *(OF_STUDIES if name in ("study", "report") else ())}
                for flag in re.findall(r"(?<!\S)--[a-z][\w.-]*", words):
                    first = flag[2:].rstrip(".").partition(".")[0]
                    assert flag.rstrip(".,'") in known or first in SLOTS, f"{file.name}: surefooted {words}"
                checked += 1
    assert checked > 25


@pytest.mark.filterwarnings("ignore:The first 2:surefooted.errors.DataNotice")
def test_the_command_that_train_prints_next_runs_as_it_is_printed(places, monkeypatch, plan, capfd):
    """Data were found by --data-root and the network kept by --store: the next command needs both, too."""
    root, _ = places
    monkeypatch.undo()
    monkeypatch.chdir(root)
    words = ["train", "vanilla", "--net", "mlp", "--net.width", "4", "--data", "mnist", "--recipe.epochs", "1"]
    words += ["--data-root", "data", "--store", "store"]
    assert following(monkeypatch, capfd, words)[:4] == ["surefooted", "attack", "pgd", "--model"]
    attack = following(monkeypatch, capfd, words)
    assert attack[-4:] == ["--store", str(root / "store"), "--data-root", str(root / "data")]
    assert ran(monkeypatch, [*attack[1:], "--attack.steps", "1", "--limit", "2"]) == 0
    audit = following(monkeypatch, capfd, ["export", attack[4], "--out", "net.pt2", *words[-4:]])
    assert audit[1:4] == ["audit", "--model", "net.pt2"] and audit[-2:] == ["--data-root", str(root / "data")]
    assert following(monkeypatch, capfd, ["trained", *words[-2:]])[-2:] == ["--store", str(root / "store")]


def ran(monkeypatch, words):
    monkeypatch.setattr(sys, "argv", ["surefooted", *words])
    with own_streams(), pytest.raises(SystemExit) as end:
        cli.main()
    set_data_root(None)
    return end.value.code or 0


def following(monkeypatch, capfd, words):
    """The words of the command that a command prints behind "Next:"."""
    capfd.readouterr()
    assert ran(monkeypatch, words) == 0
    return shlex.split(capfd.readouterr().out.partition("Next: ")[2])
