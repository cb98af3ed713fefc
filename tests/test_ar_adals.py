"""The AR-AdaLS study runs whole in its smallest size; its numbers are those of its parts; the sizes are the paper's."""

import json

import pytest
import torch

from surefooted.evaluation.metrics import ece
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import BestOfSweep, TrainTask
from surefooted.report import write_page
from surefooted.studies import ar_adals
from surefooted.studies.ar_adals.design import OF_ENSEMBLE
from surefooted.studies.ar_adals.results import SCALED, ShiftResults
from surefooted.studies.ar_adals.study import GREY, paper, smoke
from surefooted.studies.paper_numbers import printed


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    store, study = Store(tmp_path_factory.mktemp("store")), ar_adals(size="smoke")
    execute(study.tasks(), store, runtime=Runtime("cpu", threads=1), quiet=True)
    return store, study


def test_the_report_is_whole(ran, tmp_path):
    store, study = ran
    assert plan(study.tasks(), store) == []
    page = study.page(store)
    assert {item.name for item in page.items} >= {
        *("base", "summary", "levels", "level-variance", "box-ece-single", "box-ece-ensembles", "box-variance-single"),
        *("box-accuracy-single", "box-accuracy-ensembles", "ece-single", "ece-ensembles", "variances"),
        *("confidence", "reliability"),
    }
    assert len(page.findings) == 18
    assert write_page(page, tmp_path).stat().st_size > 100_000
    table = json.dumps([row for item in page.items if item.name == "ece-single" for row in item.rows], default=str)
    assert "0.0959" in table  # the paper's ECE of a vanilla network at intensity 1, read from its table 3


def test_numbers_are_those_of_the_parts(ran):
    store, _ = ran
    n = ShiftResults(smoke(), store)
    single, shifted = n.single(ece, "LS"), n.shifted["LS"]
    by_hand = [ece(n.clean["LS"][1]), *(sum(ece(kind[k]) for kind in shifted[1]) / len(shifted[1]) for k in range(5))]
    assert single[1].tolist() == pytest.approx(by_hand)
    assert n.single_by_type(ece, "LS").mean(0).tolist() == pytest.approx(single[:, 1:].mean(0).tolist())
    mean = torch.stack([p.log_p.exp() for p in n.clean["AdaLS"]]).mean(0)
    assert torch.allclose(n.ensemble_clean("AdaLS").log_p.exp(), mean, atol=1e-6)
    assert n.variance("Vanilla").shape == (6,) and bool((n.variance("Vanilla") >= 0).all())
    assert n.clean[SCALED][0].log_p.argmax(-1).equal(n.clean["Vanilla"][0].log_p.argmax(-1))
    assert isinstance(n.made.runs["LS"][0], BestOfSweep) and n.swept()["LS"].startswith("eps = ")
    assert n.swept()[OF_ENSEMBLE].startswith("alpha = ")


def test_sizes_are_what_they_say():
    made = paper()
    assert made.recipe == "ar_adals_cifar10" and made.net == "resnet29_v2" and len(made.types) == 19
    assert made.methods["LS"] == ({"ls": {"eps": 0.02}},) and made.seeds == 5
    assert made.of_ensemble[0]["ar_adals_of_ensemble"]["alpha"] == 0.005
    assert len(GREY) == 18 and OF_ENSEMBLE in smoke().runs
    assert isinstance(smoke().baseline[0], TrainTask)


def test_the_paper_s_numbers_are_at_hand():
    rows = [r for r in printed("ar_adals") if r["table"] == "3" and r["method"] == "AR-AdaLS of Ensemble"]
    assert len(rows) == 10 and all(0 < float(r["value"]) < 100 for r in rows)
