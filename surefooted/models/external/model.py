"""Foreign victims: any classifier as a cell's victim, named by its content and read from pixels in [0, 1]."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from surefooted.core.files import read_tensors, sha256_of
from surefooted.errors import InputError
from surefooted.models.external.factory import build_from_factory
from surefooted.models.external.hubs import HUBS, from_hub
from surefooted.models.external.io_adapter import IOAdapter, check_io
from surefooted.models.weights import load_weights

FILES = (".pt2", ".onnx")


@dataclass(frozen=True, eq=False)
class InMemoryModel:
    """A module in memory.

    Attributes:
        net: from pixels, normalised by ``mean`` and ``std`` where they are given, to what ``outputs`` says.
        shape: (C, H, W) of the images it will see.
    """

    net: nn.Module
    shape: tuple[int, ...]
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str = "logits"

    def __post_init__(self) -> None:
        check_io(self.mean, self.std, self.outputs)

    @cached_property
    def key(self) -> str:
        """Hash of the weights, of the code that is not torch's, and of the answers to a few fixed images.

        Code and weights do not tell all that a module may depend on; its answers catch what they miss.
        """
        sha = hashlib.sha256(repr((self.mean, self.std, self.outputs, self.net)).encode())
        for part in _code(self.net):
            sha.update(part.encode())
        _add_weights(sha, self.net)
        sha.update(repr(self._tried[0]).encode())
        return sha.hexdigest()

    @cached_property
    def _tried(self) -> tuple[list[str], bool]:
        return _tried(self.net, self.shape)

    def load(self, store: Any | None = None) -> nn.Module:
        """The module, behind a door where it needs one; if it writes to its input, it writes to a copy there."""
        bare = not self.mean and self.outputs == "logits" and not self._tried[1]
        return self.net if bare else IOAdapter(self.net, self.mean, self.std, self.outputs)

    def __str__(self) -> str:
        return type(self.net).__name__


@dataclass(frozen=True, eq=False)
class ExternalModel:
    """A classifier that is not ours, by where it comes from.

    Attributes:
        source: ``module:function`` (a factory in Python, called without arguments, or a module as it is), a ``.pt2``
            file of torch.export, an ``.onnx`` file, ``timm:NAME`` or ``transformers:NAME``.
        weights: safetensors file with the factory's weights.
        mean, std: of each channel, for a classifier that reads normalised pixels; a hub's own where none are given.
        outputs: ``probabilities`` where the classifier ends in a softmax: their logarithms are its logits.
        shape: (C, H, W) of the images it will see.
    """

    source: str
    shape: tuple[int, ...]
    weights: Path | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    outputs: str = "logits"

    def __post_init__(self) -> None:
        check_io(self.mean, self.std, self.outputs)

    @cached_property
    def key(self) -> str:
        if Path(self.source).suffix in FILES:
            file = sha256_of(_file(Path(self.source)))
            sha = hashlib.sha256(repr((file, self.mean, self.std, self.outputs)).encode())
            _add_weights(sha, self._live.net)  # ONNX keeps large ones in files beside
            return sha.hexdigest()
        return self._live.key

    @cached_property
    def _live(self) -> InMemoryModel:
        net, mean, std = self._open()
        return InMemoryModel(net, self.shape, self.mean or mean, self.std or std, self.outputs)

    def load(self, store: Any | None = None) -> nn.Module:
        return self._live.load(store)

    def __str__(self) -> str:
        return Path(self.source).name if Path(self.source).suffix in FILES else self.source

    def _open(self) -> tuple[nn.Module, tuple[float, ...], tuple[float, ...]]:
        """The module, with the mean and std that its source says it needs."""
        path = Path(self.source)
        if self.weights is not None and (path.suffix in FILES or self.source.partition(":")[0] in HUBS):
            raise InputError(f"--weights goes with a factory (MODULE:FUNCTION); {self.source} brings its own.")
        if path.suffix == ".pt2":
            from surefooted.models.external.program import read_program

            return read_program(_file(path)), (), ()
        if path.suffix == ".onnx":
            from surefooted.models.external.onnx import read_onnx

            return read_onnx(_file(path)), (), ()
        before, _, after = self.source.partition(":")
        if before in HUBS:
            return from_hub(before, after)
        net = build_from_factory(before, after)
        if self.weights is not None:
            load_weights(net, read_tensors(self.weights)[0], self.weights)
        return net, (), ()

    def __getstate__(self) -> dict[str, Any]:
        """Other processes open it anew: a module may not travel."""
        return {name: value for name, value in self.__dict__.items() if name != "_live"}


def is_external(source: str) -> bool:
    """Whether a word on the command line names a classifier that is not ours."""
    return ":" in source or Path(source).suffix in FILES


def _add_weights(sha: hashlib._Hash, net: nn.Module) -> None:
    for name, tensor in net.state_dict().items():
        sha.update(name.encode())
        sha.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())


def _code(net: nn.Module) -> Iterator[str]:
    """Source of the classes that are not torch's, where it can be had."""
    for kind in sorted({type(m) for m in net.modules()}, key=lambda kind: (kind.__module__, kind.__qualname__)):
        yield f"{kind.__module__}.{kind.__qualname__}"
        if kind.__module__.partition(".")[0] != "torch":
            try:
                yield inspect.getsource(kind)
            except (OSError, TypeError):  # made in a console, or compiled
                continue


def _tried(net: nn.Module, shape: tuple[int, ...]) -> tuple[list[str], bool]:
    """What the module says of four fixed images, to five digits, and whether it writes to them.

    What it cannot answer is for others to say.
    """
    from surefooted.core.rng import Noise
    from surefooted.models.victims import NetworkVictim, device_of, untouched

    device = device_of(NetworkVictim(net)) or "cpu"
    images = Noise(0, torch.arange(4)).uniform(*shape).to(device)
    x = images.clone()
    with torch.no_grad(), untouched(NetworkVictim(net), seed=0):
        try:
            out = net(x)
        except Exception:
            return [], False
    answers = [f"{v:.5g}" for v in out.flatten().tolist()] if isinstance(out, Tensor) else []
    return answers, not torch.equal(x, images)


def _file(path: Path) -> Path:
    if not path.is_file():
        raise InputError(f"{path} is not there; expected a file that torch.export.save or an ONNX exporter wrote.")
    return path
