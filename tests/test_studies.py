"""Studies: the demo runs whole in its smallest size, is not computed twice, and reports what it measured."""

import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest
import torch
from scipy.stats import t

import surefooted as sf
from surefooted.components.spec import build
from surefooted.errors import InputError
from surefooted.evaluation.metrics.intervals import Interval
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import AttackTask, CorruptionTask, PredictTask, TrainTask, TransferTask
from surefooted.report import write_page
from surefooted.studies import demo
from surefooted.studies.claims import claim_at_most, claim_equal, claim_gain_over_seeds, claim_zero, over_seeds
from surefooted.studies.intervals import mean_difference


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    store, study = Store(tmp_path_factory.mktemp("store")), demo(size="smoke", seeds=2)
    execute(study.tasks(), store, runtime=Runtime("cpu", threads=1), quiet=True)
    return store, study


def test_the_demo_compares_methods_of_all_papers_on_three_seeds_under_two_attacks():
    trained = [task for task in demo().tasks() if isinstance(task, TrainTask)]
    assert {next(iter(task.method)).partition("@")[0] for task in trained} >= {
        *("vanilla", "ls", "adals", "ar_adals", "entm", "pat", "pat_entm", "trades", "uta")
    }
    assert {task.seed for task in trained} == {0, 1, 2}
    attacks = {next(iter(task.attack)) for task in demo().tasks() if isinstance(task, AttackTask)}
    assert attacks == {"pgd", "nearest_boundary"}


@pytest.mark.parametrize("options", [{"seeds": 1}, {"size": "large"}, {"seed": 2}])
def test_arguments_of_a_study_are_checked(options):
    with pytest.raises(InputError, match=next(iter(options))):
        demo(**options)


def test_arguments_of_a_study_by_name_are_those_of_a_call():
    study = build("study", {"demo": {"size": "smoke", "seeds": 2}})
    assert study.spec == demo(size="smoke", seeds=2).spec
    assert {task.seed for task in study.tasks() if isinstance(task, TrainTask)} == {0, 1}


def test_nothing_is_computed_twice(ran):
    store, study = ran
    assert plan(study.tasks(), store) == []
    again = demo(size="smoke", seeds=3)
    fresh = plan(again.tasks(), store)
    assert fresh and all(getattr(c, "seed", None) == 2 or isinstance(c, PredictTask | AttackTask) for c in fresh)


def test_the_report_is_whole_and_the_same_twice(ran, tmp_path):
    store, study = ran
    index = write_page(study.page(store), tmp_path / "one")
    again = write_page(study.page(store), tmp_path / "two")
    assert index.read_bytes() == again.read_bytes()
    text = index.read_text()
    for name in ("Vanilla", "AR-AdaLS", "PAT-EntM", "UTA-AT", "100 test images", "PGD-5", "2 seeds"):
        assert name in text
    assert {p.stem for p in (tmp_path / "one" / "tables").glob("*.csv")} == {"summary", "intervals", "robust-accuracy"}


def test_a_page_reads_each_artifact_once(ran, monkeypatch):
    store, study = ran
    reads, reading = Counter(), Store.reading

    def count(self, kind, key):
        reads[kind, key] += 1
        return reading(self, kind, key)

    monkeypatch.setattr(Store, "reading", count)
    study.page(store)
    # Nine methods with two seeds: five attacks, clean predictions, predictions under attack at one radius; and the soft
    # labels of two trainings.
    assert len(reads) == 9 * 2 * (5 + 1 + 1) + 2 and set(reads.values()) == {1}
    study.page(store)
    assert set(reads.values()) == {2}  # another page reads anew what may have changed in the store


SEEDS = over_seeds(3)


def test_findings_are_judged_by_their_interval():
    assert claim_gain_over_seeds("a", [1.0, 1.1, 0.9], "gain").verdict == "holds"
    assert claim_gain_over_seeds("a", [-1.0, -1.1, -0.9], "gain").verdict == "does not hold"
    assert claim_gain_over_seeds("a", [1.0, -1.1, 0.5], "gain").verdict == "unclear"
    assert claim_gain_over_seeds("a", [1.0], "gain").verdict == "unclear"


def test_a_share_counts_as_zero_below_one_per_cent():
    none, some, half = (Interval(low, low, high, 1000) for low, high in ((0, 0.004), (0, 0.02), (0.5, 0.6)))
    assert [claim_zero("a", shares, "", SEEDS).verdict for shares in ([none], [none, some], [none, half])] == [
        *("holds", "unclear", "does not hold")
    ]
    # The tolerance itself, from either side.
    ends = ((0.0, 0.0099), (0.0, 0.0101), (0.0099, 0.03), (0.0101, 0.03))
    assert [claim_zero("a", [Interval(0.01, *end, 1000)], "", SEEDS).verdict for end in ends] == [
        *("holds", "unclear", "unclear", "does not hold")
    ]
    assert Interval(0.0053, 0.0018, 0.0155, 565).percent() == "0.53 % [0.18, 1.55]"


def test_an_accuracy_is_judged_against_chance():
    def judge(low, high):
        return claim_at_most("a", Interval((low + high) / 2, low, high, 1000), 0.1, "EntM under PGD40-48", SEEDS)

    ends = ((0.04, 0.08), (0.08, 0.12), (0.13, 0.17))
    assert [judge(*end).verdict for end in ends] == ["holds", "unclear", "does not hold"]
    assert (
        judge(0.13, 0.17).evidence == f"EntM under PGD40-48 is 5.00 points above chance (10 %) [+3.00, +7.00]; {SEEDS}"
    )
    assert (
        judge(0.04, 0.08).evidence == f"EntM under PGD40-48 is 4.00 points below chance (10 %) [-6.00, -2.00]; {SEEDS}"
    )


def test_equivalence_needs_the_whole_interval_within_the_margin():
    ends = ((-0.004, 0.004), (-0.004, 0.006), (0.006, 0.01), (-0.01, -0.006))
    verdicts = [claim_equal("a", Interval(0, *end, 9), "", SEEDS, within=0.005).verdict for end in ends]
    assert verdicts == ["holds", "unclear", "does not hold", "does not hold"]


def test_the_difference_of_two_groups_has_the_intervals_of_both_means():
    one, other = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([0.0, 1.0])
    half = math.hypot(t.ppf(0.975, 3) * math.sqrt(5 / 3 / 4), t.ppf(0.975, 1) * math.sqrt(0.5 / 2))
    assert mean_difference(one, other) == pytest.approx((2.0, 2.0 - half, 2.0 + half, 6))
    assert mean_difference(one, other[:1])[0] == 2.5 and all(map(math.isnan, mean_difference(one, other[:1])[1:3]))


def test_a_study_is_found_by_its_name_though_its_package_has_the_same_and_is_imported_first():
    first = "import surefooted.studies.uta.toy, surefooted.studies.entm.design\n"
    said = "from surefooted import studies; print(*(type(getattr(studies, name)).__name__ for name in studies.__all__))"
    found = subprocess.run([sys.executable, "-c", first + said], capture_output=True, text=True, check=True).stdout
    assert set(found.split()) == {"function"}


def test_what_made_an_artefact_is_on_record(ran):
    store, study = ran
    task = next(c for c in study.tasks() if isinstance(c, AttackTask) and "pgd" in c.attack)
    about = json.loads((task.path(store) / "spec.json").read_text())
    assert about["attack"]["pgd"]["steps"] == 5 and about["victim"] == task.victim.key
    made = json.loads((task.path(store) / "provenance.json").read_text())
    assert {"torch", "surefooted", "device", "seconds"} <= made.keys()


def test_a_page_reports_the_device_that_made_its_numbers_not_the_one_that_writes_it(ran):
    store, study = ran
    task = next(c for c in study.tasks() if isinstance(c, AttackTask))
    file = task.path(store) / "provenance.json"
    kept = file.read_text()
    try:
        file.write_text(json.dumps(json.loads(kept) | {"device": "another one", "seconds": 7200}))
        made = study.page(store).provenance
    finally:
        file.write_text(kept)
    assert "another one, " in made["device"] and made["time of all processes"].endswith("hours")
    assert made["artifacts"] > len(study.tasks())  # and what those need


def test_impossible_predictions_are_refused_before_the_attack_runs(ran):
    _, study = ran
    moved = next(c for c in study.tasks() if isinstance(c, AttackTask) and c.keep_points)
    with pytest.raises(InputError, match="keep_points=True"):
        PredictTask(moved.victim, source_attack=replace(moved, keep_points=False))
    with pytest.raises(InputError, match="keep_points=True"):
        TransferTask(moved.victim, replace(moved, keep_points=False))
    with pytest.raises(InputError, match="on the test split, but `split` is 'validation'"):
        PredictTask(moved.victim, "validation", moved)


def test_an_empty_split_is_named_before_it_is_corrupted():
    task = CorruptionTask({"digits": {"validation": 0.0}}, "contrast", "validation")
    with pytest.raises(InputError, match="The validation split is empty"):
        task.images()


def test_what_is_made_already_takes_no_arguments(ran):
    store, study = ran
    net = next(c for c in study.tasks() if isinstance(c, TrainTask)).load(store)
    with pytest.raises(InputError, match="is built already; pass eps"):
        sf.attack(sf.pgd(eps=0.1), net, sf.digits().test, eps=0.2)


def test_packages_are_there_before_anything_is_used():
    code = "import surefooted as sf; print(*(getattr(sf, name).__name__ for name in sf._MODULES))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.split() == list(sf._MODULES.values())
