"""Files of predictions: names of arrays and columns, dialects of CSV, and files that are refused."""

import io
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from test_metrics import sample

from surefooted.errors import DataNotice, InputError, NonFiniteOutput
from surefooted.evaluation import prediction_files
from surefooted.evaluation.prediction_files import read_predictions

P = sample(12, k=3, dtype=torch.float64)
LOGITS, Y = (P.log_p + 2).numpy(), P.y.numpy()
PROBABILITIES = P.log_p.exp().numpy()
TOP, CONFIDENCE = PROBABILITIES.argmax(1), PROBABILITIES.max(1)


def as_csv(columns: dict, delimiter: str = ",", decimal: str = ".") -> str:
    rows = [delimiter.join(columns)]
    for row in zip(*columns.values()):
        rows.append(delimiter.join(str(value).replace(".", decimal) for value in row))
    return "\r\n".join(rows) + "\r\n"


def per_class(beginning: str, values: np.ndarray, names=range(3)) -> dict:
    return {f"{beginning}{name}": values[:, k].tolist() for k, name in enumerate(names)}


@pytest.mark.parametrize(
    ("arrays", "kind"),
    [
        ({"logits": LOGITS, "y": Y}, "logits"),
        ({"Logits": np.asfortranarray(LOGITS.astype("f2")), "labels": Y.astype("u1")}, "logits"),
        ({"probs": PROBABILITIES, "target": np.eye(3)[Y]}, "probabilities"),
        ({"log_p": P.log_p.numpy(), "y_true": Y[:, None]}, "log_probabilities"),
        ({"predictions": PROBABILITIES, "y": Y}, "probabilities"),
        ({"outputs": LOGITS, "y": Y.astype(str)}, "logits"),
        ({"pred": TOP, "confidence": CONFIDENCE, "y": Y}, "labels"),
        ({"logits": LOGITS, "y": np.array(["b", "a", "c"])[Y], "classes": np.array(["b", "a", "c"])}, "logits"),
        ({"logits": LOGITS, "y": Y, "rows": np.arange(12) // 2}, "logits"),
    ],
)
def test_names_of_arrays(tmp_path, arrays, kind):
    np.savez(tmp_path / "p.npz", **arrays)
    saved = read_predictions(tmp_path / "p.npz")
    assert saved.outputs == kind and saved.name == "p.npz"
    right = P.top()[1] if kind == "labels" else None
    assert saved.p.top()[1].equal(right) if kind == "labels" else saved.p.y.equal(P.y)


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        (per_class("logit_", LOGITS), "logits"),
        (per_class("p", PROBABILITIES), "probabilities"),
        (per_class("Prob_", PROBABILITIES), "probabilities"),
        (per_class("log_p_", P.log_p.numpy()), "log_probabilities"),
        (dict(reversed(per_class("logits.", LOGITS).items())), "logits"),
    ],
)
@pytest.mark.parametrize("form", ["csv", "semicolons", "comma decimals", "bom and tabs", "parquet"])
def test_columns_and_dialects(tmp_path, columns, kind, form):
    table = {"id": [f"é{k}" for k in range(12)], "label": Y.tolist(), **columns}
    file = tmp_path / f"p.{'parquet' if form == 'parquet' else 'csv'}"
    if form == "parquet":
        pq.write_table(pa.table(table), file)
    else:
        marks = {"csv": (",", "."), "semicolons": (";", "."), "comma decimals": (";", ","), "bom and tabs": ("\t", ".")}
        file.write_text(as_csv(table, *marks[form]), encoding="utf-8-sig" if form == "bom and tabs" else "utf-8")
    saved = read_predictions(file)
    assert saved.outputs == kind and saved.p.y.equal(P.y) and saved.ids is not None and saved.ids[1] == "é1"
    torch.testing.assert_close(saved.p.log_p, P.log_p)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_classes_and_labels_with_names(tmp_path, suffix):
    names = np.array(["dog", "cat", "a b"])
    for columns in (
        per_class("prob_", PROBABILITIES, names),
        {"pred": names[TOP].tolist(), "confidence": CONFIDENCE.tolist()},
    ):
        table = {"y": names[Y].tolist(), **columns}
        if suffix == ".csv":
            (tmp_path / "p.csv").write_text(as_csv(table))
        else:
            pq.write_table(pa.table(table), tmp_path / "p.parquet")
        saved = read_predictions(tmp_path / f"p{suffix}")
        assert saved.p.top()[1].equal(P.top()[1])
        torch.testing.assert_close(saved.p.top()[0], P.top()[0])


def test_parquet_lists_are_rows_of_logits(tmp_path):
    pq.write_table(pa.table({"logits": list(LOGITS.astype("f4")), "label": Y}), tmp_path / "p.parquet")
    assert read_predictions(tmp_path / "p.parquet").p.log_p.allclose(P.log_p.float(), atol=1e-6)
    pq.write_table(pa.table({"logits": [[0.0, 1.0], [0.0]], "label": [0, 1]}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match="lists of 'logits' differ in length"):
        read_predictions(tmp_path / "p.parquet")


def test_what_is_not_read_is_said(tmp_path):
    np.savez(tmp_path / "p.npz", logits=LOGITS, probs=PROBABILITIES, y=Y, notes=np.zeros(3))
    with pytest.warns(DataNotice, match=r"Not read in p.npz: 'probs', 'notes'. Read are logits, y"):
        assert read_predictions(tmp_path / "p.npz").outputs == "logits"
    with pytest.warns(DataNotice, match="Not read in p.npz: 'logits', 'notes'"):
        assert read_predictions(tmp_path / "p.npz", outputs="probabilities").outputs == "probabilities"


def test_empty_cells_are_no_answer(tmp_path):
    (tmp_path / "p.csv").write_text("y,p0,p1\n0,0.5,0.5\n1,,NaN\n")
    with pytest.warns(NonFiniteOutput, match="1 of 2 rows"):
        assert read_predictions(tmp_path / "p.csv").p.answered.tolist() == [True, False]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("p.pt", b"", "is no file of predictions: expected .npz, .csv, .tsv or .parquet"),
        ("p.npz", b"not a zip", "cannot be read as a NumPy archive"),
        ("p.parquet", b"not parquet", "p.parquet"),
        ("p.csv", b"", "has no header"),
        ("p.csv", b"0,0.5,0.5\n1,0.4,0.6\n", "has no header: its first line names no column"),
        ("p.csv", b"y,p0,p1\n", "has no rows"),
        ("p.csv", b"y,p0,p1\n0,0.5\n", "cannot be read as a table"),
        ("p.csv", b"y,p0,p1\n0,half,0.5\n", "cannot be read as a table .*half"),
        ("p.csv", "y,p0\n0,0.5\n".encode("utf-16"), "Write it as UTF-8"),
        ("p.csv", b"y,p0,p0\n0,0.5,0.5\n", "several columns named 'p0'"),
        ("p.csv", b"y,label,p0,p1\n0,0,0.5,0.5\n", "has 'y' and 'label', which mean the same"),
        ("p.csv", b"p0,p1\n0.5,0.5\n", "has no labels; it has 'p0', 'p1'. Expected labels .y, label or target"),
        ("p.csv", b"y,a,b\n0,1,2\n", "has no outputs; it has 'y', 'a', 'b'. Expected labels"),
        ("p.csv", b"y,p1,p2\n0,0.5,0.5\n", "numbered from 0 without a gap, one per class; got 2 from 1 to 2"),
        ("p.csv", b"y,pred\n0,1\n", "predicted labels"),
        ("p.csv", b"y,p0,p1\n,0.5,0.5\n", "lack row 0"),
    ],
)
def test_files_that_are_refused(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_predictions(tmp_path / name)


def test_missing_files_and_folders_are_refused(tmp_path):
    with pytest.raises(InputError, match="There is no"):
        read_predictions(tmp_path / "absent.npz")
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(InputError, match="is a directory; expected a file of predictions"):
        read_predictions(tmp_path / "folder.npz")


def test_objects_are_not_unpickled_and_sizes_are_looked_at_first(tmp_path, monkeypatch):
    np.savez(tmp_path / "p.npz", logits=LOGITS, y=np.array(["a", None], object))
    with pytest.raises(InputError, match=r"p.npz, 'y' holds Python objects, which are not read"):
        read_predictions(tmp_path / "p.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f8", "fortran_order": False, "shape": (10**6, 10**6)})
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("logits.npy", header.getvalue())
    with pytest.raises(InputError, match="'logits': this takes 8,000,000,000,000 bytes; at most"):
        read_predictions(tmp_path / "p.npz")
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<U100000000", "fortran_order": False, "shape": (12,)})
    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        archive.writestr("y.npy", header.getvalue())
    with pytest.raises(InputError, match="'y': this takes 4,800,000,000 bytes; at most"):
        read_predictions(tmp_path / "p.npz")
    monkeypatch.setattr(prediction_files, "_MOST_BYTES", 160)
    pq.write_table(pa.table({"y": Y, **per_class("p", PROBABILITIES)}), tmp_path / "p.parquet")
    with pytest.raises(InputError, match=r"p.parquet: this takes \d+ bytes; at most 160"):
        read_predictions(tmp_path / "p.parquet")
    (tmp_path / "p.csv").write_text(as_csv({"y": Y, **per_class("p", PROBABILITIES)}))
    with pytest.raises(InputError, match="is larger than"):
        read_predictions(tmp_path / "p.csv")
    monkeypatch.setattr(prediction_files, "_MOST_BYTES", 8 * 48)
    np.savez(tmp_path / "p.npz", logits=LOGITS, y=Y, ids=Y)
    with pytest.raises(InputError, match="'y': this takes 480 bytes; at most 384"):
        read_predictions(tmp_path / "p.npz")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_one_long_name_does_not_fill_the_memory(tmp_path, monkeypatch, suffix):
    columns = {"y": Y.tolist(), "id": ["x" * 2000, *map(str, range(11))], **per_class("p", PROBABILITIES)}
    file = tmp_path / f"p{suffix}"
    if suffix == ".csv":
        file.write_text(as_csv(columns))
    else:
        pq.write_table(pa.table(columns), file)
    assert len(read_predictions(file).ids) == 12
    monkeypatch.setattr(prediction_files, "_MOST_BYTES", 20_000)
    with pytest.raises(InputError, match="'id': this takes 96,000 bytes; at most 20,000"):
        read_predictions(file)


@pytest.mark.parametrize("suffix", [".npz", ".parquet"])
def test_what_is_not_read_may_be_large(tmp_path, monkeypatch, suffix):
    columns = {"y": Y, "features": np.zeros((12, 900)), "logits": LOGITS}
    file = tmp_path / f"p{suffix}"
    if suffix == ".npz":
        np.savez(file, **columns, notes=np.array([None]))
    else:
        pq.write_table(pa.table({name: value.tolist() for name, value in columns.items()}), file)
    monkeypatch.setattr(prediction_files, "_MOST_BYTES", 2000)
    with pytest.warns(DataNotice, match="'features'"):
        assert read_predictions(file).p.log_p.allclose(P.log_p)
