"""Outputs saved elsewhere: what they are read as, what is refused and why, and how two files are paired."""

import numpy as np
import pytest
import torch
from test_metrics import sample

from surefooted.core.predictions import predictions
from surefooted.errors import DataNotice, InputError, NonFiniteOutput
from surefooted.evaluation import metrics
from surefooted.evaluation.metrics.functional import MetricComponent
from surefooted.evaluation.saved_predictions import pair_rows, read_outputs

P = sample(40, k=4)
LOGITS, Y = (P.log_p + 3).numpy(), P.y.numpy()
PROBABILITIES = P.log_p.double().exp().numpy()
CONFIDENCE, CORRECT = (values.numpy() for values in P.top())
PREDICTED = PROBABILITIES.argmax(1)


@pytest.mark.parametrize(
    ("values", "kind", "reason"),
    [
        (LOGITS, "logits", "no probabilities and no log-probabilities"),
        (PROBABILITIES, "probabilities", "every row is in [0, 1] and sums to 1"),
        (P.log_p, "log_probabilities", "its exponentials sum to 1"),
        (np.asfortranarray(PROBABILITIES), "probabilities", "sums to 1"),
        (LOGITS[::-1][::-1], "logits", "no probabilities"),
        (LOGITS.astype(">f4"), "logits", "no probabilities"),
        (LOGITS.tolist(), "logits", "no probabilities"),
        ((LOGITS * 100).astype(int), "logits", "no probabilities"),
    ],
)
def test_values_tell_what_they_are(values, kind, reason):
    saved = read_outputs(values, Y)
    assert saved.outputs == kind and reason in saved.reason
    if not isinstance(values, np.ndarray) or values.dtype.kind == "f":
        torch.testing.assert_close(saved.p.log_p.double(), P.log_p.double(), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("kind", ["logits", "probabilities"])
def test_half_precision_is_read_in_full(dtype, kind):
    values = torch.tensor(LOGITS if kind == "logits" else PROBABILITIES).to(dtype)
    saved = read_outputs(values, Y, outputs=kind)
    assert saved.p.log_p.exp().sum(-1).sub(1).abs().max() < 1e-6 and saved.p.log_p.dtype.itemsize >= 4
    assert metrics.nll(saved.p) == pytest.approx(metrics.nll(P), abs=0.02)


def test_what_a_name_or_the_user_says_wins_if_it_can_be_true():
    named = read_outputs(LOGITS, Y, stated=("logits", "'logits'"))
    assert named.reason == "they are named 'logits'"
    assert read_outputs(P.log_p, Y, outputs="logits").p.log_p.allclose(P.log_p, atol=1e-6)
    with pytest.raises(InputError, match=r"names its outputs 'logits', but every row is in .0, 1. and sums to 1. Set"):
        read_outputs(PROBABILITIES, Y, stated=("logits", "'logits'"))
    with pytest.warns(DataNotice, match="read as logits, as `outputs` says, but every row is in .0, 1. and sums"):
        forced = read_outputs(PROBABILITIES, Y, outputs="logits")
    assert forced.p.log_p.allclose(torch.tensor(PROBABILITIES).log_softmax(-1))


def test_two_classes_may_have_one_column():
    q = np.array([0.9, 0.2, 0.6])
    for values in (q, q[:, None]):
        saved = read_outputs(values, [1, 0, 0])
        assert saved.reason == "every one is in [0, 1]" and saved.p.log_p.exp()[:, 1].tolist() == pytest.approx(q)
    logit = read_outputs(np.log(q / (1 - q)), [1, 0, 0])
    assert logit.outputs == "logits" and logit.p.log_p.allclose(saved.p.log_p)


@pytest.mark.parametrize(
    "labels",
    [
        Y.tolist(),
        Y.astype(np.uint8),
        Y.astype(float),
        Y[:, None],
        Y.astype(str),
        np.eye(4)[Y],
        torch.tensor(Y, dtype=torch.int32),
        np.array([f" {label} " for label in Y]),
    ],
    ids=["list", "uint8", "float", "column", "digits", "one-hot", "int32", "spaces"],
)
def test_labels_take_any_form(labels):
    assert read_outputs(LOGITS, labels).p.y.equal(P.y)


def test_labels_may_be_the_names_of_the_columns():
    classes = ("dog", "cat", "10", "2")
    saved = read_outputs(LOGITS, np.array(classes)[Y], classes=classes)
    assert saved.p.y.equal(P.y)
    with pytest.raises(InputError, match="has the label 'cow'; its columns are of the classes dog, cat, 10, 2"):
        read_outputs(LOGITS[:1], ["cow"], classes=classes)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: read_outputs(LOGITS, Y, outputs="softmax"), "`outputs` is 'softmax'; expected one of auto, logits"),
        (lambda: read_outputs([[0.5, 0.9], [0.1, 0.2]], [0, 1]), "rows sum to between 0.3 and 1.4.*`outputs=logits`"),
        (lambda: read_outputs(LOGITS, Y, outputs="probabilities"), "range from .* expected .0, 1.*`outputs=logits`"),
        (lambda: read_outputs(100 * PROBABILITIES, Y, outputs="probabilities"), "Divide per cent by 100"),
        (lambda: read_outputs([[0.5, 0.9], [0.1, 0.2]], [0, 1], outputs="probabilities"), "sum to 0.3 in row 1, not"),
        (lambda: read_outputs(LOGITS, Y, outputs="log_probabilities"), "log-probabilities of .* sum to"),
        (lambda: read_outputs([-0.1, -2.0], [0, 1], outputs="log_probabilities"), "one column of log-probabilities"),
        (lambda: read_outputs(LOGITS, Y + 1), "range from 1 to 4; expected 0 to 3 for 4 classes. Subtract 1"),
        (lambda: read_outputs(LOGITS, Y - 1), "range from -1"),
        (lambda: read_outputs(LOGITS, Y + 0.5), "are no whole numbers: row 0 is"),
        (lambda: read_outputs(LOGITS, np.where(Y > 2, np.nan, Y)), "no whole numbers: row .* is nan"),
        (lambda: read_outputs(LOGITS, np.full((40, 4), 0.25)), "4 columns that are not one-hot"),
        (lambda: read_outputs(LOGITS, ["cat"] * 40), "does not say which column is which class. Name the columns"),
        (lambda: read_outputs(LOGITS, [""] * 40), "lack row 0"),
        (lambda: read_outputs(LOGITS, [object()] * 40), "are object; expected whole numbers or text"),
        (lambda: read_outputs(LOGITS[0:0], []), r"shape \(0, 4\)"),
        (lambda: read_outputs(LOGITS.astype(object), Y), "`predictions` is ndarray; expected numbers"),
        (lambda: read_outputs(PREDICTED, Y), "these are predicted labels. Calibration needs the probability"),
        (lambda: read_outputs(PREDICTED, Y, outputs="labels"), "without their probability"),
        (lambda: read_outputs(PREDICTED, Y, confidence=CONFIDENCE[:3]), "expected one of each per row"),
        (lambda: read_outputs(PREDICTED, Y, confidence=99 * CONFIDENCE), "Divide per cent by 100"),
        (lambda: read_outputs(PREDICTED, Y, confidence=CONFIDENCE - 2), "range from -1"),
        (lambda: read_outputs(PREDICTED, Y, confidence=0 * CONFIDENCE), "most probable of 4 classes has at least 0.25"),
        (lambda: read_outputs(PREDICTED, Y, confidence=CONFIDENCE, outputs="logits"), "`outputs` is 'logits'"),
        (lambda: read_outputs(LOGITS, Y, ids=np.linspace(0, 1, 40)), "ids of the rows of predictions are no list"),
        (lambda: read_outputs(LOGITS, Y[:5]), r"one entry of y per row of log_p, shape \(40,\)"),
    ],
)
def test_what_cannot_be_used_is_refused(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_rounded_probabilities_are_divided_by_their_sum_and_that_is_said():
    rounded = PROBABILITIES.round(2)
    with pytest.warns(DataNotice, match=r"sum to 1 only within 0.01: \d+ of 40 rows were divided by their sum"):
        saved = read_outputs(rounded, Y, outputs="probabilities")
    assert saved.p.log_p.exp().numpy() == pytest.approx(rounded / rounded.sum(1, keepdims=True))


@pytest.mark.parametrize("kind", ["logits", "probabilities", "log_probabilities"])
def test_rows_that_are_no_answer_stay_and_are_said(kind):
    values = {"logits": LOGITS, "probabilities": PROBABILITIES, "log_probabilities": P.log_p.numpy()}[kind].copy()
    values[[3, 7], [0, 2]] = np.nan
    with pytest.warns(NonFiniteOutput, match="2 of 40 rows have NaN .* the first is row 3"):
        saved = read_outputs(values, Y, outputs=kind)
    assert (~saved.p.answered).nonzero()[:, 0].tolist() == [3, 7]


@pytest.mark.parametrize("name", [n for n in metrics.__all__ if getattr(metrics, n).reads == "confidence"])
def test_a_confidence_is_enough_for_the_metrics_that_say_so(name):
    """Names of labels need no order."""
    text = np.array(["ant", "bee", "cat", "dog"])
    saved = read_outputs(text[PREDICTED], text[Y], confidence=CONFIDENCE)
    assert saved.confidence_only and saved.p.log_p.exp().sum(-1).sub(1).abs().max() < 1e-9
    metric = getattr(metrics, name)
    assert isinstance(metric, MetricComponent) and metric(saved.p) == pytest.approx(metric(P), abs=1e-6)


def test_a_low_confidence_is_still_that_of_the_predicted_label():
    saved = read_outputs(["a", "b"], ["a", "a"], confidence=[0.1, 0.05])
    assert [part.tolist() for part in saved.p.top()] == [pytest.approx([0.1, 0.05]), [1.0, 0.0]]
    with pytest.warns(NonFiniteOutput, match="1 of 2 rows"):
        lost = read_outputs(["a", "b"], ["a", "a"], confidence=[0.9, np.nan])
    assert lost.p.answered.tolist() == [True, False]


def test_files_are_paired_by_their_ids():
    ids = np.array([f"image {k}.png" for k in range(40)])
    order = np.random.default_rng(0).permutation(40)
    first, second = read_outputs(LOGITS, Y, ids=ids), read_outputs(LOGITS[order] * 2, Y[order], ids=ids[order])
    p, q = pair_rows(first, second)
    assert q.log_p.allclose((2 * torch.tensor(LOGITS)).log_softmax(-1)) and q.y.equal(p.y) and q.rows.equal(p.rows)
    top = read_outputs(PREDICTED[order], Y[order], confidence=CONFIDENCE[order], ids=ids[order])
    p, q = pair_rows(first, top)
    assert metrics.ece(p) == pytest.approx(metrics.ece(q), abs=1e-6) == pytest.approx(metrics.ece(P), abs=1e-6)
    numbered = read_outputs(LOGITS, Y, ids=np.arange(40)), read_outputs(LOGITS, Y, ids=np.arange(40).astype(str))
    assert pair_rows(*numbered)[1].log_p.equal(numbered[1].p.log_p)


def test_views_of_one_example_share_their_row():
    saved = read_outputs(LOGITS, Y, ids=np.repeat([f"image{k}" for k in range(20)], 2))
    assert saved.p.rows.tolist() == [k for k in range(20) for _ in range(2)]
    assert pair_rows(saved, saved)[1].rows.equal(saved.p.rows)


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"values": LOGITS[:30], "y": Y[:30]}, "has 40 rows, second 30; expected the same rows, or a column `id`"),
        ({"values": LOGITS, "y": (Y + 1) % 4}, "different labels in 40 of 40 rows; the first is row 0"),
        (
            {"values": LOGITS[:30], "y": Y[:30], "ids": np.arange(30)},
            "10 rows of first are not in second, such as '30'",
        ),
        ({"values": LOGITS, "y": Y, "ids": np.arange(40) + 5}, "rows of second are not in first, such as '40'"),
        ({"values": LOGITS[:, :2], "y": Y % 2}, "different labels"),
        ({"values": np.c_[LOGITS, LOGITS[:, :1]], "y": Y}, "first has 4 classes, second 5; expected the same"),
    ],
)
def test_files_of_different_rows_are_refused(second, message):
    first = read_outputs(LOGITS, Y, ids=np.arange(40) if "ids" in second else None, name="first")
    with pytest.raises(InputError, match=message):
        pair_rows(first, read_outputs(second.pop("values"), second.pop("y"), name="second", **second))


@pytest.mark.parametrize("named", [0, 1])
def test_ids_of_one_file_alone_are_said_not_to_be_used(named):
    files = [read_outputs(LOGITS, Y, ids=np.arange(40)[::-1] if k == named else None, name=f"file {k}") for k in (0, 1)]
    with pytest.warns(
        DataNotice, match=f"file {named} has ids of its rows, file {1 - named} has none: rows are paired"
    ):
        pair_rows(*files)
    pair_rows(read_outputs(LOGITS, Y, ids=np.arange(40)), files[1 - named])  # positions


def test_repeated_ids_in_another_order_cannot_be_paired():
    ids = np.array([0, 0, 1, *range(3, 40)])
    first, second = (read_outputs(LOGITS, Y * 0, ids=one, name="file") for one in (ids, ids[::-1]))
    with pytest.raises(InputError, match="share an id, and the order differs"):
        pair_rows(first, second)


def test_equal_logits_give_the_predictions_of_the_library():
    saved = read_outputs(LOGITS, Y)
    assert saved.p.log_p.equal(predictions(torch.tensor(LOGITS).log_softmax(-1), Y).log_p)
