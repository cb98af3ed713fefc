"""Every block of the page about own data, models and predictions runs, from top to bottom, as it stands."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from surefooted import cli

PAGE = Path(__file__).parents[1] / "docs" / "bring-your-own.md"


def blocks():
    return re.findall(r"^```(python|)\n(.*?)^```$", PAGE.read_text(), re.S | re.M)


def test_the_page_has_both_ways():
    kinds = [kind for kind, _ in blocks()]
    assert kinds.count("python") >= 8 and kinds.count("") >= 5


@pytest.mark.filterwarnings("ignore::surefooted.errors.Notice")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch.jit, which a user may still have
def test_every_block_runs(tmp_path, monkeypatch, capsys, request):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    request.addfinalizer(lambda: sys.modules.pop("mymodels", None))  # which the page writes
    names: dict = {}
    for kind, text in blocks():
        if kind == "python":
            exec(compile(text, "bring-your-own.md", "exec"), names)
            continue
        for command in text.splitlines():
            monkeypatch.setattr(sys, "argv", [*shlex.split(command), "-q"])
            try:
                code = cli.main()
            except SystemExit as end:
                code = end.code
            assert not code, f"{command}\n{capsys.readouterr().err}"
    assert (tmp_path / "calibration" / "index.html").exists() and (tmp_path / "shift" / "index.html").exists()
