"""Networks: sizes as published, stages that can be cut anywhere, normalisation inside, refusals that help."""

from __future__ import annotations

from functools import cache

import pytest
import torch
from torch import nn

from surefooted.errors import ArgumentError, DataError, InputError, ModelError
from surefooted.models import nets
from surefooted.models.nets.normalise import Normalise
from surefooted.models.nets.residual import Residual, he_normal_

# Options that make a network small enough for the tests.
CHEAP = {"due": {"which": "small"}, "wide_resnet": {"depth": 10, "widen": 1}}


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On busy cores the threads of such small convolutions wait for each other fifty times as long as they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    built.cache_clear()


@cache
def built(name: str) -> nn.Sequential:
    torch.manual_seed(0)
    return getattr(nets, name)(smallest(name), 5, **CHEAP.get(name, {})).eval()


def smallest(name: str) -> tuple[int, int, int]:
    """(C, H, W) of the smallest images that the network reads."""
    return 3, getattr(nets, name).min_side, getattr(nets, name).min_side


def images(name: str, count: int = 2) -> torch.Tensor:
    return torch.rand(count, *smallest(name), generator=torch.Generator().manual_seed(1))


def answers(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Logits; of a network that draws samples of them, the mean over the same draws each time."""
    torch.manual_seed(0)
    logits = net(x)
    return logits.mean(0) if logits.ndim == 3 else logits


def parameters(net: nn.Module) -> int:
    return sum(weight.numel() for weight in net.parameters())


@pytest.mark.parametrize(
    ("name", "shape", "classes", "options", "count"),
    [
        ("mlp", (1, 28, 28), 10, {}, 784 * 256 + 256 + 256 * 10 + 10),
        ("lenet", (1, 28, 28), 10, {}, 61_706),
        ("lenet_svhn", (3, 32, 32), 10, {}, 675_826),
        ("cnn4", (1, 28, 28), 10, {}, 21_840),
        ("small_cnn", (1, 28, 28), 10, {}, 312_202),
        ("cnn7", (3, 32, 32), 10, {}, 1_739_210),
        ("resnet18", (3, 32, 32), 10, {}, 11_173_962),
        ("resnet18", (3, 32, 32), 10, {"dropout": 0.2}, 11_173_962),
        ("resnet29_v2", (3, 32, 32), 10, {}, 843_786),
        ("wide_resnet", (3, 32, 32), 10, {"depth": 16, "widen": 4, "dropout": 0.3}, 2_748_890),
        ("wide_resnet28_10", (3, 32, 32), 10, {}, 36_479_194),
        ("wide_resnet34_10", (3, 32, 32), 10, {}, 46_160_474),
        ("resnet101", (3, 224, 224), 1000, {}, 44_549_160),
    ],
)
def test_parameters_as_published(name, shape, classes, options, count):
    with torch.device("meta"):
        net = getattr(nets, name)(shape, classes, **options)
        assert parameters(net) == count
        assert net.eval()(torch.zeros(2, *shape)).shape == (2, classes)


@pytest.mark.parametrize("name", nets.__all__)
def test_logits_and_a_batch_of_one(name):
    net, x = built(name), images(name)
    with torch.no_grad():
        logits = answers(net, x)
        assert logits.shape == (2, 5)
        assert logits.isfinite().all()
        torch.testing.assert_close(
            answers(net, x[:1]), logits[:1], rtol=1e-3, atol=1e-4 * logits.abs().max().item() + 1e-6
        )


@pytest.mark.parametrize("name", nets.__all__)
def test_cutting_at_any_stage_changes_nothing(name):
    net, x = built(name), images(name)
    assert next(iter(dict(net.named_children()))) == "normalise"
    assert isinstance(net.normalise, Normalise)
    with torch.no_grad():
        whole = answers(net, x)
        for k in range(len(net) + 1):
            assert torch.equal(answers(nn.Sequential(net[:k], net[k:]), x), whole)


@pytest.mark.parametrize("name", nets.__all__)
def test_gradients_reach_the_pixels(name):
    # Short of the last layer, which small_cnn starts at zero.
    net, x = built(name), images(name).requires_grad_()
    (gradient,) = torch.autograd.grad(net[:-1](x).square().sum(), x)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1) != 0).any(1).all()


@pytest.mark.parametrize("name", [name for name in nets.__all__ if getattr(nets, name).min_side > 1])
def test_too_small_images_are_refused_with_what_fits(name):
    channels, side, _ = smallest(name)
    for height, width in [(side - 1, side), (side, side - 1)]:
        fitting = sorted(other for other in nets.__all__ if getattr(nets, other).min_side < side)
        with pytest.raises(
            ArgumentError, match=rf"{name} needs .* at least {side}×{side} .* {height}×{width}"
        ) as error:
            getattr(nets, name)((channels, height, width), 5)
        assert str(error.value).endswith(f"a network that reads them: {', '.join(fitting)}.")


@pytest.mark.parametrize("name", nets.__all__)
def test_the_help_states_the_smallest_image(name):
    side = getattr(nets, name).min_side
    assert (f"at least {side}×{side} pixels" if side > 1 else "of any size") in getattr(nets, name).__doc__


@pytest.mark.parametrize("name", nets.__all__)
def test_unknown_options_are_refused_with_a_suggestion(name):
    with pytest.raises(InputError, match=r"no argument 'normalize'\. Did you mean 'normalise'"):
        getattr(nets, name)(smallest(name), 5, normalize="none")


@pytest.mark.parametrize(
    "wrong", [{"normalise": "chanel"}, {"shape": (1, 28)}, {"shape": (1, 0, 28)}, {"classes": 0}], ids=str
)
def test_wrong_arguments_are_refused(wrong):
    with pytest.raises(InputError):
        nets.lenet(**{"shape": (1, 28, 28), "classes": 10, **wrong})


def test_latents_of_uta():
    stages = list(dict(nets.lenet((1, 28, 28), 10).named_children()))
    assert stages == ["normalise", "conv1", "conv2", "fc1", "fc2", "fc3"]
    after = stages.index("fc1") + 1
    assert nets.lenet((1, 28, 28), 10)[:after](torch.rand(2, 1, 28, 28)).shape == (2, 120)
    svhn = nets.lenet_svhn((3, 32, 32), 10)
    assert svhn[:3](torch.rand(2, 3, 32, 32)).shape == (2, 64, 6, 6)
    assert svhn[:5](torch.rand(2, 3, 32, 32)).shape == (2, 120)


@pytest.mark.parametrize(("name", "side"), [("lenet", 29), ("lenet_svhn", 17), ("cnn4", 29), ("small_cnn", 27)])
def test_flattening_follows_the_image(name, side):
    assert getattr(nets, name)((3, side, side + 3), 4)(torch.rand(2, 3, side, side + 3)).shape == (2, 4)


# Normalisation


@pytest.mark.parametrize("mode", ["none", "channel", "pixel_mean"])
def test_normalisation_is_inside(mode):
    train, x = torch.rand(50, 3, 8, 8).pow(2), torch.rand(4, 3, 8, 8)
    net = nets.small_convnet((3, 8, 8), 5, normalise=mode)
    data = train.double().numpy()
    mean, std = {
        "none": (0.0, 1.0),
        "channel": (data.mean((0, 2, 3))[:, None, None], data.std((0, 2, 3))[:, None, None]),
        "pixel_mean": (data.mean(0), 1.0),
    }[mode]
    torch.testing.assert_close(net.normalise(x), x)  # until fit
    net.normalise.fit(train)
    normalised = torch.from_numpy((x.double().numpy() - mean) / std).float()
    torch.testing.assert_close(net(x), net[1:](normalised), rtol=1e-4, atol=1e-5)


def test_normalisation_stays_with_the_weights():
    one, two = (nets.mlp((2, 3, 3), 5, normalise="channel") for _ in range(2))
    one.normalise.fit(torch.rand(20, 2, 3, 3))
    two.load_state_dict(one.state_dict())
    x = torch.rand(4, 2, 3, 3)
    assert torch.equal(one(x), two(x))


def test_none_does_no_arithmetic():
    x = torch.rand(2, 1, 4, 4)
    assert Normalise((1, 4, 4), "none")(x) is x


def test_a_constant_channel_becomes_zero():
    train = torch.rand(10, 2, 4, 4)
    train[:, 1] = 0.25
    normalise = Normalise((2, 4, 4), "channel")
    normalise.fit(train)
    assert torch.equal(normalise(train)[:, 1], torch.zeros(10, 4, 4))


@pytest.mark.parametrize("wrong", [torch.full((2, 1, 4, 4), 255.0), torch.full((2, 1, 4, 4), torch.nan)])
def test_fit_wants_pixels(wrong):
    with pytest.raises(DataError, match=r"pixels in \[0, 1\]"):
        Normalise((1, 4, 4), "channel").fit(wrong)


@pytest.mark.parametrize("name", nets.__all__)
def test_images_of_another_shape_are_refused(name):
    channels, height, width = smallest(name)
    with pytest.raises(ModelError, match="got a batch of shape"):
        built(name)(torch.rand(2, channels, 2 * height, width))


# What distinguishes the residual networks


def test_dropout_follows_every_convolution_of_resnet18_and_renames_nothing():
    plain, dropout = nets.resnet18((3, 8, 8), 5), nets.resnet18((3, 8, 8), 5, dropout=0.2)
    assert not [m for m in plain.modules() if isinstance(m, nn.Dropout)]
    assert [m.p for m in dropout.modules() if isinstance(m, nn.Dropout)] == [0.2] * 17
    dropout.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 8, 8)
    assert torch.equal(plain.eval()(x), dropout.eval()(x))


@pytest.mark.parametrize("name", ["mlp", "small_convnet", "small_cnn", "cnn7", "wide_resnet"])
def test_without_dropout_there_is_no_such_layer(name):
    options = CHEAP.get(name, {})
    for p, present in [(0.0, False), (0.3, True)]:
        net = getattr(nets, name)(smallest(name), 5, dropout=p, **options)
        assert any(isinstance(m, nn.Dropout) for m in net.modules()) is present


@pytest.mark.parametrize("reads", ["input", "activated"])
def test_shortcuts_of_wide_resnet(reads):
    net = nets.wide_resnet((3, 8, 8), 5, depth=10, widen=2, shortcut=reads).eval()
    for block in (net.layer1[0], net.layer2[0]):
        nn.init.zeros_(block.body.conv2.weight)  # only the shortcut remains
        x = torch.randn(2, block.shortcut.in_channels, 8, 8)
        # An untrained batch norm in evaluation mode divides by sqrt(1 + 1e-5).
        expected = x if reads == "input" else (x / (1 + 1e-5) ** 0.5).relu()
        torch.testing.assert_close(block(x), block.shortcut(expected))


def test_depths():
    def depth(net: nn.Module) -> int:
        """Convolutions and linear layers in a row: shortcuts run beside them."""
        beside = sum(isinstance(m, Residual) and not isinstance(m.shortcut, nn.Identity) for m in net.modules())
        return sum(isinstance(m, nn.Conv2d | nn.Linear) for m in net.modules()) - beside

    with torch.device("meta"):
        assert depth(nets.resnet18((3, 32, 32), 10)) == 18
        assert depth(nets.resnet101((3, 224, 224), 1000)) == 101
        assert [depth(nets.resnet29_v2((3, 32, 32), 10, n=n)) for n in (1, 3, 6)] == [11, 29, 56]
        # Zagoruyko & Komodakis count the three projections, and not the linear layer.
        assert depth(nets.wide_resnet28_10((3, 32, 32), 10)) + 3 - 1 == 28
        assert depth(nets.wide_resnet34_10((3, 32, 32), 10)) + 3 - 1 == 34
        assert sum(isinstance(m, nn.Conv2d) for m in nets.cnn7((3, 32, 32), 10).modules()) == 7


def test_maps_of_resnet29_v2_as_in_keras():
    net = nets.resnet29_v2((3, 32, 32), 10)
    x, shapes = torch.rand(2, 3, 32, 32), []
    for stage in net:
        x = stage(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[1:] == [(16, 32, 32), (64, 32, 32), (128, 16, 16), (256, 8, 8), (256, 8, 8), (256,), (10,)]
    norms = [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]
    # One of the stem, three a block but for the very first block's two, one at the end.
    assert len(norms) == 1 + 9 * 3 - 1 + 1
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.01)}


@pytest.mark.parametrize("depth", [4, 5, 27, 29])
def test_depths_that_wide_resnets_cannot_have(depth):
    with pytest.raises(ArgumentError, match=r"not 6n \+ 4"):
        nets.wide_resnet((3, 32, 32), 10, depth=depth)


def test_he_normal_keeps_the_variance():
    layer = nn.Sequential(nn.Conv2d(64, 128, 3))
    he_normal_(layer)
    weight = layer[0].weight
    std = (2 / (64 * 9)) ** 0.5
    assert abs(weight.std().item() / std - 1) < 0.02
    assert weight.abs().max() <= 2 * std / 0.8796
    assert not layer[0].bias.any()


def test_small_cnn_starts_undecided():
    assert not built("small_cnn")(images("small_cnn")).any()
