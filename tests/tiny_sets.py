"""Small data sets on disk, in every supported format."""

import io
import json
import sys
import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from surefooted import data

CLASSES = ("cat", "dog", "eel")


def png(array, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(n, seed, shape=(5, 6)):
    """Random images and sorted labels of all classes, in the order of an image folder."""
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.sort(np.arange(n) % len(CLASSES))


def metadata(names, columns=("image", "label")):
    image, label = columns
    features = {image: {"_type": "Image"}, label: {"_type": "ClassLabel", "names": list(names)}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write_parquet(path, pictures, labels, names=CLASSES, encode=png, columns=("image", "label")):
    encoded = [{"bytes": encode(p), "path": f"{i}.png"} for i, p in enumerate(pictures)]
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    table = pa.table(dict(zip(columns, (pa.array(encoded, kind), pa.array(labels, pa.int64())))))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table.replace_schema_metadata(metadata(names, columns) if names else None), path)


def write_parquet_set(root, train, test, **options):
    write_parquet(root / "train-00000-of-00001.parquet", *train, **options)
    write_parquet(root / "test-00000-of-00001.parquet", *test, **options)
    return root


def write_folder(root, train, test):
    for part, (pictures, labels) in {"train": train, "test": test}.items():
        for row, (picture, label) in enumerate(zip(pictures, labels)):
            file = root / part / CLASSES[label] / f"{row:04}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(picture))
    return root


def write_npz(file, train, test):
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, x_train=train[0], y_train=train[1], x_test=test[0], y_test=test[1], classes=np.array(CLASSES))
    return file


def write_table(root, train, test, names=CLASSES):
    """A table beside its images, which lie in a folder without classes."""
    rows = ["image,label,split"]
    (root / "images").mkdir(parents=True)
    for part, (pictures, labels) in {"train": train, "test": test}.items():
        for row, (picture, label) in enumerate(zip(pictures, labels)):
            (root / "images" / f"{part}{row}.png").write_bytes(png(picture))
            rows.append(f"images/{part}{row}.png,{names[label]},{part}")
    (root / "tiny.csv").write_text("\n".join(rows) + "\n")
    return root / "tiny.csv"


def parts(splits):
    return splits.train, splits.validation, splits.test


def named_sets():
    """Facts of all named data sets, as stated by their components."""
    components = {name: getattr(data, name) for name in data.__all__}
    return {name: component.facts for name, component in components.items() if hasattr(component, "facts")}


def write_known_sets(root, *names):
    """Write a stand-in for named data sets, by default all: 200 training and 100 test images of its shape."""
    for name in names or named_sets():
        facts = named_sets()[name]
        rng = np.random.default_rng(0)
        channels, height, width = facts.shape
        shape = (height, width) if channels == 1 else (height, width, channels)
        train, test = (
            (rng.integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % facts.classes) for n in (200, 100)
        )
        classes = [f"{k}" for k in range(facts.classes)]
        write_parquet_set(root / name, train, test, names=classes, columns=(facts.image, facts.label))
    return root


class HubSplit:
    """The part of a ``datasets.Dataset`` that ``hub`` uses."""

    def __init__(self, pictures, labels, encode=None, names=CLASSES, path=False):
        self.pictures, self.labels, self.path = pictures, labels, path
        self.encode = encode or png
        image, label = type("Image", (), {})(), types.SimpleNamespace(names=list(names))
        self.features = {"image": image, "label": label}

    def select_columns(self, columns):
        return self

    def cast_column(self, column, kind):
        return self

    def with_format(self, kind):
        return self if kind is None else {"label": list(self.labels)}

    def __len__(self):
        return len(self.pictures)

    def iter(self, batch_size):
        for start in range(0, len(self), batch_size):
            batch = self.pictures[start : start + batch_size]
            yield {"image": [{"bytes": None, "path": p} if self.path else {"bytes": self.encode(p)} for p in batch]}


def fake_hub(monkeypatch, load):
    """Put a library in the place of ``datasets``."""
    library = types.ModuleType("datasets")
    library.__version__ = "4.0.0"
    library.load_dataset = load
    library.Image = lambda decode: None
    library.config = types.SimpleNamespace(
        HF_CACHE_HOME="", HF_DATASETS_CACHE="", DOWNLOADED_DATASETS_PATH="", EXTRACTED_DATASETS_PATH=""
    )
    monkeypatch.setitem(sys.modules, "datasets", library)
