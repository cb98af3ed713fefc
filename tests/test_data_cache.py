"""The cache of decoded images: it saves decoding, and its faults are never fatal."""

import os

import numpy as np
import pytest
from tiny_sets import drawn, png, write_parquet, write_parquet_set

from surefooted import data
from surefooted.data import decode
from surefooted.errors import InputError


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("SUREFOOTED_DATA", raising=False)
    return tmp_path / "cache"


def entries(cache):
    return sorted(path.name for path in cache.iterdir())


def test_images_are_decoded_once(tmp_path, cache, monkeypatch):
    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))
    first = data.parquet(root)
    assert len(entries(cache)) == 2 and all(len(name) == 68 and name.endswith(".npy") for name in entries(cache))
    monkeypatch.setattr(decode, "open_image", None)  # decoding anything would fail
    assert data.parquet(root).checksum == first.checksum


def test_changed_files_are_decoded_anew(tmp_path, cache):
    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))
    first = data.parquet(root).checksum
    write_parquet_set(root, drawn(8, 2), drawn(3, 1))
    assert data.parquet(root).checksum != first and len(entries(cache)) == 3


@pytest.mark.parametrize("harm", ["cut", "empty", "garbage", "shape", "kind", "pickle"])
def test_a_broken_cache_entry_is_rebuilt(tmp_path, cache, harm):
    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))
    first = data.parquet(root).checksum
    before = entries(cache)
    for path in cache.iterdir():
        whole = np.load(path)
        if harm in ("shape", "kind"):
            np.save(path, whole[:-1] if harm == "shape" else whole.astype(np.float32))
        elif harm == "pickle":
            np.save(path, np.array([{}]), allow_pickle=True)
        else:
            path.write_bytes({"cut": path.read_bytes()[:-5], "empty": b"", "garbage": b"x" * 500}[harm])
    assert data.parquet(root).checksum == first
    assert entries(cache) == before and all(np.load(path).dtype == np.uint8 for path in cache.iterdir())


def test_a_failed_decoding_leaves_no_entry(tmp_path, cache):
    rows = iter(range(8))
    write_parquet(
        tmp_path / "train-0.parquet", *drawn(8, 0), encode=lambda p: png(p)[: -30 if next(rows) == 7 else None]
    )
    with pytest.raises(InputError, match="row 7"):
        data.parquet(tmp_path)
    assert not cache.exists() or entries(cache) == []


def test_a_cache_that_cannot_be_written_is_not_fatal(tmp_path, cache, monkeypatch):
    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))
    cache.write_text("a file where the directory should be")
    without = data.parquet(root)
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "other"))
    assert data.parquet(root).checksum == without.checksum


def test_a_full_disk_is_not_fatal(tmp_path, cache, monkeypatch):
    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    without = data.parquet(root)
    assert entries(cache) == []
    monkeypatch.undo()
    monkeypatch.setenv("SUREFOOTED_CACHE", str(tmp_path / "other"))
    assert data.parquet(root).checksum == without.checksum


def test_changes_of_loaded_images_do_not_reach_the_cache(tmp_path, monkeypatch):
    from surefooted.data import images

    root = write_parquet_set(tmp_path / "a", drawn(8, 0), drawn(3, 1))
    first = data.parquet(root).checksum
    monkeypatch.setattr(images, "RESIDENT_LIMIT", 0)
    data.parquet(root).train.x.table.zero_()
    assert data.parquet(root).checksum == first
