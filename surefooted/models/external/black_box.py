"""Black boxes: classifiers that answer arrays with probabilities, logits or labels, and give no gradient."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from surefooted.components.code import names_in
from surefooted.errors import ArgumentError, ModelError
from surefooted.models.external.io_adapter import check_outputs, to_logits

LAYOUTS = ("nchw", "nhwc", "flat")
PIXEL_TYPES = ("float32", "uint8")


class BlackBox(nn.Module):
    """A callable from arrays of images to answers, as a module from pixels in [0, 1] to logits. See ``blackbox``.

    Attributes:
        queries: number of images that the callable has answered.
    """

    differentiable = False

    def __init__(
        self,
        function: Callable[[Any], Any],
        classes: int,
        outputs: str = "probabilities",
        *,
        layout: str = "nchw",
        pixels: str = "float32",
        batch: int = 0,
    ) -> None:
        super().__init__()
        if not callable(function):
            raise ArgumentError(f"A black box is a function of one array of images; got {type(function).__name__}.")
        check_outputs(outputs)
        for name, value, known in (("layout", layout, LAYOUTS), ("pixels", pixels, PIXEL_TYPES)):
            if value not in known:
                raise ArgumentError(f"`{name}` is {value!r}; expected {', '.join(known[:-1])} or {known[-1]}.")
        if classes < 2:
            raise ArgumentError(f"`classes` is {classes}; expected at least 2.")
        self.function, self.classes, self.outputs = function, classes, outputs
        self.layout, self.pixels, self.batch = layout, pixels, batch
        self.queries = 0
        self.eval()

    def forward(self, x: Float[Tensor, "b *d"]) -> Tensor:
        size = self.batch or len(x)
        parts = [self._ask(part) for part in torch.split(x.detach(), max(size, 1))]
        return torch.cat(parts).to(x.device)

    def extra_repr(self) -> str:
        return (
            f"{name_of(self.function)}, classes={self.classes}, outputs={self.outputs}, layout={self.layout}, "
            f"pixels={self.pixels}"
        )

    def content(self) -> Iterator[bytes]:
        """What the answers depend on, as far as it can be seen: source code, and the values that it uses."""
        return _content(self.function, {})

    def _ask(self, x: Tensor) -> Tensor:
        self.queries += len(x)
        out = _as_tensor(self.function(self._array(x)))
        logits = to_logits(out, self.outputs, n=len(x), classes=self.classes)
        if logits.ndim == 2 and logits.shape[1] != self.classes:
            raise ModelError(
                f"The black box returns {logits.shape[1]} numbers per image; expected {self.classes}, one per class "
                "(`classes`)."
            )
        return logits

    def _array(self, x: Tensor) -> Shaped[np.ndarray, "b *d"]:
        """The images as the callable reads them, in memory of its own."""
        x = x.cpu().float()
        if self.layout == "nhwc":
            x = x.movedim(1, -1)
        elif self.layout == "flat":
            x = x.flatten(1)
        if self.pixels == "uint8":
            x = (x * 255).round().to(torch.uint8)
        return x.numpy().copy(order="C")


def blackbox(
    function: Callable[[Any], Any],
    classes: int,
    outputs: str = "probabilities",
    *,
    layout: str = "nchw",
    pixels: str = "float32",
    batch: int = 0,
) -> BlackBox:
    """Any callable as a classifier: scikit-learn, XGBoost, ONNX Runtime, a web service.

    It is attacked and audited by gradient-free attacks only: ``square`` where it returns scores, ``hop_skip_jump``
    where it returns labels. Results in the store belong to its source code, the values that this uses, and its answers
    to a few images: if none of these tells a new version of a web service apart, name the version in the function.

    Args:
        function: from an array of images to one row of probabilities or logits, or one label, per image. It gets pixels
            in [0, 1], float32, of shape (N, C, H, W) unless the options say otherwise.
        classes: number of classes.
        outputs: ``probabilities``, ``log_probabilities``, ``logits``, ``sigmoid`` (the logit of class 1 of two) or
            ``labels``.
        layout: ``nchw``, ``nhwc`` or ``flat``, (N, C · H · W).
        pixels: ``float32`` in [0, 1], or ``uint8``: rounded to 0 to 255, which hides smaller changes.
        batch: images per call at most; 0 for no limit.

    Raises:
        ArgumentError: if an argument is wrong.

    Example:
        >>> import surefooted as sf
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> data = sf.digits(test_limit=20)
        >>> train = data.train.points()
        >>> knn = KNeighborsClassifier(3).fit(train.x.flatten(1).numpy(), train.y.numpy())
        >>> model = sf.blackbox(knn.predict_proba, classes=10, layout="flat")
        >>> bool(sf.attack("square", model, data, eps=0.2, queries=50).found.any())
        True
    """
    return BlackBox(function, classes, outputs, layout=layout, pixels=pixels, batch=batch)


def name_of(function: Callable[..., Any]) -> str:
    """The name of a callable, without its address."""
    if isinstance(function, functools.partial):
        return name_of(function.func)
    if isinstance(function, types.MethodType) and not isinstance(function.__self__, type):
        return f"{type(function.__self__).__name__}.{function.__name__}"  # not the class that it inherits it from
    return getattr(function, "__qualname__", type(function).__name__)


def _as_tensor(out: Any) -> Tensor:
    if isinstance(out, Tensor):
        return out.detach().cpu()
    try:
        array = np.ascontiguousarray(np.asarray(out))
        return torch.from_numpy(array if array.flags.writeable else array.copy())
    except (TypeError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__).rstrip(".")
        raise ModelError(
            f"The black box returns a {type(out).__name__} that is no array of numbers ({reason}); expected one row of "
            "probabilities or logits, or one label, per image."
        ) from None


def _content(value: Any, seen: dict[int, Any]) -> Iterator[bytes]:
    """Source code and values that a callable uses, through closures, bound objects and module-level names."""
    if value is None or isinstance(value, bool | int | float | complex | str | bytes):
        yield repr(value).encode()
        return
    if id(value) in seen:
        return
    seen[id(value)] = value  # kept, so that no other value gets its address
    if isinstance(value, np.ndarray | Tensor):
        array = value.detach().cpu().numpy() if isinstance(value, Tensor) else value
        yield repr((array.shape, array.dtype)).encode()
        if array.dtype != object:
            yield array.tobytes()
        else:
            yield from _all_content(array.ravel().tolist(), seen)
    elif isinstance(value, types.MethodType):
        yield from _all_content((value.__func__, value.__self__), seen)
    elif isinstance(value, types.FunctionType):
        yield _source(value)
        names, cells = names_in(value.__code__), zip(value.__code__.co_freevars, value.__closure__ or ())
        named = {name: value.__globals__[name] for name in names if name in value.__globals__}
        named |= {name: cell.cell_contents for name, cell in cells}
        used = (part for _, part in sorted(named.items()))
        yield from _all_content((value.__defaults__, value.__kwdefaults__, *used), seen)
    elif isinstance(value, types.ModuleType | types.BuiltinFunctionType):
        yield value.__name__.encode()
    elif isinstance(value, type):
        yield f"{value.__module__}.{value.__qualname__}".encode()
    elif isinstance(value, Mapping):
        yield from _all_content((part for item in value.items() for part in item), seen)
    elif isinstance(value, list | tuple):
        yield from _all_content(value, seen)
    elif isinstance(value, set | frozenset):
        yield from _all_content(sorted(value, key=repr), seen)
    else:
        yield _source(type(value))
        yield from _all_content(_parts(value), seen)


def _all_content(values: Iterable[Any], seen: dict[int, Any]) -> Iterator[bytes]:
    for value in values:
        yield from _content(value, seen)


def _parts(value: Any) -> tuple[Any, ...]:
    """What an object consists of, by its own account; nothing for a connection or a session of ONNX Runtime."""
    try:
        _, arguments, *rest = value.__reduce_ex__(4)
    except Exception:  # it refuses, or its code fails: its answers stand for it
        return ()
    return (arguments, *(list(part) if isinstance(part, Iterator) else part for part in rest))


def _source(value: Any) -> bytes:
    try:
        return inspect.getsource(value).encode()
    except (OSError, TypeError):  # typed in a console, or compiled
        code = getattr(value, "__code__", None)
        return code.co_code if code else b""
