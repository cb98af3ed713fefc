"""The AR-AdaLS study runs whole in its smallest size; its numbers are those of its parts; the sizes are the paper's."""

import importlib
import json
import sys
from dataclasses import replace

import pytest
import torch

from surefooted.data import corruptions
from surefooted.evaluation.metrics import ece
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import BestOfSweep, TrainTask
from surefooted.report import write_page
from surefooted.studies import ar_adals
from surefooted.studies.ar_adals.design import JOINT_AR_ADALS
from surefooted.studies.ar_adals.results import TEMPERATURE_SCALED, ShiftResults
from surefooted.studies.ar_adals.study import GREY_TYPES, PAPER_TYPES, paper, smoke
from surefooted.studies.paper_numbers import printed_numbers


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
    single, shifted = n.network_metric(ece, "LS"), n.shifted["LS"]
    by_hand = [ece(n.clean["LS"][1]), *(sum(ece(kind[k]) for kind in shifted[1]) / len(shifted[1]) for k in range(5))]
    assert single[1].tolist() == pytest.approx(by_hand)
    assert n.network_metric_by_type(ece, "LS").mean(0).tolist() == pytest.approx(single[:, 1:].mean(0).tolist())
    mean = torch.stack([p.log_p.exp() for p in n.clean["AdaLS"]]).mean(0)
    assert torch.allclose(n.ensemble_predictions("AdaLS").log_p.exp(), mean, atol=1e-6)
    assert n.variance("Vanilla").shape == (6,) and bool((n.variance("Vanilla") >= 0).all())
    assert n.clean[TEMPERATURE_SCALED][0].log_p.argmax(-1).equal(n.clean["Vanilla"][0].log_p.argmax(-1))
    assert isinstance(n.design.runs["LS"][0], BestOfSweep) and n.selected_settings()["LS"].startswith("eps = ")
    assert n.selected_settings()[JOINT_AR_ADALS].startswith("alpha = ")


def test_sizes_are_what_they_say():
    made = paper()
    assert made.recipe == "ar_adals_cifar10" and made.net == "resnet29_v2" and len(made.types) == 19
    assert made.methods["LS"] == ({"ls": {"eps": 0.02}},) and made.seeds == 5
    assert made.joint_settings[0]["ar_adals_of_ensemble"]["alpha"] == 0.005
    assert len(GREY_TYPES) == 18 and JOINT_AR_ADALS in smoke().runs
    assert isinstance(smoke().baseline[0], TrainTask)


def test_a_new_corruption_does_not_change_the_reproduction(monkeypatch):
    def corrupted(module):
        designs = [
            module.paper("digits", "small_convnet", "recipe"),
            replace(module.cpu(), data="digits", net="small_convnet"),
        ]
        return [[task.key for task in design.corrupted.values()] for design in designs]

    module = sys.modules["surefooted.studies.ar_adals.study"]
    before = corrupted(module)
    assert [len(keys) for keys in before] == [19, 18]
    monkeypatch.setattr(corruptions, "inversion", corruptions.contrast, raising=False)
    monkeypatch.setattr(corruptions, "__all__", [*corruptions.__all__, "inversion"])
    assert corrupted(importlib.reload(module)) == before


def test_the_types_are_those_of_cifar_10_c():
    assert set(PAPER_TYPES) <= set(corruptions.__all__) and set(PAPER_TYPES) - set(GREY_TYPES) == {"saturate"}
    assert PAPER_TYPES[:15] == (  # ImageNet-C's
        *("gaussian_noise", "shot_noise", "impulse_noise", "defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
        *("snow", "frost", "fog", "brightness", "contrast", "elastic_transform", "pixelate", "jpeg_compression"),
    )


def test_the_paper_s_numbers_are_at_hand():
    rows = [r for r in printed_numbers("ar_adals") if r["table"] == "3" and r["method"] == "AR-AdaLS of Ensemble"]
    assert len(rows) == 10 and all(0 < float(r["value"]) < 100 for r in rows)
