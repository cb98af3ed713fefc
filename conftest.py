"""Examples in docstrings run as tests, with a store of their own and small stand-ins for the named data sets."""

import pytest
import torch
from tiny_sets import write_known_sets

collect_ignore_glob = ["*conftest.py"]  # several modules of one name cannot all be searched for examples


@pytest.fixture(scope="session")
def example_places(tmp_path_factory):
    """One store and one data root for all examples of a process: what one example trains, the next finds."""
    root = tmp_path_factory.mktemp("examples")
    write_known_sets(root / "data")
    return root


@pytest.fixture(autouse=True)
def example(request, monkeypatch):
    """Run an example in the folder of the examples, always from the same random state."""
    if isinstance(request.node, pytest.DoctestItem):
        root = request.getfixturevalue("example_places")
        monkeypatch.chdir(root)
        monkeypatch.setenv("SUREFOOTED_STORE", str(root / "store"))
        monkeypatch.setenv("SUREFOOTED_CACHE", str(root / "cache"))
        monkeypatch.setenv("SUREFOOTED_DATA", str(root / "data"))
        torch.set_num_threads(1)
        torch.manual_seed(0)
