"""The call of a network that anybody may have written.

Networks made of the layers of torch and of this package are called as they are. The forward pass of any other may do
what it likes: write to its input, flatten it by ``view``, print, change the default dtype, work in another precision,
return a dictionary, fail. ``call_network`` is the one place that deals with this, for predictions, attacks, audits,
ensembles, latent victims and training alike. It costs such a network a copy of its input.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from itertools import chain
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from surefooted.errors import ConvertedInput, ModelError, SurefootedError

AUTOCAST_DEVICES = ("cpu", "cuda")
_BINARY_HINT = (
    "If it is one logit z of a binary classifier, set `outputs=sigmoid`, for logits (0, z); if it is the probability "
    "of class 1, set `outputs=probabilities`."
)
# Networks that have refused their input in its own precision, with the precision in which they accepted it.
_precisions: WeakKeyDictionary[nn.Module, torch.dtype] = WeakKeyDictionary()


def is_known(net: nn.Module) -> bool:
    """Whether a network consists of layers of torch and of this package only, without hooks and in-place layers.

    Such a network has no code that could be surprising, bears any memory layout, and leaves its input alone.

    Example:
        >>> is_known(nn.Sequential(nn.Flatten(), nn.Linear(4, 2)))
        True
        >>> is_known(nn.ReLU(inplace=True)), is_known(nn.DataParallel(nn.Flatten()))
        (False, False)
    """
    if net._forward_hooks or net._forward_pre_hooks or getattr(net, "inplace", False):
        return False
    package = type(net).__module__
    if package.startswith("surefooted.models.nets."):
        return True  # with all that is in it, such as the Gaussian process of gpytorch
    return package.startswith("torch.nn.modules.") and all(is_known(child) for child in net.children())


def gives_gradients(nets: Iterable[nn.Module]) -> bool:
    """Whether networks can be differentiated as far as is known before a call: none contains a black box.

    Example:
        >>> gives_gradients([nn.Flatten()])
        True
    """
    return all(getattr(module, "differentiable", True) is not False for net in nets for module in net.modules())


def precision_of(net: nn.Module) -> str:
    """The precision in which a network works: that of its first layer, float32 if it has no weights.

    Example:
        >>> precision_of(nn.Linear(2, 2).half()), precision_of(nn.Flatten())
        ('float16', 'float32')
    """
    return _name(_first_precision(net) or torch.float32)


def call_network(net: nn.Module, x: Float[Tensor, "b *d"], forward: Callable[[Tensor], Any] | None = None) -> Any:
    """The output of a network, with ``.logits`` taken out of an output that has several fields.

    An unknown network gets a contiguous copy of its input. If it fails because it has weights in another precision, it
    gets its input in that one. What it prints goes to standard error. The default dtype and the gradient mode are
    restored after the call.

    Args:
        net: the network.
        x: its input, which is left unchanged.
        forward: a part of its forward pass; all of it by default.

    Raises:
        ModelError: if the network raises an exception.

    Example:
        >>> class InPlace(nn.Module):
        ...     def forward(self, x):
        ...         return {"logits": x.mul_(2).view(len(x), -1)}
        >>> x = torch.ones(1, 1, 1, 2)
        >>> call_network(InPlace(), x), x.flatten()
        (tensor([[2., 2.]]), tensor([1., 1.]))
    """
    with model_errors(f"The model failed on {len(x)} images of shape {tuple(x.shape[1:])}"):
        if _is_trusted(net, x) or getattr(net, "guards_itself", False):
            return (forward or net)(x)
        with contained():
            return unwrap_logits(_call_in_precision(net, forward or net, x))


def network_logits(
    net: nn.Module, x: Float[Tensor, "b *d"], forward: Callable[[Tensor], Any] | None = None
) -> Float[Tensor, "*s b k"]:
    """The logits of a network in the precision of its input, at least float32. Arguments as for ``call_network``.

    Raises:
        ModelError: if the network raises an exception, or returns anything but one row of logits per input.

    Example:
        >>> network_logits(nn.Flatten(), torch.rand(2, 1, 1, 3)).shape
        torch.Size([2, 3])
    """
    out = call_network(net, x, forward)
    logits = check_logits(out, len(x), sampled=isinstance(getattr(net, "nets", None), tuple))
    precision = torch.promote_types(x.dtype, torch.float32)
    return logits.to(precision) if _is_trusted(net, x) else _as_ordinary(logits, x.device, precision)


def check_logits(out: Any, n: int, *, sampled: bool = False) -> Tensor:
    """Refuse an output that is not one row of logits for each of ``n`` inputs.

    Args:
        out: the output of a network.
        n: number of inputs.
        sampled: whether the samples of the network, or its members, are a first axis.

    Raises:
        ModelError: if it is none; the message states what it is.

    Example:
        >>> check_logits(torch.zeros(2, 1), 2)
        Traceback (most recent call last):
        surefooted.errors.ModelError: The model returns one number per image (shape (2, 1) for 2 images); expected a ...
    """
    if not isinstance(out, Tensor):
        raise ModelError(
            f"The classifier returns {_describe(out)}; expected one tensor of logits. Wrap it in a module that returns "
            "the logits alone."
        )
    if not out.is_floating_point():
        raise ModelError(f"The classifier returns {out.dtype}; expected logits as floats, before any argmax.")
    if out.shape == (n,) or (out.ndim > 1 and out.shape[-1] == 1):
        raise ModelError(
            f"The model returns one number per image (shape {tuple(out.shape)} for {n} images); expected a logit for "
            f"each of at least 2 classes. {_BINARY_HINT}"
        )
    if out.ndim != (3 if sampled else 2) or out.shape[-2] != n:
        raise ModelError(f"The model's logits have shape {tuple(out.shape)} for {n} images; expected (batch, classes).")
    return out


def unwrap_logits(out: Any) -> Any:
    """The logits of an output with several fields, or of a tuple of one; any other output as it is.

    Example:
        >>> unwrap_logits({"logits": 1, "hidden_states": 2}), unwrap_logits((3,)), unwrap_logits((4, 5))
        (1, 3, (4, 5))
    """
    if isinstance(out, Tensor):
        return out
    if isinstance(out, Mapping) and "logits" in out:
        return out["logits"]
    if isinstance(getattr(out, "logits", None), Tensor):
        return out.logits
    return out[0] if isinstance(out, tuple | list) and len(out) == 1 else out


@contextmanager
def model_errors(action: str) -> Iterator[None]:
    """Turn any exception of a stranger's code into a ``ModelError`` that names it, its place and a cure.

    Args:
        action: what failed, such as ``The model failed on 2 images``.
    """
    try:
        yield
    except (SurefootedError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(f"{action} ({describe_error(error)}).{_cure(error)}") from error


def describe_error(error: BaseException) -> str:
    """Type, first line and place of an error that a stranger's code raised."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        frame
        for frame in frames
        if not any(part in frame.filename for part in ("importlib", "site-packages", str(Path(__file__).parents[1])))
    ]
    place = f", {Path(own[-1].filename).name} line {own[-1].lineno}" if own else ""
    return f"{type(error).__name__}{': ' * bool(first_line)}{first_line.rstrip('.')}{place}"


def _is_trusted(net: nn.Module, x: Tensor) -> bool:
    return is_known(net) and _first_precision(net) in (None, x.dtype)


def _as_ordinary(logits: Tensor, device: torch.device, precision: torch.dtype) -> Tensor:
    """A dense tensor without a subclass, and a copy: the model may return the same memory again at its next call."""
    if logits.layout != torch.strided:
        logits = logits.to_dense()
    logits = logits.to(device, precision).clone()
    return logits.contiguous() if type(logits) is Tensor else logits.as_subclass(Tensor).contiguous()


def _cure(error: BaseException) -> str:
    text = str(error)
    cures = {
        "use_reentrant": " Call torch.utils.checkpoint.checkpoint with use_reentrant=False: reentrant checkpointing "
        "cannot give the gradient of the input.",
        "Can't call numpy() on Tensor that requires grad": " Compute with torch in the forward pass, use a "
        "gradient-free attack (square, random_search), or pass the model as a black box (sf.blackbox).",
        "working C++ compiler": " torch.compile needs a C++ compiler. Install one (g++), or pass the module that was "
        "compiled, `model._orig_mod`.",
    }
    return next((cure for sign, cure in cures.items() if sign in text), "")


@contextmanager
def contained() -> Iterator[None]:
    """Run a stranger's code: what it prints goes to standard error; global settings of torch are restored."""
    dtype, autocast = torch.get_default_dtype(), {kind: torch.is_autocast_enabled(kind) for kind in AUTOCAST_DEVICES}
    try:
        with redirect_stdout(sys.stderr), torch.set_grad_enabled(torch.is_grad_enabled()):
            yield
    finally:
        if torch.get_default_dtype() != dtype:
            torch.set_default_dtype(dtype)
        for kind, enabled in autocast.items():
            if torch.is_autocast_enabled(kind) != enabled:
                torch.set_autocast_enabled(kind, enabled)


def _call_in_precision(net: nn.Module, forward: Callable[[Tensor], Any], x: Tensor) -> Any:
    """Call the network in the precision of ``x`` or, if that fails, in that of its weights."""
    own = _first_precision(net)
    if own in (None, x.dtype):
        return forward(_copied(x, x.dtype))
    if _precisions.get(net) == own:
        return forward(_copied(x, own))
    try:
        return forward(_copied(x, x.dtype))
    except Exception as error:
        first = error
    try:
        out = forward(_copied(x, own))
    except Exception:
        raise first from None
    _precisions[net] = own
    warnings.warn(
        f"The model works in {_name(own)}: its input is converted from {_name(x.dtype)}, and its logits are converted "
        "back.",
        ConvertedInput,
        stacklevel=2,
    )
    return out


def _copied(x: Tensor, dtype: torch.dtype) -> Tensor:
    """A contiguous copy: of ``x`` itself, or in another precision."""
    if x.dtype != dtype:
        return x.to(dtype, memory_format=torch.contiguous_format)
    return x.clone(memory_format=torch.contiguous_format)


def _first_precision(net: nn.Module) -> torch.dtype | None:
    """That of the first layer: of the first weight, or of the first buffer if there are no weights."""
    tensors = chain(net.parameters(), net.buffers())
    return next((t.dtype for t in tensors if t.is_floating_point()), None)


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def _describe(out: Any) -> str:
    if isinstance(out, Mapping):
        return f"a {type(out).__name__} with {', '.join(map(str, list(out)[:5])) or 'nothing in it'}"
    if isinstance(out, tuple | list):
        return f"a {type(out).__name__} of {len(out)}"
    return f"a {type(out).__name__}"
