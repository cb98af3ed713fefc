"""Recorders record the network and do not change it."""

import pytest
import torch
from torch import nn

from surefooted.components.spec import names
from surefooted.core.types import Points
from surefooted.data import digits, plane
from surefooted.errors import InputError
from surefooted.evaluation.metrics import accuracy
from surefooted.models.prediction import predict
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import train_task
from surefooted.training import recorders
from surefooted.training.recorders import flips, plane_points, robustness

CPU = Runtime("cpu", threads=1)
SMALL = {"digits": {"train_limit": 120, "test_limit": 60}}


def trained(store, record=None):
    net = {"small_convnet": {"width": 4, "dropout": 0.2}}
    task = train_task("fgsm_at", net, SMALL, {"recipe": {"epochs": 3, "batch": 40}}, record=record)
    execute([task], store, runtime=CPU, quiet=True)
    return task


def test_a_recorded_training_ends_with_the_same_weights(tmp_path):
    store = Store(tmp_path)
    record = {"robustness": {"eps": 0.1, "steps": 5, "every": 2, "images": 60}}
    alone, recorded = trained(store), trained(store, record)
    files = [task.path(store) / "weights.safetensors" for task in (alone, recorded)]
    a, b = (file.read_bytes() for file in files)
    assert alone.key != recorded.key and a[-1000:] == b[-1000:]  # the headers differ
    records = recorded.recorded(store)
    assert records["step"].tolist() == [0, 2, 4, 6, 8, 9]
    p = predict(recorded.load(store), digits(**SMALL["digits"]).test)
    assert float(records["clean"][-1]) == pytest.approx(accuracy(p), abs=1e-6)
    assert bool((records["clean"] >= records["pgd"]).all()) and all(
        bool((records[k] <= 1).all()) for k in ("clean", "fgsm")
    )


@pytest.mark.parametrize("name", recorders.__all__)
def test_a_recorder_leaves_weights_modes_and_random_state_unchanged(name):
    recorder = getattr(recorders, name)()
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 2)).train()
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    points, before = recorder.init(plane())
    random_state = torch.get_rng_state()
    after = recorder.record(before, net, points, 0)
    assert recorder.interval >= 0 and after.keys() == before.keys()
    assert torch.equal(torch.get_rng_state(), random_state) and all(module.training for module in net.modules())
    assert all(torch.equal(value, weights[key]) for key, value in net.state_dict().items())
    assert all(value.grad is None for value in net.parameters())


def test_the_recorded_accuracies_are_those_of_the_attacks():
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False))
    net[1].weight.data = torch.tensor([[1.0, 0.0], [0.0, 1.0]])  # class 0 where the first coordinate is larger
    x = torch.tensor([[0.6, 0.4], [0.9, 0.1], [0.2, 0.5], [0.5, 0.2]]).view(4, 1, 1, 2)
    points = Points(x, torch.tensor([0, 0, 0, 1]), torch.arange(4))
    recorder = robustness(eps=0.2, steps=10)
    state = {name: torch.zeros(0, dtype=torch.float64) for name in ("step", "clean", "fgsm", "pgd")}
    for step in (0, 7):
        state = recorder.record(state, net.train(), points, step)
    assert state["clean"].tolist() == [0.5, 0.5] and state["pgd"].tolist() == [0.25, 0.25]
    assert state["fgsm"].tolist() == [0.25, 0.25] and state["step"].tolist() == [0, 7] and net.training


def test_a_network_that_overfits_to_fgsm_classifies_its_points_better_than_clean_ones():
    class Bent(nn.Module):
        """Class 0 except within 0.1 of 0.5, from where a step of 0.2 up the loss leads to class 0 on the other side."""

        def forward(self, x):
            z = (x.flatten(1) - 0.5).abs() - 0.1
            return torch.cat((z, -z), 1)

    points = Points(torch.tensor([0.55, 0.45]).view(2, 1, 1, 1), torch.tensor([0, 0]), torch.arange(2))
    state = {name: torch.zeros(0, dtype=torch.float64) for name in ("step", "clean", "fgsm", "pgd")}
    records = robustness(eps=0.2, steps=10).record(state, Bent(), points, 0)
    assert [float(records[k]) for k in ("clean", "fgsm", "pgd")] == [0.0, 1.0, 0.0]


def test_flips_count_changes_of_the_prediction():
    recorder = flips(grid=3)
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2))
    state = {"flips": torch.zeros(3, 3, dtype=torch.int64), "label": torch.full((3, 3), -1)}
    points = plane_points(0, 1, 3)
    for step, slope in enumerate((1.0, -1.0, -1.0, 1.0)):
        net[1].weight.data, net[1].bias.data = torch.tensor([[slope, 0.0], [0.0, 0.0]]), torch.tensor([-slope / 4, 0])
        state = recorder.record(state, net, points, step)
    # The prediction depends on the first coordinate only, and it changed twice everywhere.
    assert state["label"].tolist() == [[1, 0, 0]] * 3 and state["flips"].tolist() == [[2, 2, 2]] * 3


def test_data_that_do_not_fit_and_unknown_recorders_are_refused(tmp_path):
    data = digits(validation=0.0, **SMALL["digits"])
    with pytest.raises(InputError, match="needs the validation split, which is empty"):
        robustness(part="validation").init(data)
    with pytest.raises(InputError, match="needs data of two coordinates"):
        flips().init(data)
    with pytest.raises(InputError, match="no 'robustnes' among the recorders"):
        train_task("vanilla", "mlp", SMALL, record="robustnes")


def test_all_are_listed():
    assert recorders.__all__ == sorted(recorders.__all__) == names("recorder")
