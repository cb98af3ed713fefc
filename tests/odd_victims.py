"""A zoo of odd victims: each does what the plain network does, in the way of somebody's own code.

All are built around one small trained network, so that the right answers are known: those of the plain network. Laws
run over ``ODD_VICTIMS``; an entry says where its answers differ from the plain network's, and what it refuses.
"""

from __future__ import annotations

import copy
import random
import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import SimpleNamespace

import numpy as np
import torch
from learnt import learnt
from torch import Tensor, nn
from torch.nn.utils import parametrizations
from torch.utils.checkpoint import checkpoint

from surefooted.core.types import Points
from surefooted.data import digits

# The sum of the pixels of a digit; about half of the images are above.
BRIGHT = 19.5


@dataclass(frozen=True)
class OddVictim:
    """An entry of the zoo.

    Attributes:
        name: what is odd about it.
        build: from a copy of the plain network, in evaluation mode, to the odd victim.
        tolerance: by which its logits may differ from the plain network's.
        refused: pattern of the message with which every use of it is refused; None if it works.
        gradient_refused: pattern of the message with which attacks that follow the gradient are refused.
        non_finite: from images to those at which its logits are not finite; none by default.
        broken_gradient: from images to those at which its gradient is not finite; none by default.
        stochastic: its answers change from call to call.
    """

    name: str
    build: Callable[[nn.Module], nn.Module]
    tolerance: float = 1e-5  # a layout of its own rounds differently
    refused: str | None = None
    gradient_refused: str | None = None
    non_finite: Callable[[Tensor], Tensor] = lambda x: torch.zeros(len(x), dtype=torch.bool)
    broken_gradient: Callable[[Tensor], Tensor] = lambda x: torch.zeros(len(x), dtype=torch.bool)
    stochastic: bool = False

    def make(self) -> nn.Module:
        """A fresh one."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # tracing, exporting and quantising warn of themselves
            return self.build(plain())


@cache
def _trained() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = OrderedDict(conv=nn.Conv2d(1, 4, 3, padding=1), relu=nn.ReLU(), flat=nn.Flatten())
        return learnt(nn.Sequential(layers | {"head": nn.Linear(256, 10)}), 60).eval()


def plain() -> nn.Module:
    """A copy of the plain network."""
    return copy.deepcopy(_trained())


def images(n: int = 12) -> Points:
    """The images on which the laws run."""
    return digits(test_limit=n).test.points()


class Around(nn.Module):
    """The network with a function before and after it."""

    def __init__(self, net: nn.Module, before: Callable = lambda x: x, after: Callable = lambda out, x: out) -> None:
        super().__init__()
        self.net, self.before, self.after = net, before, after
        self.training = net.training

    def forward(self, x: Tensor):
        return self.after(self.net(self.before(x)), x)


def before(function: Callable[[Tensor], Tensor]) -> Callable[[nn.Module], nn.Module]:
    return lambda net: Around(net, before=function)


def after(function: Callable) -> Callable[[nn.Module], nn.Module]:
    return lambda net: Around(net, after=function)


def bright(x: Tensor) -> Tensor:
    return x.detach().flatten(1).sum(1) > BRIGHT


class Views(nn.Module):
    """Flattens features by ``view``, as TRADES's SmallCNN and pytorch-cifar's LeNet do."""

    def __init__(self, net: nn.Module, whole: bool = False) -> None:
        super().__init__()
        self.conv, self.head, self.whole = net.conv, net.head, whole
        self.train(net.training)

    def forward(self, x: Tensor) -> Tensor:
        if self.whole:
            x = x.view(-1).view(-1, 1, 8, 8)
        return self.head(self.conv(x).relu().view(x.size(0), -1))


class InPlace(Views):
    """Residual and activation in place, after the first layer."""

    def forward(self, x: Tensor) -> Tensor:
        z = self.conv(x)
        z += 1
        z -= 1
        return self.head(z.relu_().flatten(1))


class Stateful(Around):
    """Counts its calls in a buffer, and moves its statistics in evaluation mode."""

    def __init__(self, net: nn.Module, replaces: bool = False) -> None:
        super().__init__(net)
        self.register_buffer("calls", torch.zeros(()))
        self.norm, self.replaces = nn.BatchNorm2d(1).eval(), replaces

    def forward(self, x: Tensor) -> Tensor:
        if self.replaces:
            self.calls = self.calls + 1
        else:
            self.calls += 1
        self.norm.train()
        self.norm(x.detach())
        return self.net(x)


class ExtraState(Around):
    def get_extra_state(self) -> dict:
        return {"version": 3, "scales": [torch.ones(2), None], "note": "any"}

    def set_extra_state(self, state: dict) -> None:
        pass


class SameMemory(Around):
    """Returns the same memory at each call."""

    def forward(self, x: Tensor) -> Tensor:
        out = self.net(x)
        if out.requires_grad:
            return out
        if getattr(self, "kept", None) is None or len(self.kept) < len(out):
            self.kept = torch.empty_like(out)
        return self.kept[: len(out)].copy_(out)


class FrozenMode(Around):
    """Refuses to change its mode."""

    def train(self, mode: bool = True):
        raise NotImplementedError("this model has one mode")


class Failing(Exception):
    """An exception of somebody's own."""


class Infinite(torch.autograd.Function):
    """The identity, whose gradient is infinite (or NaN) in one pixel of bright images."""

    @staticmethod
    def forward(ctx, x, value):
        ctx.save_for_backward(x)
        ctx.value = value
        return x.clone()

    @staticmethod
    def backward(ctx, gradient):
        (x,) = ctx.saved_tensors
        gradient = gradient.clone()
        gradient[bright(x), 0, 3, 3] = ctx.value
        return gradient, None


def raises(error: BaseException) -> Callable[[nn.Module], nn.Module]:
    def raising(x: Tensor) -> Tensor:
        raise error

    return before(raising)


def deep(x: Tensor) -> Tensor:
    return deep(x + 0)


def masked(value: float) -> Callable[[Tensor, Tensor], Tensor]:
    """One class of bright images gets a value."""
    return lambda out, x: torch.where((bright(x)[:, None]) & (torch.arange(10) == 3), value, out)


def printing(x: Tensor) -> Tensor:
    print("forward", tuple(x.shape))
    return x


def sets_default_dtype(x: Tensor) -> Tensor:
    torch.set_default_dtype(torch.float64)
    return x


def switches_gradients_off(out: Tensor, x: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    return out


def draws(out: Tensor, x: Tensor) -> Tensor:
    """Draws from every generator, and does not use it."""
    torch.rand(3), np.random.rand(3), random.random()
    return out


def reseeds(out: Tensor, x: Tensor) -> Tensor:
    torch.manual_seed(5)
    np.random.seed(5)
    random.seed(5)
    return out


def exported(net: nn.Module) -> nn.Module:
    shapes = ({0: torch.export.Dim("batch")},)
    return torch.export.export(net, (torch.rand(2, 1, 8, 8),), dynamic_shapes=shapes).module()


def parametrised(net: nn.Module, how: Callable[[nn.Module], nn.Module]) -> nn.Module:
    how(net.conv)
    return net.eval()


def tied(net: nn.Module) -> nn.Module:
    twin = nn.Linear(256, 10)
    twin.weight = net.head.weight
    whole = nn.ModuleDict({"net": net, "twin": twin})
    model = Around(net)
    model.whole = whole
    return model


def lazy(net: nn.Module) -> nn.Module:
    net.head = nn.LazyLinear(10)
    return net


def hooked(net: nn.Module) -> nn.Module:
    net.conv.register_forward_hook(lambda module, inputs, output: output.contiguous().view_as(output))
    return net


def in_half(dtype: torch.dtype) -> Callable[[nn.Module], nn.Module]:
    return lambda net: net.to(dtype)


def double_inside(net: nn.Module) -> nn.Module:
    return Around(net.double(), before=lambda x: x.double())


def half_head(net: nn.Module) -> nn.Module:
    net.head.bfloat16()
    return nn.Sequential(net.conv, net.relu, net.flat, Around(net.head, before=lambda z: z.bfloat16())).eval()


def autocast(net: nn.Module) -> nn.Module:
    class Autocast(Around):
        def forward(self, x: Tensor) -> Tensor:
            with torch.autocast("cpu", torch.bfloat16):
                return self.net(x)

    return Autocast(net)


def zero_size(net: nn.Module) -> nn.Module:
    net.register_buffer("nothing", torch.zeros(0, 3))
    return Around(net)


def checkpointed(reentrant: bool) -> Callable[[nn.Module], nn.Module]:
    def build(net: nn.Module) -> nn.Module:
        model = Around(net)
        model.forward = lambda x: net.head(checkpoint(net[:3], x, use_reentrant=reentrant))
        return model

    return build


def quantised(net: nn.Module) -> nn.Module:
    return torch.ao.quantization.quantize_dynamic(net, {nn.Linear})


def without_gradient(net: nn.Module) -> nn.Module:
    model = Around(net)
    model.forward = torch.no_grad()(model.forward)
    return model


class SetsWeights(Around):
    """Rounds its weights in its forward pass, or lets them shrink with each."""

    def __init__(self, net: nn.Module, shrinks: bool = False) -> None:
        super().__init__(net)
        self.shrinks = shrinks

    def forward(self, x: Tensor) -> Tensor:
        weight = self.net.conv.weight
        weight.data = weight.data * 0.999 if self.shrinks else (weight.data * 1000).round() / 1000
        return self.net(x)


def leaves_autocast_on(out: Tensor, x: Tensor) -> Tensor:
    torch.set_autocast_enabled("cpu", True)
    return out


def by_batch(net: nn.Module) -> nn.Module:
    return nn.Sequential(nn.BatchNorm2d(1, track_running_stats=False), net).eval()


def noisy(out: Tensor, x: Tensor) -> Tensor:
    return out + 1e-3 * torch.randn_like(out)


Output = namedtuple("Output", "logits features")

ODD_VICTIMS = [
    OddVictim("plain", lambda net: net),
    # memory layout
    OddVictim("view after a convolution", Views),
    OddVictim("view of the input", lambda net: Views(net, whole=True)),
    OddVictim("channels last", lambda net: net.to(memory_format=torch.channels_last), tolerance=1e-4),
    OddVictim("non-contiguous logits", after(lambda out, x: out.t().contiguous().t())),
    OddVictim("expanded logits", after(lambda out, x: out[None].expand(2, -1, -1)[1])),
    OddVictim("the same memory at each call", SameMemory),
    # writes to its input
    OddVictim("in-place ReLU first", lambda net: nn.Sequential(nn.ReLU(inplace=True), net).eval()),
    OddVictim("in-place Hardtanh first", lambda net: nn.Sequential(nn.Hardtanh(0, 1, True), net).eval()),
    OddVictim("in-place normalisation", before(lambda x: x.sub_(0.5).div_(0.5).mul_(0.5).add_(0.5)), tolerance=1e-4),
    OddVictim("zeroes its input after use", after(lambda out, x: (x.data.zero_(), out)[1])),
    OddVictim("in-place features", InPlace, tolerance=1e-4),
    OddVictim("in-place logits", after(lambda out, x: out.mul_(1))),
    # precision
    OddVictim("float64 model", in_half(torch.float64), tolerance=1e-4),
    OddVictim("float64 inside", double_inside, tolerance=1e-4),
    OddVictim("float64 logits", after(lambda out, x: out.double())),
    OddVictim("bfloat16 model", in_half(torch.bfloat16), tolerance=0.3),
    OddVictim("float16 model", in_half(torch.float16), tolerance=0.05),
    OddVictim("float16 logits", after(lambda out, x: out.half()), tolerance=0.05),
    OddVictim("bfloat16 head", half_head, tolerance=0.3),
    OddVictim("autocast inside", autocast, tolerance=0.3),
    OddVictim("dynamic quantisation", quantised, tolerance=1.0, gradient_refused="backward pass failed|no gradient"),
    OddVictim("sets the default dtype", before(sets_default_dtype)),
    # wrappers
    OddVictim("DataParallel", nn.DataParallel),
    OddVictim("exported", exported, tolerance=1e-4),
    OddVictim("exported, behind a layer", lambda net: nn.Sequential(nn.Identity(), exported(net)), tolerance=1e-4),
    OddVictim("refuses train()", FrozenMode),
    OddVictim("scripted", torch.jit.script, tolerance=1e-4),
    OddVictim("traced", lambda net: torch.jit.trace(net, torch.rand(2, 1, 8, 8)), tolerance=1e-4),
    OddVictim("hooked", hooked),
    # weights
    OddVictim("tied weights", tied),
    OddVictim("weight norm", lambda net: parametrised(net, parametrizations.weight_norm), tolerance=1e-4),
    OddVictim("wrapped twice", lambda net: Around(Around(net))),
    OddVictim("extra state", ExtraState),
    OddVictim("a buffer of size zero", zero_size),
    OddVictim("checkpointed", checkpointed(False)),
    OddVictim("frozen weights", lambda net: Around(net.requires_grad_(False))),
    # state and side effects
    OddVictim("counts its calls", Stateful),
    OddVictim("replaces its buffer", lambda net: Stateful(net, replaces=True)),
    OddVictim("prints", before(printing)),
    OddVictim("switches gradients off for good", after(switches_gradients_off)),
    OddVictim("draws random numbers", after(draws)),
    OddVictim("seeds all generators", after(reseeds)),
    OddVictim("leaves autocast on", after(leaves_autocast_on)),
    OddVictim("sets its weights", SetsWeights, tolerance=0.05),
    OddVictim("batch norm without running statistics", by_batch, tolerance=40),
    OddVictim("stochastic", after(noisy), tolerance=0.01, stochastic=True),
    OddVictim("in training mode", lambda net: net.train()),
    # outputs
    OddVictim("dictionary", after(lambda out, x: {"logits": out, "features": x})),
    OddVictim("object with logits", after(lambda out, x: SimpleNamespace(logits=out, loss=None))),
    OddVictim("named tuple with logits", after(lambda out, x: Output(out, x))),
    OddVictim("tuple of one", after(lambda out, x: (out,))),
    OddVictim("tiny logits", after(lambda out, x: out * 1e-12), tolerance=40),
    OddVictim("saturated logits", after(lambda out, x: out * 1e4), tolerance=1e6),
    OddVictim("softmax at the end", after(lambda out, x: out.softmax(1)), tolerance=40),
    # gradients
    OddVictim("no_grad inside", without_gradient, gradient_refused="no gradient"),
    OddVictim("detached", before(lambda x: x.detach()), gradient_refused="no gradient"),
    OddVictim("infinite gradient", before(lambda x: Infinite.apply(x, torch.inf)), broken_gradient=bright),
    OddVictim("NaN gradient", before(lambda x: Infinite.apply(x, torch.nan)), broken_gradient=bright),
    OddVictim("reentrant checkpointing", checkpointed(True), gradient_refused="use_reentrant=False"),
    OddVictim("through NumPy", before(lambda x: torch.from_numpy(x.numpy())), gradient_refused="Compute with torch"),
    # logits that are not finite
    OddVictim("one NaN logit for bright images", after(masked(torch.nan)), non_finite=bright),
    OddVictim("one infinite logit for bright images", after(masked(torch.inf)), non_finite=bright),
    OddVictim(
        "all logits −inf for bright images",
        after(lambda o, x: o - torch.where(bright(x), torch.inf, 0)[:, None]),
        non_finite=bright,
    ),
    # refused
    OddVictim("tuple of two", after(lambda out, x: (out, x)), refused="returns a tuple of 2"),
    OddVictim("dictionary without logits", after(lambda out, x: {"scores": out}), refused="with scores"),
    OddVictim("classes", after(lambda out, x: out.argmax(1)), refused="before any argmax"),
    OddVictim("one number per image", after(lambda out, x: out[:, :1]), refused="at least 2 classes"),
    OddVictim("squeezed logits", after(lambda out, x: out[:, 0]), refused="one number per image"),
    OddVictim("logits of another batch", after(lambda out, x: out[:1]), refused="logits have shape"),
    OddVictim("raises an exception of its own", raises(Failing("no licence")), refused="Failing: no licence"),
    OddVictim("exits", raises(SystemExit(3)), refused="SystemExit: 3"),
    OddVictim("endless recursion", before(deep), refused="RecursionError"),
    OddVictim("another image size", before(lambda x: x[:, :, :4]), refused="The model failed on .* images of shape"),
    OddVictim("moves its weights", lambda net: SetsWeights(net, shrinks=True), refused="changes its weights in every"),
    OddVictim(
        "compiled without a compiler",
        raises(RuntimeError("Failed to find a working C++ compiler")),
        refused="pass the module that was compiled",
    ),
    OddVictim("lazy layer", lazy, refused="lazy layers without weights"),
]
