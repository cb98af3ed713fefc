"""UTA's toy problem: the data set, the attacks on a known boundary, the experiment, and the gallery of images."""

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
from surefooted.studies.uta.toy import CLEAN, ToyProblem, toy_problem
from surefooted.studies.uta.toy_figures import toy_figures
from surefooted.studies.uta.toy_findings import toy_findings
from surefooted.studies.uta.toy_results import ToyResults
from surefooted.studies.uta.toy_tables import attacks_table, training_table

CPU = Runtime("cpu", threads=1)
STEP = 0.05 / SIDE


def everything(**options):
    """All points of a plane, as (n, 2) and classes."""
    splits = plane(**options)
    parts = [part.points() for part in (splits.train, splits.validation, splits.test)]
    return torch.cat([part.x.view(-1, 2) for part in parts]), torch.cat([part.y for part in parts])


# The data


def test_the_true_boundary_separates_the_classes_by_the_requested_gap():
    for small, large in ((0.2, 1.6), (0.05, 0.6), (0.5, 0.5)):
        x, y = everything(small=small, large=large, examples=2000, validation=0.2)
        assert torch.equal(true_class(x), y)
        away, half = height(x).abs(), gap(units(x)[:, 0], small, large) / 2
        assert bool((away >= half - 1e-5).all()) and bool((away <= half + BAND + 1e-5).all())
        left, right = units(x)[:, 0] < -REACH / 3, units(x)[:, 0] > REACH / 3
        assert float(away[left].min()) == pytest.approx(small / 2, abs=0.02)
        assert float(away[right].min()) == pytest.approx(large / 2, abs=0.02)


def test_examples_depend_on_the_seed_classes_are_balanced_and_narrow_sets_the_share_on_the_left():
    x, y = everything(examples=1000)
    assert torch.equal(x, everything(examples=1000)[0]) and not torch.equal(x, everything(examples=1000, seed=1)[0])
    assert int(y.sum()) == 500
    few, _ = everything(examples=2000, narrow=0.1)
    assert float((units(few)[:, 0] < 0).double().mean()) == pytest.approx(0.1, abs=0.02)
    splits = plane(narrow=0.5)
    for part in (splits.train, splits.validation, splits.test):  # the split does not depend on the side
        assert 0.3 < float((units(part.points().x)[..., 0] < 0).double().mean()) < 0.7
    assert splits.train.shape == (1, 1, 2) and splits.train.x.dtype == torch.float32
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [540, 60, 200]


def test_units_and_pixels_are_inverse_and_leave_room_for_a_perturbation_of_one():
    x, _ = everything(examples=2000)
    assert torch.allclose(pixels(units(x)), x)
    assert torch.allclose(units(torch.tensor([[0.5, 0.7]])), torch.tensor([[0.0, 1.0]]))
    assert float(x.min()) >= 1 / SIDE - 1e-6 and float(x.max()) <= 1 - 1 / SIDE + 1e-6
    p = torch.linspace(-1, 1, 5)
    assert height(pixels(torch.stack((p, boundary(p) + 0.3), -1))).tolist() == pytest.approx([0.3] * 5, abs=1e-5)


def test_noise_makes_the_classes_overlap():
    x, y = everything(noise=0.2)
    assert 0.01 < float((true_class(x) != y).double().mean()) < 0.2


def test_invalid_planes_are_refused():
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


def perturbed(objective, steps):
    points = plane(examples=400).test.points()
    attack = pgd(eps=15 * STEP, steps=steps, step_size=STEP, start="clean", keep="last", **objective)
    q = units(attack(line(), points).x.view(-1, 2))[:, 1]
    return q * (2 * points.y - 1), units(points.x.view(-1, 2))[:, 1] * (2 * points.y - 1)


def test_pgd_crosses_the_boundary_and_uta_stops_within_a_step_of_it():
    loss, clean = perturbed({}, 20)
    uncertain, _ = perturbed({"objective": entropy()}, 20)
    near = clean < 0.7
    assert float(loss[near].max()) < 0 and loss.tolist() == pytest.approx((clean - 0.75).tolist(), abs=1e-4)
    assert float(uncertain.min()) > -0.05 - 1e-4 and bool((uncertain[near & (clean > 0)].abs() <= 0.05 + 1e-4).all())
    assert perturbed({}, 1)[0].tolist() == pytest.approx(perturbed({"objective": entropy()}, 1)[0].tolist(), abs=0.1001)


# The experiment


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    problem, store = toy_problem("smoke"), Store(tmp_path_factory.mktemp("store"))
    execute(problem.tasks(), store, runtime=CPU, quiet=True)
    return ToyResults(problem, store)


def test_the_experiment_runs_and_its_page_is_written(ran, tmp_path):
    assert plan(ran.problem.tasks(), ran.store) == []
    drawn, tables = toy_figures(ran), (attacks_table(ran), training_table(ran))
    page = Page("Toy", findings=tuple(toy_findings(ran)), sections=(Section("Plane", "", (*tables, *drawn)),))
    assert all(one.verdict in VERDICTS and "seeds" in one.evidence for one in page.findings)
    write_page(page, tmp_path)
    for figure in drawn:
        assert 10_000 < (tmp_path / "figures" / f"{figure.name}.svg").stat().st_size < 200_000
    assert [figure.name for figure in drawn] == ["toy-attacks-map", "toy-trained-map", "toy-flips", "toy-due"]
    assert [len(figure.panels) for figure in drawn] == [4, 4, 3, 4]
    assert len(tables[0].rows) == 8 and len(tables[1].rows) == 7


def test_results_agree_with_the_tasks(ran):
    log_p = ran.problem.grid_predictions["UTA-AT"][0].result(ran.store)
    attacked = ran.problem.attacks["PGD", CLEAN, 5][1].result(ran.store)
    beyond = true_class(attacked["x"].view(-1, 2)) != attacked["y"]
    assert ran.crossing("beyond", "PGD", CLEAN, 5)[1] == pytest.approx(float(beyond.double().mean()))
    assert ran.crossing("fooled", "PGD", CLEAN, 5)[1] == pytest.approx(float(attacked["found"].double().mean()))
    assert torch.allclose(ran.probability("UTA-AT"), log_p[..., 1].exp())
    last = ran.problem.trained["UTA-AT"][0].recorded(ran.store)["label"]
    assert torch.equal(last, log_p.argmax(-1))  # the recorder's last record belongs to the network that was kept


def test_the_boundary_distance_of_a_shifted_boundary_is_the_shift(monkeypatch, tmp_path):
    results = ToyResults(toy_problem("smoke"), Store(tmp_path))
    x = results._grid
    for shift in (0.0, 0.3):
        p = torch.sigmoid(40 * (height(x) - shift))
        monkeypatch.setattr(ToyResults, "_log_p", lambda self, name, k, p=p: torch.stack((1 - p, p), -1).log())
        monkeypatch.setattr(ToyResults, "_networks", lambda self, name: range(1))
        assert results.boundary_distances("any")[0] == pytest.approx(shift, abs=0.06)
        points = results.boundary("any")
        assert float((height(pixels(points)) - shift).abs().max()) < 0.1
    monkeypatch.setattr(ToyResults, "_log_p", lambda self, name, k: torch.full((21, 21, 2), 0.5).log())
    assert results.boundary_distances("any") == [SIDE] and results.map_accuracy("any")[0] == pytest.approx(0.5, abs=0.1)


def test_fewer_points_cross_the_boundary_of_a_trained_network_after_uta_than_after_pgd(tmp_path):
    full, store = toy_problem(), Store(tmp_path)
    task = train_task("vanilla", full.net, full.data, {"recipe": {"epochs": 15, "batch": 32, "lr": 3e-3}})
    execute([task], store, runtime=CPU, quiet=True)
    net, points = task.load(store), plane(**full.data["plane"]).test.points()
    shares = []
    for objective in ({}, {"objective": entropy()}):
        attack = pgd(eps=15 * STEP, steps=20, step_size=STEP, start="clean", keep="last", **objective)
        found = attack(net, Points(*points))
        past = -height(found.x.view(-1, 2)) * (2 * points.y - 1)
        shares.append(float((past > 0.2).double().mean()))
    assert shares[0] > 0.3 and shares[1] < 0.1


def test_the_full_experiment_has_the_paper_s_arguments():
    problem = toy_problem()
    assert isinstance(problem, ToyProblem)
    assert (problem.members, problem.attack_steps, problem.due_steps) == (10, (1, 20, 50), 50)
    given = problem.trained["PGD-AT"][0].method["pgd_at"]
    assert (given["steps"], given["step_size"] * SIDE, given["eps"] * SIDE) == pytest.approx((15, 0.05, 0.75))
    perturb = problem.trained["DUE, UTA-AT"][0].method["due"]["perturb"]["pgd"]
    assert perturb["eps"] * SIDE == pytest.approx(1) and perturb["step_size"] * SIDE == pytest.approx(0.1)
    assert (
        perturb["objective"] == complete("score", "entropy")
        and problem.trained["TRADES"][0].method["trades"]["beta"] == 1
    )


# Adversarial examples of images without a bound


def test_the_gallery_shows_clean_images_and_both_adversarial_examples(tmp_path):
    store = Store(tmp_path / "store")
    trained = train_task("vanilla", "mlp", {"digits": {"train_limit": 300}}, {"recipe": {"epochs": 3}})
    gallery = PerturbationGallery(trained, images=3, steps=40, step_size=0.01)
    execute(gallery.tasks(), store, runtime=CPU, quiet=True)
    figure = gallery.figure(store)
    write_page(Page("Looks", sections=(Section("Looks", "", (figure,)),)), tmp_path)
    assert (tmp_path / "figures" / "looks.svg").read_text().count("<image") == 9
    assert {name: task.attack["pgd"]["objective"] for name, task in gallery.attacks.items()} == {
        "UTA": complete("score", "entropy"),
        "PGD": complete("score", "cross_entropy"),
    }
    assert all(0 < size <= 0.4 for sizes in gallery.pixel_changes(store).values() for size in sizes)
