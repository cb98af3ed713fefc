"""What the README shows runs as it stands."""

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def test_the_python_of_the_readme_runs(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len([line for line in code.splitlines() if line.strip()]) <= 11
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    assert "accuracy" in capsys.readouterr().out
    assert names["attacked"].found.shape == names["nearest"].size.shape == names["data"].test.y.shape


def test_the_files_that_it_points_to_are_there():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
