"""Configuration files as people write them: read as they mean it, or refused in a sentence."""

import os

import pytest
from odd_configurations import READ, REFUSED

from surefooted.cli.config import read_config
from surefooted.cli.options import parse_components
from surefooted.components.component import in_slot
from surefooted.components.spec import complete, parse_spec
from surefooted.errors import InputError

SLOTS = ("method", "net", "data", "recipe")


def read(tmp_path, name, content):
    """The components of a file, complete where no data and no shape of images are needed for that."""
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    given = parse_components(SLOTS, {}, [], file)
    for slot in given.keys() & {"method", "recipe"}:
        with in_slot(slot):
            given[slot] = complete(slot, given[slot])
    return given


@pytest.mark.parametrize(("name", "content", "expected"), READ, ids=[one[0] for one in READ])
def test_what_a_file_means_is_read(tmp_path, name, content, expected):
    given = read(tmp_path, name, content)
    for slot, spec in expected.items():
        (chosen, arguments), (found, seen) = parse_spec(spec), parse_spec(given[slot])
        assert chosen == found and {key: seen[key] for key in arguments} == arguments
        assert str({key: seen[key] for key in arguments}) == str(arguments)  # of these types, and 0.0 is not -0.0


@pytest.mark.parametrize(("name", "content", "said"), REFUSED, ids=[one[0] for one in REFUSED])
def test_what_cannot_be_meant_is_refused(tmp_path, name, content, said):
    with pytest.raises(InputError) as error:
        given = read(tmp_path, name, content)
        with in_slot("data"):
            complete("data", given["data"])
    assert said in str(error.value)
    assert not any(word in str(error.value) for word in ("python=", "lax-or-strict", "pydantic"))


def test_what_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.yaml")
    for path, said in (
        ("/dev/zero", "is a device or a pipe"),
        (tmp_path / "pipe.yaml", "is a device or a pipe"),
        (tmp_path, "is a directory"),
        (tmp_path / "absent.yaml", "No such file"),
        (tmp_path / ("x" * 300), "File name too long"),
        ("a\0b", "null byte"),
    ):
        with pytest.raises(InputError, match=said):
            read_config(type(tmp_path)(path), SLOTS)
