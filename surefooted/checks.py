"""Flags: signs that a robust accuracy should not be trusted, each with what was seen and what to do.

``admit`` refuses a classifier that cannot be evaluated at all. ``probe`` asks it a few questions once; the functions
below read the probe, or the results of attacks that were run anyway, and compute nothing anew. What each looks for is
in its docstring; allowances are what attacks on honest classifiers differ by.

Source of the symptoms: Carlini et al., *On evaluating adversarial robustness*, 2019; Athalye et al., *Obfuscated
gradients give a false sense of security*, ICML 2018.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from math import comb
from typing import Any, Literal

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from surefooted.core import Forward, Points, log_mean_softmax
from surefooted.errors import InputError
from surefooted.scores import cross_entropy, cw_margin
from surefooted.views import Victim, untouched, victim_of

Found = Bool[Tensor, " n"]
FLAGS = (
    "zero_gradients",
    "randomised",
    "train_mode",
    "softmax_twice",
    "black_box_wins",
    "huge_eps",
    "not_converged",
    "ladder",
)
PROBED = 64
# Of all rows, the share that two sound attacks may differ by, one row at least.
ALLOWED = 0.01
# Answers may move by so much of their scale where nothing but the order of additions changed.
ROUNDING = 1e-4
# Where the loss's gradient is so much smaller than the margin's, float32 has lost the true class's part of it.
SATURATED = 1e-7


@dataclass(frozen=True)
class Flag:
    """A sign that numbers should not be trusted.

    Attributes:
        name: one of ``FLAGS``.
        severity: ``serious``: the robust accuracy is wrong until this is cleared up; ``caution``: it may be.
        seen: what was seen, with numbers.
        cure: what to do.
    """

    name: str
    severity: Literal["serious", "caution"]
    seen: str
    cure: str


@dataclass(frozen=True)
class Probe:
    """What a classifier shows on a few clean points.

    Attributes:
        n: points asked about.
        zero: share of points at which the gradient of the margin is zero in every pixel.
        broken: share at which it is not finite.
        saturated: share of the others at which the loss's gradient is lost beside the margin's.
        redraw: largest difference between logits of two equal calls, as a share of their scale.
        alone: largest difference between logits of an image alone and in company, as a share of their scale.
        training: modules that were handed over in training mode.
        mode: largest difference that this mode makes to the logits, as a share of their scale; 0 if there are none.
        probabilities: whether every row of logits is a distribution already.
    """

    n: int
    zero: float
    broken: float
    saturated: float
    redraw: float
    alone: float
    training: int
    mode: float
    probabilities: bool

    def json(self) -> dict[str, Any]:
        return asdict(self)


def admit(model: nn.Module, points: Points, classes: int) -> None:
    """Refuse what cannot be evaluated, and say why and what to do.

    Raises:
        InputError: images outside [0, 1]; a classifier that fails, at any batch or at batch size 1, or that returns NaN
            or anything but one (B, classes) tensor of floats.
    """
    x = points.x[:PROBED]
    low, high = (float(v) for v in torch.aminmax(points.x))
    if not (low >= 0 and high <= 1):
        cure = "divide by 255" if high > 2 else "scale them; a normalisation belongs inside (--mean, --std)"
        raise InputError(f"images go from {low:g} to {high:g}, not from 0 to 1; {cure}.")
    with torch.no_grad(), untouched(victim_of(model)):
        out, fault = _tried(model, x)
        alone, fault_alone = _tried(model, x[:1])
    if fault is not None and fault_alone is None:
        raise InputError(
            f"the classifier runs on one image but not on {len(x)} ({fault}); export it with a dynamic batch dimension."
        )
    if fault is not None:
        raise InputError(
            f"the classifier cannot run on {len(x)} images of {tuple(x.shape[1:])} ({fault}). Give the data it was "
            "made for, or resize inside a factory of your own (--model MODULE:FUNCTION); if it was exported for one "
            "batch size, export it with a dynamic batch dimension."
        )
    if fault_alone is not None:
        raise InputError(
            f"the classifier cannot run at batch size 1 ({fault_alone}). Put it in evaluation mode, export it with a "
            "dynamic batch dimension, and keep its batch dimension (no squeeze() without a dimension)."
        )
    for given, n in ((out, len(x)), (alone, 1)):
        _check_output(given, n, classes)


def probe(model: nn.Module | Victim, points: Points, *, seed: int = 0) -> Probe:
    """Ask a classifier about the first few points: four forward passes and two gradients."""
    victim, points = victim_of(model), points.take(slice(0, PROBED))
    training = [module for net in victim.nets for module in net.modules() if module.training]
    with untouched(victim, seed=seed):
        x = victim.lift(points.x)
        with torch.no_grad():
            first, again = victim(x), victim(x)
            single = torch.cat([victim(x[k : k + 1]) for k in range(min(len(x), 8))], 1)
        steep, margin = (_gradient(victim, x, points.y, score) for score in (cross_entropy(), cw_margin()))
    mode = 0.0
    if training:
        with torch.no_grad(), untouched(victim, "train", seed):
            mode = _difference(victim(x), first)
    size, size_of_margin = (g.flatten(1).abs().amax(1) for g in (steep, margin))
    whole = size.isfinite() & size_of_margin.isfinite()
    zero = whole & (size_of_margin == 0)
    redraw = _difference(again, first)
    return Probe(
        n=len(x),
        zero=_share(zero),
        broken=_share(~whole),
        saturated=_share(whole & ~zero & (size < SATURATED * size_of_margin)),
        redraw=redraw,
        # A victim that draws differs alone as it differs again.
        alone=0.0 if redraw > ROUNDING else _difference(single, first[:, : single.shape[1]]),
        training=len(training),
        mode=mode,
        probabilities=bool((first >= 0).all() and ((first.double().sum(-1) - 1).abs() < 1e-3).all()),
    )


def of_probe(p: Probe, *, eot: int = 1) -> list[Flag]:
    """All flags that a probe raises.

    Args:
        eot: forward passes that each answer to the attack was the mean of.
    """
    return _raised(zero_gradients(p), randomised(p, eot=eot), train_mode(p), softmax_twice(p))


def zero_gradients(p: Probe) -> Flag | None:
    """Gradients that are zero, not finite, or lost in rounding: attacks that follow them go nowhere."""
    if p.zero + p.broken > ALLOWED:
        return Flag(
            "zero_gradients",
            "serious",
            f"of {p.n} clean images, {_percent(p.zero)} have a gradient of zero in every pixel, {_percent(p.broken)} "
            "one that is not finite",
            "look for rounding, quantisation, thresholds or detached tensors in the model; attack through a smooth "
            "approximation of them (BPDA), and read the gradient-free attacks until then",
        )
    if p.saturated > 0.1:
        return Flag(
            "zero_gradients",
            "caution",
            f"at {_percent(p.saturated)} of {p.n} clean images the gradient of the cross-entropy is lost in rounding "
            "beside that of the margin: the softmax is saturated",
            "attack a margin instead (objective=dlr or cw_margin), as AutoAttack does",
        )
    return None


def randomised(p: Probe, *, eot: int = 1) -> Flag | None:
    """Two equal calls differ, and the attack took one answer for all."""
    if p.redraw <= ROUNDING or eot > 1:
        return None
    return Flag(
        "randomised",
        "serious",
        f"two equal calls differ by {_percent(p.redraw)} of the logits' scale; each answer to the attack was one draw",
        "export it in evaluation mode, if that is dropout left on; if it is meant to draw, attack the mean of several "
        "draws: --eot 20 (AutoAttack's version rand)",
    )


def train_mode(p: Probe) -> Flag | None:
    """Handed over in training mode where that matters, or normalised by the batch even in evaluation mode."""
    if p.alone > ROUNDING:
        return Flag(
            "train_mode",
            "serious",
            f"an image's logits differ by {_percent(p.alone)} of their scale between alone and in company: the model "
            "normalises by its batch, also in evaluation mode",
            "export it in evaluation mode (model.eval()), with running statistics in its batch norm",
        )
    if p.mode > ROUNDING:
        return Flag(
            "train_mode",
            "caution",
            f"the model came with {p.training} modules in training mode, which moves its logits by {_percent(p.mode)} "
            "of their scale; it was evaluated in evaluation mode",
            "call model.eval() before measuring it elsewhere, or other numbers will be of another model",
        )
    return None


def softmax_twice(p: Probe) -> Flag | None:
    """Probabilities where logits are read: a softmax of them is nearly uniform, and its gradients nearly vanish."""
    if not p.probabilities:
        return None
    return Flag(
        "softmax_twice",
        "serious",
        f"on each of {p.n} images the outputs lie in [0, 1] and sum to 1: probabilities, which were taken for logits",
        "return the logits, or say --outputs probabilities, so that their logarithms are taken",
    )


def black_box_wins(white: Found, black: Found, *, names: tuple[str, str] = ("white box", "black box")) -> Flag | None:
    """An attack without gradients breaks rows that one with gradients does not, at the same eps."""
    alone = int((black & ~white).sum())
    if alone <= allowed(len(white)):
        return None
    more = int(black.sum()) > int(white.sum())
    return Flag(
        "black_box_wins",
        "serious" if more else "caution",
        f"{names[1]} breaks {alone} of {len(white)} images that {names[0]} does not ({int(black.sum())} broken in all, "
        f"{int(white.sum())} by {names[0]})",
        "the gradients mislead: look for what masks them, and read the worst case of both attacks",
    )


def huge_eps(found: Found, *, eps: float) -> Flag | None:
    """A ball that holds an image of every class, and still not every row is broken."""
    left = int((~found).sum())
    if left <= allowed(len(found)):
        return None
    return Flag(
        "huge_eps",
        "serious",
        f"{left} of {len(found)} images withstand eps = {eps:g}, where other images are within reach",
        "the attack fails, not the perturbation: look for masked gradients, more steps or another objective",
    )


def not_converged(found: Found, longer: Found, *, steps: int) -> Flag | None:
    """Twice the steps break more rows than chance takes and gives."""
    gained, lost = int((longer & ~found).sum()), int((found & ~longer).sum())
    if gained <= allowed(len(found)) or _sign_test(gained, lost) > 0.05:
        return None
    return Flag(
        "not_converged",
        "caution",
        f"of {len(found)} images, {2 * steps} steps break {gained} that {steps} do not, and miss {lost} that they do",
        "give the attack more steps, a larger step size or restarts, until doubling them changes nothing",
    )


def ladder(found: Mapping[float, Found]) -> Flag | None:
    """Robust accuracy that rises with eps, though each ball holds the smaller ones."""
    sizes, rises = sorted(found), []
    for k, eps in enumerate(sizes):
        for larger in sizes[k + 1 :]:
            rise = int(found[eps].sum()) - int(found[larger].sum())
            if rise > allowed(len(found[eps])):
                rises.append((rise, eps, larger))
    if not rises:
        return None
    rise, eps, larger = max(rises)
    return Flag(
        "ladder",
        "serious",
        f"of {len(found[eps])} images, {rise} fewer are broken at eps = {larger:g} than at {eps:g}",
        "the attack fails where it has more room: look for masked gradients, or a step size that does not fit eps",
    )


def allowed(n: int) -> int:
    """Rows of n that two sound attacks may differ by."""
    return max(1, int(ALLOWED * n))


def _raised(*flags: Flag | None) -> list[Flag]:
    return [flag for flag in flags if flag is not None]


def _gradient(victim: Victim, x: Tensor, y: Tensor, score: Any) -> Float[Tensor, "b *z"]:
    point = x.detach().clone().requires_grad_()
    logits = victim(point)
    # The model's own answer, not the label: at a mistake the margin may be flat for other reasons.
    value = score(Forward(logits, log_mean_softmax(logits.detach()).argmax(-1)))
    if not value.requires_grad:
        return torch.zeros_like(x)  # no path from pixels to logits
    (gradient,) = torch.autograd.grad(value.sum(), point, allow_unused=True)
    return torch.zeros_like(x) if gradient is None else gradient.detach()


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).abs().max() / b.abs().max().clamp_min(1e-12))


def _share(rows: Tensor) -> float:
    return float(rows.double().mean())


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"


def _sign_test(more: int, less: int) -> float:
    """Chance of at least so many of one kind, were both kinds equally likely."""
    n = more + less
    return sum(comb(n, k) for k in range(more, n + 1)) / 2**n


def _tried(model: nn.Module, x: Tensor) -> tuple[Any, str | None]:
    try:
        return model(x), None
    except InputError as error:
        return None, str(error)
    except Exception as error:  # whatever a stranger's code raises
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return None, f"{type(error).__name__}: {first}"


def _check_output(out: Any, n: int, classes: int) -> None:
    if not isinstance(out, Tensor):
        keys = f" with {', '.join(map(str, list(out)[:5]))}" if isinstance(out, dict) else ""
        raise InputError(
            f"the classifier returns a {type(out).__name__}{keys}; expected one tensor of logits. Return it alone, "
            "in a factory of your own (--model MODULE:FUNCTION)."
        )
    if out.ndim != 2 or len(out) != n:
        raise InputError(f"the classifier returns shape {tuple(out.shape)} for {n} images; expected ({n}, {classes}).")
    if out.shape[1] != classes:
        raise InputError(
            f"the classifier tells {out.shape[1]} classes apart and the data have {classes}. Give the data that it was "
            "trained on, or pick their classes in a factory of your own (--model MODULE:FUNCTION)."
        )
    if not out.is_floating_point():
        raise InputError(f"the classifier returns {out.dtype}; expected logits as floats, before any argmax.")
    bad = ~out.isfinite().all(1)
    if bad.any():
        raise InputError(
            f"the classifier returns NaN or infinity for {int(bad.sum())} of {n} images. Look for a division by 0, a "
            "logarithm of 0, or a wrong normalisation (--mean, --std)."
        )


def named(flags: Iterable[Flag]) -> str:
    """Names of flags for a line of text."""
    return ", ".join(flag.name.replace("_", " ") for flag in flags)
