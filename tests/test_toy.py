"""The plane of UTA: its data are as asked, attacks do there what the paper says, and the experiment runs whole."""

import pytest
import torch
from torch import nn

from surefooted.attacks import pgd
from surefooted.components.spec import complete
from surefooted.core.scores import entropy
from surefooted.core.types import Points
from surefooted.data import plane
from surefooted.data.plane import BAND, REACH, SIDE, boundary, gap, height, pixels, true_class, units
from surefooted.errors import InputError
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import train_task
from surefooted.report import Page, Section, write_page
from surefooted.report.page import VERDICTS
from surefooted.studies.uta.gallery import PerturbationGallery
from surefooted.studies.uta.plane import PlaneResults
from surefooted.studies.uta.toy import CLEAN, ToyProblem, toy
from surefooted.studies.uta.toy_figures import figures
from surefooted.studies.uta.toy_findings import findings
from surefooted.studies.uta.toy_tables import attacks_table, trained_table

CPU = Runtime("cpu", threads=1)
STEP = 0.05 / SIDE


def everything(**options):
    """All points of a plane, as (n, 2) and classes."""
    splits = plane(**options)
    parts = [part.points() for part in (splits.train, splits.validation, splits.test)]
    return torch.cat([part.x.view(-1, 2) for part in parts]), torch.cat([part.y for part in parts])


# The data


def test_the_true_boundary_separates_the_classes_by_the_gap_asked_for():
    for small, large in ((0.2, 1.6), (0.05, 0.6), (0.5, 0.5)):
        x, y = everything(small=small, large=large, examples=2000, validation=0.2)
        assert torch.equal(true_class(x), y)
        away, half = height(x).abs(), gap(units(x)[:, 0], small, large) / 2
        assert bool((away >= half - 1e-5).all()) and bool((away <= half + BAND + 1e-5).all())
        left, right = units(x)[:, 0] < -REACH / 3, units(x)[:, 0] > REACH / 3
        assert float(away[left].min()) == pytest.approx(small / 2, abs=0.02)
        assert float(away[right].min()) == pytest.approx(large / 2, abs=0.02)


def test_examples_are_drawn_by_seed_half_of_each_class_and_as_many_left_as_asked():
    x, y = everything(examples=1000)
    assert torch.equal(x, everything(examples=1000)[0]) and not torch.equal(x, everything(examples=1000, seed=1)[0])
    assert int(y.sum()) == 500
    few, _ = everything(examples=2000, narrow=0.1)
    assert float((units(few)[:, 0] < 0).double().mean()) == pytest.approx(0.1, abs=0.02)
    splits = plane(narrow=0.5)
    for part in (splits.train, splits.validation, splits.test):  # the split does not sort by what was drawn
        assert 0.3 < float((units(part.points().x)[..., 0] < 0).double().mean()) < 0.7
    assert splits.train.shape == (1, 1, 2) and splits.train.x.dtype == torch.float32
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [540, 60, 200]


def test_the_map_goes_to_the_paper_s_plane_and_back_and_leaves_room_for_a_perturbation_of_one():
    x, _ = everything(examples=2000)
    assert torch.allclose(pixels(units(x)), x)
    assert torch.allclose(units(torch.tensor([[0.5, 0.7]])), torch.tensor([[0.0, 1.0]]))
    assert float(x.min()) >= 1 / SIDE - 1e-6 and float(x.max()) <= 1 - 1 / SIDE + 1e-6
    p = torch.linspace(-1, 1, 5)
    assert height(pixels(torch.stack((p, boundary(p) + 0.3), -1))).tolist() == pytest.approx([0.3] * 5, abs=1e-5)


def test_noise_makes_the_classes_overlap():
    x, y = everything(noise=0.2)
    assert 0.01 < float((true_class(x) != y).double().mean()) < 0.2


def test_bad_planes():
    with pytest.raises(InputError, match="at least 2 examples"):
        plane(examples=1)
    with pytest.raises(InputError, match="outside the square"):
        plane(large=6.0)
    with pytest.raises(InputError, match="narrow"):
        plane(narrow=2)


# The attacks, on a network whose boundary is the line q = 0


def line(slope=40.0):
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    net[1].weight.data = torch.tensor([[0.0, -slope], [0.0, slope]])
    net[1].bias.data = torch.tensor([slope, -slope]) / 2
    return net


def moved(raises, steps):
    points = plane(examples=400).test.points()
    attack = pgd(eps=15 * STEP, steps=steps, step_size=STEP, start="clean", keep="last", **raises)
    q = units(attack(line(), points).x.view(-1, 2))[:, 1]
    return q * (2 * points.y - 1), units(points.x.view(-1, 2))[:, 1] * (2 * points.y - 1)


def test_pgd_goes_through_the_boundary_and_uta_stops_within_a_step_of_it():
    loss, before = moved({}, 20)
    unsure, _ = moved({"objective": entropy()}, 20)
    near = before < 0.7
    assert float(loss[near].max()) < 0 and loss.tolist() == pytest.approx((before - 0.75).tolist(), abs=1e-4)
    assert float(unsure.min()) > -0.05 - 1e-4 and bool((unsure[near & (before > 0)].abs() <= 0.05 + 1e-4).all())
    assert moved({}, 1)[0].tolist() == pytest.approx(moved({"objective": entropy()}, 1)[0].tolist(), abs=0.1001)


# The experiment


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    made, store = toy("smoke"), Store(tmp_path_factory.mktemp("store"))
    execute(made.tasks(), store, runtime=CPU, quiet=True)
    return PlaneResults(made, store)


def test_the_experiment_runs_whole_and_is_drawn(ran, tmp_path):
    assert plan(ran.made.tasks(), ran.store) == []
    drawn, tables = figures(ran), (attacks_table(ran), trained_table(ran))
    page = Page("Toy", findings=tuple(findings(ran)), sections=(Section("Plane", "", (*tables, *drawn)),))
    assert all(one.verdict in VERDICTS and "seeds" in one.evidence for one in page.findings)
    write_page(page, tmp_path)
    for figure in drawn:
        assert 10_000 < (tmp_path / "figures" / f"{figure.name}.svg").stat().st_size < 200_000
    assert [figure.name for figure in drawn] == ["toy-attacks-map", "toy-trained-map", "toy-flips", "toy-due"]
    assert [len(figure.panels) for figure in drawn] == [4, 4, 3, 4]
    assert len(tables[0].rows) == 8 and len(tables[1].rows) == 7


def test_numbers_are_those_of_the_cells(ran):
    task, surveyed = ran.made.moved["PGD", CLEAN, 5][1], ran.made.surveyed["UTA-AT"][0].result(ran.store)
    found = task.result(ran.store)
    beyond = true_class(found["x"].view(-1, 2)) != found["y"]
    assert ran.crossing("beyond", "PGD", CLEAN, 5)[1] == pytest.approx(float(beyond.double().mean()))
    assert ran.crossing("fooled", "PGD", CLEAN, 5)[1] == pytest.approx(float(found["found"].double().mean()))
    assert torch.allclose(ran.probability("UTA-AT"), surveyed[..., 1].exp())
    last = ran.made.trained["UTA-AT"][0].recorded(ran.store)["label"]
    assert torch.equal(last, surveyed.argmax(-1))  # the recorder's last look is at the network that was kept


def test_the_distance_between_boundaries_is_known_where_the_learnt_one_is(monkeypatch, tmp_path):
    made = PlaneResults(toy("smoke"), Store(tmp_path))
    x = made._grid
    for shift in (0.0, 0.3):
        p = torch.sigmoid(40 * (height(x) - shift))
        monkeypatch.setattr(PlaneResults, "_log_p", lambda self, name, k, p=p: torch.stack((1 - p, p), -1).log())
        monkeypatch.setattr(PlaneResults, "_each", lambda self, name: range(1))
        assert made.off("any")[0] == pytest.approx(shift, abs=0.06)
        points = made.boundary("any")
        assert float((height(pixels(points)) - shift).abs().max()) < 0.1
    monkeypatch.setattr(PlaneResults, "_log_p", lambda self, name, k: torch.full((21, 21, 2), 0.5).log())
    assert made.off("any") == [SIDE] and made.on_map("any")[0] == pytest.approx(0.5, abs=0.1)


def test_on_a_network_that_learnt_the_plane_fewer_of_uta_s_points_cross_than_of_pgd_s(tmp_path):
    full, store = toy(), Store(tmp_path)
    task = train_task("vanilla", full.net, full.data, {"recipe": {"epochs": 15, "batch": 32, "lr": 3e-3}})
    execute([task], store, runtime=CPU, quiet=True)
    net, points = task.load(store), plane(**full.data["plane"]).test.points()
    shares = []
    for raises in ({}, {"objective": entropy()}):
        attack = pgd(eps=15 * STEP, steps=20, step_size=STEP, start="clean", keep="last", **raises)
        found = attack(net, Points(*points))
        past = -height(found.x.view(-1, 2)) * (2 * points.y - 1)
        shares.append(float((past > 0.2).double().mean()))
    assert shares[0] > 0.3 and shares[1] < 0.1


def test_the_full_experiment_is_the_paper_s():
    made = toy()
    assert isinstance(made, ToyProblem) and made.members == 10 and made.attacked == (1, 20, 50) and made.due_steps == 50
    given = made.trained["PGD-AT"][0].method["pgd_at"]
    assert (given["steps"], given["step_size"] * SIDE, given["eps"] * SIDE) == pytest.approx((15, 0.05, 0.75))
    perturb = made.trained["DUE, UTA-AT"][0].method["due"]["perturb"]["pgd"]
    assert perturb["eps"] * SIDE == pytest.approx(1) and perturb["step_size"] * SIDE == pytest.approx(0.1)
    assert (
        perturb["objective"] == complete("score", "entropy") and made.trained["TRADES"][0].method["trades"]["beta"] == 1
    )


# What the attacks look like on images


def test_looks_show_clean_images_and_what_both_attacks_made_of_them(tmp_path):
    store = Store(tmp_path / "store")
    trained = train_task("vanilla", "mlp", {"digits": {"train_limit": 300}}, {"recipe": {"epochs": 3}})
    looks = PerturbationGallery(trained, images=3, steps=40, step_size=0.01)
    execute(looks.tasks(), store, runtime=CPU, quiet=True)
    figure = looks.figure(store)
    write_page(Page("Looks", sections=(Section("Looks", "", (figure,)),)), tmp_path)
    assert (tmp_path / "figures" / "looks.svg").read_text().count("<image") == 9
    assert {name: task.attack["pgd"]["objective"] for name, task in looks.moved.items()} == {
        "UTA": complete("score", "entropy"),
        "PGD": complete("score", "cross_entropy"),
    }
    assert all(0 < size <= 0.4 for sizes in looks.sizes(store).values() for size in sizes)
