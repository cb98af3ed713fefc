"""Commands as a shell would see them."""

import json
import sys

import pytest
from shell import own_streams

from surefooted import cli
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import train_task


@pytest.fixture
def run(monkeypatch, capfd):
    """What a shell would see of ``surefooted words``: exit code, standard output, standard error."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["surefooted", *map(str, words)])
        capfd.readouterr()
        with own_streams(), pytest.raises(SystemExit) as end:
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
        code, out, error = run(*words, "--json")
        assert code == 0, error
        return json.loads(out, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))

    return call


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A store with a vanilla network in it, which is right of most images."""
    root = tmp_path_factory.mktemp("kept")
    task = train_task("vanilla", {"mlp": {"width": 16}}, "digits", {"recipe": {"epochs": 6, "batch": 64, "lr": 0.01}})
    execute([task], Store(root), runtime=Runtime("cpu"))
    return root, task
