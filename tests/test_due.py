"""DUE: sure near the data and nowhere else; GPyTorch's own predictions; bounded layers; kept, killed and attacked."""

import sys
import warnings
from math import log

import numpy as np
import pytest
import torch
from test_spectral import dense
from torch import nn

from surefooted.attacks import autoattack, pgd
from surefooted.core.files import read_tensors, write_tensors
from surefooted.core.scores import entropy
from surefooted.core.types import Forward, Points
from surefooted.data import digits
from surefooted.data.split import ImageSource, ImageTable, SplitOptions, split_source
from surefooted.errors import InputError
from surefooted.models import nets
from surefooted.models.ensembles import Ensemble
from surefooted.models.latent import LatentVictim
from surefooted.models.nets.due import Due
from surefooted.models.nets.gaussian_process import JITTER, GaussianProcess, k_means
from surefooted.models.nets.spectral import SpectralBatchNorm2d, SpectralConv2d, SpectralLinear, norm
from surefooted.models.prediction import predict
from surefooted.models.weights import build_on_meta, load_model, seeded_network
from surefooted.pipeline.execute import execute
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import attack_task, train_task
from surefooted.training.loop import fit
from surefooted.training.methods import due, vanilla
from surefooted.training.recipes import recipe

SGD = {"optimiser": "sgd", "lr": 0.1}
BOUNDED = SpectralLinear | SpectralConv2d
PLANE, SMALL = "due_mlp", {"due": {"which": "small"}}
UTA = {"pgd": {"eps": 0.1, "steps": 2, "step_size": 0.05, "objective": "entropy", "start": "clean", "keep": "last"}}


def splits(x, y, name, validation=0.1):
    source = ImageSource(ImageTable(x.astype(np.float32), y), None, None, tuple("abc"[: y.max() + 1]), scale=1.0)
    return split_source(source, SplitOptions(validation, 0, 0, 0, 0.2), name=name, title=name)


@pytest.fixture(scope="module")
def moons():
    """Two half circles in the middle of the unit square, which go into each other: images of two pixels."""
    rng = np.random.default_rng(0)
    y, turn = np.arange(400) % 2, rng.uniform(0, np.pi, 400)
    arcs = np.stack([np.cos(turn), np.sin(turn)], 1), np.stack([1 - np.cos(turn), 0.5 - np.sin(turn)], 1)
    x = np.where(y[:, None] == 0, *arcs) + rng.normal(0, 0.08, (400, 2))
    return splits(((x - [0.5, 0.25]) / 6 + 0.5).reshape(400, 1, 1, 2), y, "moons")


@pytest.fixture(scope="module")
def bars():
    """Images of 6×6 pixels: bright at the top, at the bottom, or nowhere."""
    rng = np.random.default_rng(0)
    y = np.arange(90) % 3
    x = rng.random((90, 1, 6, 6)) * 0.6
    x[y == 0, :, :2] += 0.4
    x[y == 1, :, 4:] += 0.4
    return splits(x, y, "bars")


@pytest.fixture(scope="module")
def sure(moons):
    net = started(PLANE, moons)
    fit(due(), net, moons, recipe(epochs=14, batch=32, **SGD))
    return net.eval()


@pytest.fixture(scope="module")
def gpytorch():
    GaussianProcess(2, 2, inducing=2, samples=2, training_samples=2)  # imports it without the warning of its own
    return sys.modules["gpytorch"]


def started(net, data):
    return seeded_network(net, data.train.shape, len(data.train.classes), 0)


def points(x):
    return Points(x, torch.zeros(len(x), dtype=torch.long), torch.arange(len(x)))


def entropies(net, x):
    p = predict(net, points(x)).log_p
    return -(p.exp() * p).sum(1)


def features(net, x):
    return nn.Sequential(*list(net)[:-1])(x)


def randomise(process, seed=0):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in (*process.posterior.parameters(), *process.kernel.parameters(), *process.mean.parameters()):
            weight += 0.3 * torch.randn(weight.shape, generator=generator, dtype=weight.dtype)


# What it is for


def test_it_tells_the_moons_apart(sure, moons):
    p = predict(sure, moons.test)
    assert (p.log_p.argmax(1) == p.y).float().mean() > 0.95


def test_entropy_rises_away_from_the_data(sure, moons):
    near = entropies(sure, moons.test.points().x)
    corners = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1], [0.5, 0], [0.5, 1]]).view(-1, 1, 1, 2)
    assert near.mean() < 0.2 and entropies(sure, corners).min() > 0.6
    centre = moons.train.points().x.mean(0)
    away = [entropies(sure, centre + k / 4 * (corners[:4] - centre)).mean() for k in (2, 3, 4)]
    assert away[0] < away[1] + 0.02 < away[2] + 0.05 and away[2] > 0.95 * log(2)


def test_uta_goes_where_the_net_is_unsure(sure, moons):
    some = moons.test.points()
    attack = pgd(eps=0.1, steps=10, step_size=0.02, objective="entropy", start="clean", keep="last")
    moved = attack.perturb(sure, some, target=some.y, seed=0)
    assert entropies(sure, moved).mean() > entropies(sure, some.x).mean() + 0.2


# The Gaussian process


def test_marginals_are_those_of_gpytorch(gpytorch, sure, moons):
    net = started(PLANE, moons).double()
    net.start(moons.train.points().x, 300)
    process = net.gp
    randomise(process)

    class Model(gpytorch.models.ApproximateGP):
        def __init__(self):
            strategy = gpytorch.variational.VariationalStrategy(
                self, process.inducing.detach(), process.posterior, jitter_val=JITTER
            )
            strategy.variational_params_initialized.fill_(1)
            super().__init__(strategy)
            self.mean, self.kernel = process.mean, process.kernel

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean(x), self.kernel(x))

    z = features(net, moons.test.points().x.double())
    z = torch.cat([z, z + 0.3 * torch.randn_like(z)]).detach()
    model = Model().double().eval()
    theirs = model(z)
    mean, variance = process.marginals(z)
    assert mean.std() > 0.05 and variance.std() > 0.05
    torch.testing.assert_close(mean.T, theirs.mean, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(variance.T, theirs.variance, rtol=1e-8, atol=1e-8)
    kl = model.variational_strategy.kl_divergence().sum()
    torch.testing.assert_close(process.divergence(), kl, rtol=1e-8, atol=1e-8)
    assert kl > 0.3


def test_samples_have_the_marginals_moments(sure, moons):
    z = features(sure, moons.test.points().x).detach()
    mean, variance = sure.gp.marginals(z)
    torch.manual_seed(0)
    draws = torch.cat([sure.gp(z) for _ in range(200)])
    assert draws.shape == (6400, len(z), 2)
    assert ((draws.mean(0) - mean) / variance.sqrt() * 80).abs().mean() < 1.2
    assert (draws.var(0) / variance - 1).abs().max() < 0.12


def test_no_row_depends_on_its_neighbours(sure, moons):
    z = features(sure, moons.test.points().x).detach().double()
    process = started(PLANE, moons).gp.double()
    process.load_state_dict(sure.gp.state_dict())
    whole = process.marginals(z)
    for rows in (slice(0, 1), slice(3, 9)):
        for all_rows, some in zip(whole, process.marginals(z[rows])):
            torch.testing.assert_close(all_rows[rows], some, rtol=1e-9, atol=1e-12)


def test_the_divergence_is_zero_at_the_prior(sure):
    process = GaussianProcess(3, 4, inducing=5, samples=2, training_samples=2)
    assert 0 < process.divergence() < 1e-3  # the means start beside the prior's
    nn.init.zeros_(process.posterior.variational_mean)
    assert float(process.divergence().detach()) == 0
    assert sure.gp.divergence() > 0.5


def test_gradients_of_the_entropy_are_finite_differences(sure, moons):
    net = started(PLANE, moons)
    net.load_state_dict(sure.state_dict())
    net = net.double().eval()
    x = moons.test.points().x[:6].double()

    def of(x):
        torch.manual_seed(3)
        return entropy()(Forward(net(x), torch.zeros(len(x), dtype=torch.long)))

    z = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(of(z).sum(), z)
    for k in range(2):
        step = torch.zeros_like(x)
        step[..., k] = 1e-6
        difference = (of(x + step) - of(x - step)).detach() / 2e-6
        torch.testing.assert_close(gradient[:, 0, 0, k], difference, rtol=1e-4, atol=1e-6)
    assert (gradient.abs() > 1e-3).any()


def test_it_starts_from_the_data(moons):
    net = started(PLANE, moons)
    x = moons.train.points().x
    before = {name: t.clone() for name, t in net.state_dict().items() if not name.endswith((".u", ".v"))}
    net.start(x, 1234)
    changed = {name for name, t in before.items() if not torch.equal(t, net.state_dict()[name])}
    assert changed == {"gp.inducing", "gp.examples", "gp.kernel.base_kernel.raw_lengthscale"}
    z = features(net.eval(), x).detach()
    lengthscale = net.gp.kernel.base_kernel.lengthscale.detach().flatten()
    torch.testing.assert_close(lengthscale, torch.pdist(z).mean().expand(2), rtol=0.02, atol=0)
    torch.testing.assert_close(net.gp.inducing.mean(0), z.mean(0), rtol=0.3, atol=0.1)
    again = started(PLANE, moons)
    again.start(x, 1234)
    assert all(torch.equal(a, b) for a, b in zip(net.state_dict().values(), again.state_dict().values()))
    again.start(x[:50], 50)  # of a network that goes on training only N is new
    assert torch.equal(again.gp.inducing, net.gp.inducing) and again.gp.examples == 50
    objective = due().objective(net, x, x, moons.train.y)
    assert objective.isfinite() and due().penalty(net) == net.gp.divergence() / 1234


def test_k_means_finds_what_lies_apart():
    centres = torch.tensor([[0.0, 0], [9, 0], [0, 9]]).double()
    cloud = (centres[:, None] + 0.1 * torch.randn(3, 20, 2, generator=torch.Generator().manual_seed(0))).flatten(0, 1)
    found = k_means(cloud, 3)
    assert torch.cdist(centres, found).amin(1).max() < 0.2
    assert k_means(torch.ones(4, 2), 3).shape == (3, 2)


def test_no_layer_of_a_trained_net_stretches_more(bars):
    net = started({"due": {"which": "small", "coefficient": 0.7}}, bars)
    for module in net.modules():
        if isinstance(module, BOUNDED):
            nn.init.normal_(module.weight, std=1.0)
    fit(due(), net, bars, recipe(epochs=2, batch=32, **SGD | {"lr": 0.01}))
    net.eval()
    layers = [module for module in net.modules() if isinstance(module, BOUNDED)]
    assert len(layers) == 10
    for layer in [layers[0], layers[2], layers[-1]]:
        exact = torch.linalg.matrix_norm(dense(layer), 2)
        assert 0.9 < float(exact / norm(layer).detach()) < 1.05 and exact > 0.7
    slopes = [m.weight * (m.running_var + m.eps).rsqrt() for m in net.modules() if isinstance(m, SpectralBatchNorm2d)]
    assert len(slopes) == 7 and max(float(slope.detach().abs().max()) for slope in slopes) > 0.7  # the bound does work


# Kept, killed, attacked


@pytest.mark.parametrize("net", [PLANE, SMALL], ids=str)
def test_what_is_read_back_predicts_the_same(net, tmp_path):
    store = Store(tmp_path / "store")
    data = digits(train_limit=70, test_limit=20, validation=0.1)
    task = train_task("due", net, data, {"recipe": {"epochs": 1, "batch": 32, **SGD}})
    attack = attack_task(task, {"pgd": {"eps": 0.1, "steps": 2}}, limit=10)
    execute([task, attack], store, runtime=Runtime("cpu", threads=1), quiet=True)
    made = started(net, data)
    fit(due(), made, data, recipe(epochs=1, batch=32, **SGD))
    read = task.load(store)
    assert isinstance(read, Due) and read.gp.examples == len(data.train)
    assert made.state_dict().keys() == read.state_dict().keys()
    assert all(torch.equal(a, read.state_dict()[name]) for name, a in made.state_dict().items())
    assert torch.equal(predict(made, data.test).log_p, predict(read, data.test).log_p)
    assert len(attack.result(store)["found"]) == 10


@pytest.mark.parametrize("net", [PLANE, SMALL], ids=str)
def test_a_killed_training_ends_with_the_same_bits(net, bars, tmp_path, monkeypatch):
    monkeypatch.setattr("surefooted.training.loop.SECONDS_BETWEEN_CHECKPOINTS", 0.0)
    schedule, file = recipe(epochs=2, batch=32, **SGD), tmp_path / "checkpoint.safetensors"
    whole, broken, method = started(net, bars), started(net, bars), due(perturb=UTA, mode="train")
    fit(method, whole, bars, schedule)
    taken = 0

    def stop(n):
        nonlocal taken
        taken += n
        if taken in (2, 3):
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(method, broken, bars, schedule, checkpoint=file, tick=stop)
        assert read_tensors(file)[1]["step"] > 0
        broken = started(net, bars)
    fit(method, broken, bars, schedule, checkpoint=file)
    assert all(torch.equal(a, b) for a, b in zip(whole.state_dict().values(), broken.state_dict().values()))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_attacks_leave_no_trace(mode, bars):
    net = started(SMALL, bars)
    net.start(bars.train.points().x, len(bars.train))
    kept = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    some, state = bars.test.points(), torch.get_rng_state()
    moved = pgd(eps=0.1, steps=3).perturb(net, some, target=some.y, seed=0, mode=mode)
    assert torch.equal(moved, pgd(eps=0.1, steps=3).perturb(net, some, target=some.y, seed=0, mode=mode))
    assert (moved - some.x).abs().max() > 0.05 and net.training
    assert all(torch.equal(kept[name], tensor) for name, tensor in net.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_autoattack_for_random_victims_breaks_it(bars):
    net = started(PLANE, bars)
    fit(due(), net, bars, recipe(epochs=15, batch=32, **SGD))
    some, attack = bars.test.points(), autoattack(eps=0.3, version="rand", steps=5, eot=4)
    assert (predict(net, some).log_p.argmax(1) == some.y).float().mean() > 0.9
    found = attack(net, some, seed=0).found
    assert found.float().mean() > 0.8 and torch.equal(found, attack(net, some, seed=0).found)


def test_a_file_may_not_claim_more_than_it_holds(tmp_path):
    net = nets.due_mlp((1, 2, 2), 3, width=4)
    about = {"net": {"due_mlp": {"width": 4, "inducing": 10**7}}, "shape": [1, 2, 2], "classes": list("abc")}
    write_tensors(tmp_path / "weights.safetensors", net.state_dict(), about)
    with pytest.raises(InputError, match="10000000"):
        load_model(tmp_path / "weights.safetensors")


# Sizes and refusals


def test_the_paper_codes_network():
    net = build_on_meta("due", (3, 32, 32), 10)
    features = 36_479_194 - 640 * 10 - 10  # WRN-28-10 without its last layer
    process = 10 * 640 + 3 * 10 + 10 * 10 + 10 * 10 * 10  # inducing points; per class 3 numbers, mean and root
    assert sum(weight.numel() for weight in net.parameters()) == features + process
    assert {m.momentum for m in net.modules() if isinstance(m, SpectralBatchNorm2d)} == {0.01}
    assert all(tensor.is_meta for tensor in net.state_dict().values())
    stages = ["normalise", "stem", "layer1", "layer2", "layer3", "norm", "pool", "gp"]
    assert [name for name, _ in net.named_children()] == stages
    assert not any(type(module) in (nn.Conv2d, nn.Linear, nn.BatchNorm2d) for module in net.modules())


def test_images_that_are_all_the_same_are_refused(moons):
    flat = splits(np.full((60, 1, 1, 2), 0.5), np.arange(60) % 2, "flat")
    with pytest.raises(InputError, match=r"all the same \(zero variance\).*look whether the images differ"):
        fit(due(), started(PLANE, flat), flat, recipe(epochs=1))
    many = started({PLANE: {"inducing": 500}}, moons)
    with pytest.raises(InputError, match=r"500 inducing points cannot start from 288 .* lower --net\.inducing"):
        fit(due(), many, moons, recipe(epochs=1))


def test_method_and_network_belong_together(moons, bars):
    with pytest.raises(InputError, match="train it with the method due"):
        fit(vanilla(), started(PLANE, moons), moons, recipe(epochs=1))
    with pytest.raises(InputError, match="has none; give --net due or due_mlp"):
        fit(due(), started("mlp", bars), bars, recipe(epochs=1))


def test_without_gpytorch_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "gpytorch", None)
    with warnings.catch_warnings(), pytest.raises(InputError, match=r"pip install surefooted\[gp\]"):
        nets.due_mlp((1, 1, 2), 2)


def test_several_and_their_features_have_one_sample_axis():
    made = [nets.due_mlp((1, 1, 2), 3, samples=4).eval() for _ in range(2)]
    x = torch.rand(5, 1, 1, 2)
    for net in made:
        net.start(torch.rand(40, 1, 1, 2), 40)
    assert Ensemble(made)(x).shape == (8, 5, 3)
    features = LatentVictim(made[0], "fc2")
    assert features(features.lift(x)).shape == (4, 5, 3)
