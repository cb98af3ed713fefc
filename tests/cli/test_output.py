"""What commands print: one document for programs, and nothing that a terminal takes for a command."""

import io
import json
import os
import sys

import pytest
from test_cli import QUICK

from surefooted.core.streams import prepare_streams, visible
from surefooted.errors import ArgumentError
from surefooted.pipeline.execute import _as_markup
from surefooted.report.display import Printable
from surefooted.report.terminal import Terminal, make_table

HOSTILE = "net\x1b[2J\x9b1m\r\x07‮name"


def test_the_document_is_alone_whatever_a_model_prints(run, monkeypatch):
    def noisy(*_, **__):
        print("loading weights ...")
        os.write(1, b"a library in C\n")
        os.system("echo a child process")
        raise ArgumentError("Too loud.")

    monkeypatch.setattr("surefooted.pipeline.execute.execute", noisy)
    code, out, error = run("train", "vanilla", *QUICK, "--json")
    assert code == 2 and json.loads(out) == {"error": "Too loud."}
    assert all(line in error for line in ("loading weights ...", "a library in C", "a child process"))


def test_an_unforeseen_error_is_one_line_that_says_how_to_see_more(run, monkeypatch):
    def fail(*_, **__):
        raise KeyError("weight")

    monkeypatch.setattr("surefooted.pipeline.execute.execute", fail)
    code, out, error = run("train", "vanilla", *QUICK)
    assert (code, out) == (1, "") and error.startswith(
        "surefooted: Unexpected KeyError: 'weight' (test_output.py, line"
    )
    assert "SUREFOOTED_TRACEBACK=1" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("encoding", "written"),
    [("ascii", b"eps <= 8/255, grosse \\u732b"), ("latin-1", b"eps <= 8/255, gr\xf6\xdfe \\u732b")],
)
def test_any_encoding_takes_any_text(monkeypatch, encoding, written):
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setattr(sys, "stderr", None)
    prepare_streams()
    print("ε ≤ 8/255, größe 猫", end="", flush=True)
    print("nobody reads this", file=sys.stderr)
    assert raw.getvalue() == written
    sys.stderr.close()


@pytest.mark.parametrize("columns", [1, 20, 80, 500])
def test_names_send_no_commands_to_the_terminal_at_any_width(columns):
    class Named(Printable):
        def lines(self):
            return [HOSTILE]

    out = io.StringIO()
    console, table = Terminal(file=out, width=columns, force_terminal=False), make_table(HOSTILE, "value")
    table.add_row(HOSTILE, "0.5")
    for item in (HOSTILE, table, Named()):
        console.print(item, highlight=False)
    shown = out.getvalue()
    assert not any(letter in shown for letter in "\x1b\x9b\r\x07‮") and "\\x1b[2J" in shown.replace("\n", "")


def test_progress_shows_names_as_they_are():
    assert _as_markup(HOSTILE + "[bold]") == visible(HOSTILE) + "\\[bold]"


def test_surroundings_that_no_command_can_work_in(refused, tmp_path, monkeypatch):
    assert "is not valid text in this locale's encoding" in refused("trained", "--store", "store\udcff")
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    assert "The working directory does not exist any more." in refused("trained")
    monkeypatch.chdir(tmp_path)


def test_a_store_is_looked_for_and_not_made(refused, tmp_path):
    assert "There is no store" in refused("trained", "--store", tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("measure 3fa9c1", "Write it as an option: --model 3fa9c1."),
        ("attack pgd 3fa9c1", "Write it as an option: --model 3fa9c1."),
        ("audit mymod:good", "Write it as an option: --model mymod:good."),
        ("audit --model mymod --data digits", "such as mymod:good."),
        ("audit --model nothere --data digits", "An external classifier is MODULE:FUNCTION."),
        ("train vanilla --net mlp --out w.pt", "--out w.pt does not end in .safetensors"),
        ("train vanilla --net mlp --out /dev/full", "--out /dev/full is a device or a pipe"),
    ],
)
def test_a_misplaced_word_is_answered_with_its_spelling(refused, tmp_path, monkeypatch, words, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mymod.py").write_text("def good(): ...\ndef needs(a): ...\n")
    message = refused(*words.split())
    assert said in message and "mymod:needs" not in message


def test_the_attack_is_told_beside_clean_accuracy(document, run, kept):
    root, task = kept
    place = ["--model", task.key, "--store", root, "--limit", "40", "--accelerator", "cpu"]
    said = document("attack", "pgd", "--attack.eps", "0.2", "--attack.steps", "3", *place)
    clean, robust, success = (said[name]["value"] for name in ("clean_accuracy", "robust_accuracy", "success_rate"))
    assert robust == pytest.approx(clean * (1 - success)) and 0 < success <= 1  # the attack keeps what it found
    code, out, _ = run("attack", "nearest_boundary", *place)
    assert code == 0 and "images without an adversarial example" in out and "robust accuracy" not in out


def test_a_wrong_name_of_the_package_is_answered_with_the_nearest():
    import surefooted as sf

    with pytest.raises(AttributeError, match=r"has no attribute 'pgdd'\. Did you mean 'pgd'"):
        sf.pgdd  # noqa: B018
    assert not hasattr(sf, "__wrapped__")
