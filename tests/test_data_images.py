"""Pixels are what the format says, whatever holds the image file; anything else is refused by name."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
import torch.nn.functional as F
from odd_images import ODD, READABLE, REFUSED
from tiny_sets import HubSplit, drawn, fake_hub, png, write_folder

from surefooted import data
from surefooted.data.decode import common_shape, decode_image, encoding
from surefooted.errors import DataError, DataNotice


def in_folder(files, tmp_path, monkeypatch):
    """Every file ends with .png, whatever it contains."""
    (tmp_path / "set" / "train" / "one").mkdir(parents=True)
    for row, content in enumerate(files):
        (tmp_path / "set" / "train" / "one" / f"{row:03}.png").write_bytes(content)
    return lambda: data.folder(tmp_path / "set", test=0, validation=0)


def in_parquet(files, tmp_path, monkeypatch):
    (tmp_path / "set").mkdir(parents=True)
    table = pa.table({"image": [{"bytes": content} for content in files], "label": [0] * len(files)})
    pq.write_table(table, tmp_path / "set" / "train-0.parquet")
    return lambda: data.parquet(tmp_path / "set", test=0, validation=0)


def in_hub(files, tmp_path, monkeypatch):
    split = HubSplit(files, [0] * len(files), encode=lambda content: content, names=["one"])
    fake_hub(monkeypatch, lambda *_, **__: {"train": split})
    return lambda: data.hub("someone/odd", test_split="", test=0, validation=0)


sources = pytest.mark.parametrize("source", [in_folder, in_parquet, in_hub])


def as_channels(pixels, channels):
    pixels = pixels[..., None] if pixels.ndim == 2 else pixels
    return np.broadcast_to(pixels, (*pixels.shape[:2], channels)).transpose(2, 0, 1)


@pytest.mark.parametrize("name", READABLE)
def test_an_image_alone_has_its_own_pixels_and_channels(name):
    odd = READABLE[name]
    channels = 1 if odd.pixels.ndim == 2 else 3
    assert common_shape([(name, odd.data)]) == (channels, *odd.pixels.shape[:2])
    assert np.array_equal(decode_image(name, odd.data, channels), as_channels(odd.pixels, channels))


@pytest.mark.filterwarnings("ignore:.*one class only")
@sources
@pytest.mark.parametrize("grey", [True, False])
def test_a_set_of_odd_images_has_their_pixels(source, grey, tmp_path, monkeypatch):
    """A set that is all grey has one channel; grey images in a set of colour have three equal channels."""
    files = [odd for odd in READABLE.values() if odd.pixels.ndim == 2 or not grey]
    with pytest.warns(DataNotice, match="Transparent pixels of .* are composited on white"):
        table = source([odd.data for odd in files], tmp_path, monkeypatch)().train
    channels = 1 if grey else 3
    expected = np.stack([as_channels(odd.pixels, channels) for odd in files])
    assert len(files) >= 10 and np.array_equal(table.x[table.rows.argsort()].numpy(), expected)


@sources
def test_odd_images_are_refused(source, tmp_path, monkeypatch):
    for row, (name, odd) in enumerate(REFUSED.items()):
        load = source([odd.data], tmp_path / str(row), monkeypatch)
        with pytest.raises(DataError, match=odd.refusal) as refusal:
            load()
        assert "object at" not in str(refusal.value), name


def test_there_are_many_kinds():
    assert len(READABLE) >= 40 and len(REFUSED) >= 30 and len(READABLE) + len(REFUSED) == len(ODD)


def test_the_rule_stands_in_the_help():
    for name in ("folder", "parquet", "hub", "mnist"):
        text = " ".join(getattr(data, name).__doc__.split())
        assert "Transparent pixels are composited on white" in text and "EXIF orientation is applied" in text


@pytest.mark.parametrize("kind, expected", [("webp, lossy", "WEBP, lossy"), ("webp, lossless", "WEBP")])
def test_the_encoding_of_webp_says_if_it_is_lossy(kind, expected):
    assert encoding(READABLE[kind].data) == expected


def test_a_jpeg_of_several_pictures_is_a_jpeg():
    assert encoding(READABLE["jpeg of several pictures"].data) == "JPEG q75"


def test_images_of_several_sizes_are_resized_and_cropped(tmp_path):
    """As torch resizes with anti-aliasing, up to a level of rounding; the crop is the centre."""
    rng = np.random.default_rng(0)
    sizes = [(40, 30), (31, 47), (16, 16), (9, 13)]  # height and width; the last is enlarged
    images = [rng.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]
    for row, image in enumerate(images):
        file = tmp_path / "set" / "train" / "ab"[row % 2] / f"{row}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(png(image))
    splits = data.folder(tmp_path / "set", resize=16, crop=12, test=0, validation=0)
    table = splits.train.x[splits.train.rows.argsort()]
    scaled = [(21, 16), (16, 24), (16, 16), (16, 23)]
    corners = [(4, 2), (2, 6), (2, 2), (2, 6)]  # (21 - 12) / 2 = 4.5 and (23 - 12) / 2 = 5.5 are rounded to even
    for found, k in zip(table, (0, 2, 1, 3)):  # in the order of the classes
        x = torch.from_numpy(images[k]).permute(2, 0, 1)[None].float()
        expected = F.interpolate(x, scaled[k], mode="bilinear", antialias=True)[0]
        top, left = corners[k]
        assert (found - expected[:, top : top + 12, left : left + 12]).abs().max() <= 1.01
    assert splits.spec.arguments["resize"] == 16
    with pytest.raises(DataError, match=r"differ in size.*or set `data.crop`"):
        data.folder(tmp_path / "set", resize=16)
    with pytest.raises(DataError, match=r"9.*pixels; too small for `data.crop=12`.*`data.resize=12`"):
        data.folder(tmp_path / "set", crop=12)


@pytest.mark.filterwarnings("ignore:.*one class only")
def test_grey_test_images_of_a_set_in_colour_become_colour(tmp_path):
    grey, colour = READABLE["grey, 8 bits"], READABLE["bmp, colour"]
    for part, odd in (("train", colour), ("test", grey)):
        (tmp_path / part / "one").mkdir(parents=True)
        (tmp_path / part / "one" / "0.png").write_bytes(odd.data)
    splits = data.folder(tmp_path, validation=0)
    assert np.array_equal(splits.test.x[0].numpy(), as_channels(grey.pixels, 3))


def test_pixels_are_those_of_hugging_face(monkeypatch):
    """The reference of the convention, where its library is installed; transparency is ours to composite."""
    reference = pytest.importorskip("datasets").Image()
    for name, odd in READABLE.items():
        image = reference.decode_example({"bytes": odd.data, "path": None})
        if not image.has_transparency_data:
            mode = "L" if odd.pixels.ndim == 2 else "RGB"
            assert np.array_equal(np.asarray(image.convert(mode)), odd.pixels), name


def test_an_argument_that_came_later_leaves_stored_keys_as_they_are(tmp_path):
    """Results on folders were stored without `resize` and `crop`."""
    folder = write_folder(tmp_path / "set", drawn(12, 0), drawn(4, 1))
    stored = {"path": str(folder), "test": 0.25, "validation": 0.1, "split_seed": 0, "train_limit": 0, "test_limit": 0}
    assert data.folder(folder).spec.json() == data.folder(folder, resize=0).spec.json() == {"folder": stored}
    assert data.folder(folder, crop=4).spec.json() == {"folder": {**stored, "crop": 4}}
