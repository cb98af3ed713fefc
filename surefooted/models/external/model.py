"""External classifiers as victims of tasks: identified by their content, called on pixels in [0, 1]."""

from __future__ import annotations

import hashlib
import inspect
import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.files import sha256_of
from surefooted.core.rng import Noise
from surefooted.errors import ArgumentError, ModelError
from surefooted.models.external.black_box import BlackBox, name_of
from surefooted.models.external.factory import build_from_factory
from surefooted.models.external.hubs import HUBS, load_from_hub
from surefooted.models.external.io_adapter import IOAdapter, check_io
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.program import read_program
from surefooted.models.external.weights import load_external_weights
from surefooted.models.guard import call_network, gives_gradients, precision_of
from surefooted.models.victims import NetworkVictim, check_initialised, device_of, untouched

_FILE_SUFFIXES = (".pt2", ".onnx")
# Files that only code of the user's may read.
_TORCHSCRIPT_SUFFIXES = (".pt", ".pth", ".ts", ".jit", ".torchscript")


@dataclass(frozen=True)
class ModelOptions:
    """How a classifier from outside this package is to be read. The defaults suit a module from [0, 1] to logits.

    Attributes:
        mean: per-channel mean that the model's normalisation subtracts; empty for none, or for the hub's.
        std: per-channel standard deviation that the model's normalisation uses; empty for none, or for the hub's.
        outputs: what the model returns: ``logits`` (None), ``probabilities``, ``log_probabilities``, ``sigmoid`` or
            ``labels``. A black box needs it.
        weights: safetensors file with the weights of a factory's module.
        layout: how a black box reads images: ``nchw``, ``nhwc`` or ``flat``.
        pixels: the numbers that it reads: ``float32`` in [0, 1] or ``uint8``.

    Example:
        >>> ModelOptions(outputs="sigmoid").given
        ['outputs']
    """

    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str | None = None
    weights: Path | None = None
    layout: str = "nchw"
    pixels: str = "float32"

    @property
    def given(self) -> list[str]:
        """The options that differ from their defaults."""
        return [field.name for field in fields(self) if getattr(self, field.name) != field.default]


@dataclass(frozen=True, eq=False)
class InMemoryModel:
    """A classifier in memory.

    Attributes:
        net: the classifier. It reads pixels that are normalised by ``mean`` and ``std``, if given.
        shape: (C, H, W) of its images.
        mean: per-channel mean of its normalisation.
        std: per-channel standard deviation of its normalisation.
        outputs: what it returns; see ``io_adapter.to_logits``.
        classes: number of classes, needed for labels.

    Raises:
        ArgumentError: if ``mean``, ``std`` or ``outputs`` is wrong.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        >>> InMemoryModel(net, (1, 8, 8)).load() is net  # nothing to adapt
        True
        >>> InMemoryModel(net, (1, 8, 8)).key == InMemoryModel(net, (1, 8, 8), mean=(0.5,), std=(0.5,)).key
        False
    """

    net: nn.Module
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str = "logits"
    classes: int = 0

    def __post_init__(self) -> None:
        check_io(self.mean, self.std, self.outputs)

    @cached_property
    def key(self) -> str:
        """Hash of the weights, the source code outside torch, and the outputs for a few fixed images.

        Code and weights do not determine everything that a module may depend on; the outputs cover the rest.
        """
        check_initialised(NetworkVictim(self.net))
        sha = hashlib.sha256(repr((self.mean, self.std, self.outputs, self.net)).encode())
        for part in _source_code(self.net):
            sha.update(part.encode())
        _add_weights(sha, self.net)
        sha.update(repr(_observed_outputs(self.net, self.shape)).encode())
        return sha.hexdigest()

    @property
    def differentiable(self) -> bool:
        """False for a black box: it can be attacked by gradient-free attacks only."""
        return gives_gradients([self.net]) and not self.labels_only

    @property
    def precision(self) -> str:
        """The precision in which it works, such as float16; its inputs are converted to it."""
        return precision_of(self.net)

    @property
    def labels_only(self) -> bool:
        """Whether its answers are labels without confidence."""
        boxes = (module for module in self.net.modules() if isinstance(module, BlackBox))
        return self.outputs == "labels" or any(box.outputs == "labels" for box in boxes)

    def load(self, store: Any | None = None) -> nn.Module:
        """The classifier, inside an ``IOAdapter`` if it needs one."""
        direct = not self.mean and self.outputs == "logits"
        return self.net if direct else IOAdapter(self.net, self.mean, self.std, self.outputs, self.classes)

    def __str__(self) -> str:
        return name_of(self.net.function) if isinstance(self.net, BlackBox) else type(self.net).__name__


@dataclass(frozen=True, eq=False)
class ExternalModel:
    """A classifier from outside this package, by its source.

    Attributes:
        source: ``module:function`` (a Python function without arguments that returns a module, or a module; or a black
            box), a ``.pt2`` file of ``torch.export``, an ``.onnx`` file, ``timm:NAME`` or ``transformers:NAME``.
        shape: (C, H, W) of its images.
        weights: safetensors file, or the index of its shards, with weights for the module of ``module:function``.
        mean: per-channel mean of its normalisation; by default that of the hub.
        std: per-channel standard deviation of its normalisation; by default that of the hub.
        outputs: what it returns; see ``io_adapter.to_logits``. None is logits, and refuses a black box.
        classes: names of the data's classes, to be compared with those of a hub's model; empty if unknown.
        layout: how a black box reads images; see ``blackbox``.
        pixels: likewise.

    Raises:
        ArgumentError: if ``mean``, ``std`` or ``outputs`` is wrong.

    Example:
        >>> model = ExternalModel("torch.nn:Flatten", (1, 2, 2))
        >>> model.load()
        Flatten(start_dim=1, end_dim=-1)
        >>> print(model)
        torch.nn:Flatten
    """

    source: str
    shape: tuple[int, ...]
    weights: Path | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str | None = None
    classes: tuple[str, ...] = ()
    layout: str = "nchw"
    pixels: str = "float32"

    def __post_init__(self) -> None:
        check_io(self.mean, self.std, self.outputs or "logits")

    @cached_property
    def key(self) -> str:
        """Hash of the file's content, or of the loaded module as in ``InMemoryModel``."""
        if Path(self.source).suffix in _FILE_SUFFIXES:
            file = sha256_of(_existing_file(Path(self.source)))
            sha = hashlib.sha256(repr((file, self.mean, self.std, self.outputs or "logits")).encode())
            _add_weights(sha, self._in_memory.net)  # an ONNX file keeps large weights in files beside it
            return sha.hexdigest()
        return self._in_memory.key

    @property
    def differentiable(self) -> bool:
        """False for a black box: it can be attacked by gradient-free attacks only."""
        return self._in_memory.differentiable

    @property
    def precision(self) -> str:
        """The precision in which it works, such as float16; its inputs are converted to it."""
        return self._in_memory.precision

    @property
    def labels_only(self) -> bool:
        """Whether its answers are labels without confidence."""
        return self._in_memory.labels_only

    def load(self, store: Any | None = None) -> nn.Module:
        """The classifier, inside an ``IOAdapter`` if it needs one.

        Raises:
            ModelError: if it cannot be loaded.
            DependencyError: if a package that its source needs is not installed.
        """
        return self._in_memory.load(store)

    def __str__(self) -> str:
        return Path(self.source).name if Path(self.source).suffix in _FILE_SUFFIXES else self.source

    @cached_property
    def _in_memory(self) -> InMemoryModel:
        net, mean, std = self._open()
        outputs = "logits" if isinstance(net, BlackBox) else self.outputs or "logits"
        return InMemoryModel(net, self.shape, mean, std, outputs, len(self.classes))

    def _open(self) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
        """The module, and the mean and std of its normalisation: those given, or those that a hub states."""
        path = Path(self.source)
        origin, _, name = self.source.partition(":")
        if self.weights is not None and (path.suffix in _FILE_SUFFIXES or origin in HUBS):
            raise ArgumentError(
                f"{self.source} has weights of its own. Use `weights` with a factory (MODULE:FUNCTION) only."
            )
        if path.suffix == ".pt2":
            return read_program(_existing_file(path)), self.mean, self.std
        if path.suffix == ".onnx":
            return read_onnx(_existing_file(path)), self.mean, self.std
        if origin in HUBS:
            stated = (self.mean, self.std) if self.mean else None
            return load_from_hub(origin, name, self.shape, normalisation=stated, classes=self.classes)
        if path.suffix in _TORCHSCRIPT_SUFFIXES:
            raise ModelError(
                f"{_existing_file(path)} is a TorchScript file or a pickle: reading it runs code that it contains, so "
                "it was not read. If you trust it, load it in a factory (`model=MODULE:FUNCTION`): def model(): "
                f"return torch.jit.load({path.name!r}). Or export it to .pt2 or .onnx."
            )
        net = build_from_factory(origin, name, takes_images=self.outputs is not None)
        if not isinstance(net, nn.Module):
            net = BlackBox(net, len(self.classes), self.outputs or "", layout=self.layout, pixels=self.pixels)
        elif isinstance(net, BlackBox) and self.outputs not in (None, net.outputs):
            raise ArgumentError(f"{self.source} returns {net.outputs}; `outputs={self.outputs}` contradicts it.")
        if self.weights is not None:
            load_external_weights(net, self.weights)
        return net, self.mean, self.std

    def __getstate__(self) -> dict[str, Any]:
        """Without the loaded module: it may not be picklable, so another process loads it again."""
        return {name: value for name, value in self.__dict__.items() if name != "_in_memory"}


def is_external(source: str) -> bool:
    """Tell the source of an external classifier from the key of a stored network.

    Example:
        >>> is_external("model.onnx"), is_external("timm:resnet18"), is_external("3f2a91")
        (True, True, False)
    """
    return ":" in source or Path(source).suffix in (*_FILE_SUFFIXES, *_TORCHSCRIPT_SUFFIXES)


def _observed_outputs(net: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """Outputs for a few fixed images, rounded to five digits; none if the module fails (sanity checks say why)."""
    victim = NetworkVictim(net)
    images = Noise(0, torch.arange(4)).uniform(*shape).to(device_of(victim) or "cpu")
    try:
        with untouched(victim, seed=0), torch.no_grad():
            out = call_network(net, images)
    except ModelError:
        return []
    return [f"{v:.5g}" for v in out.flatten().tolist()] if isinstance(out, Tensor) else []


def _add_weights(sha: hashlib._Hash, net: nn.Module) -> None:
    for name, value in net.state_dict().items():
        sha.update(name.encode())
        for content in _bytes_of(value):
            sha.update(content)


def _bytes_of(value: Any) -> Iterator[bytes]:
    """The content of an entry of a state dict: a tensor or, as extra state, anything."""
    if isinstance(value, Tensor):
        tensor = value.detach().cpu()
        if tensor.is_quantized:
            yield repr(tensor.qscheme()).encode()
            tensor = tensor.dequantize()
        tensor = (tensor.to_dense() if tensor.layout != torch.strided else tensor).resolve_conj().resolve_neg()
        yield tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes()
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield repr(name).encode()
            yield from _bytes_of(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _bytes_of(part)
    elif isinstance(value, io.BytesIO):
        yield value.getvalue()
    elif value is None or isinstance(value, bool | int | float | complex | str | bytes | torch.dtype):
        yield repr(value).encode()
    else:  # its repr may be its address
        yield type(value).__qualname__.encode()


def _source_code(net: nn.Module) -> Iterator[str]:
    """Name of each module's class, and its source code if it is not torch's and is available."""
    for kind in sorted({type(m) for m in net.modules()}, key=lambda kind: (kind.__module__, kind.__qualname__)):
        yield f"{kind.__module__}.{kind.__qualname__}"
        if kind.__module__.partition(".")[0] != "torch":
            try:
                yield inspect.getsource(kind)
            except (OSError, TypeError):  # defined in a console, or compiled
                continue
    for module in net.modules():
        if isinstance(module, BlackBox):
            yield hashlib.sha256(b"".join(module.content())).hexdigest()


def _existing_file(path: Path) -> Path:
    if not path.is_file():
        raise ModelError(f"{path} does not exist; expected a file that torch.export.save or an ONNX exporter wrote.")
    return path
