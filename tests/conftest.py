"""Small tensors on shared cores are fastest on one thread, and give the same bits on any number of cores."""

import os

import pytest
import torch

torch.set_num_threads(1)
os.environ["PYTHONFAULTHANDLER"] = "1"  # a process that a test starts says where it crashed


@pytest.fixture(autouse=True)
def own_places(tmp_path, monkeypatch):
    """No test touches the user's store or cache, or finds their data."""
    monkeypatch.setenv("SUREFOOTED_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUREFOOTED_DATA", raising=False)
