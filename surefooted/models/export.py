"""Networks as files for other tools. Each file is read back, and its logits are compared with the network's."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from surefooted.components.code import first_line
from surefooted.components.component import Spec
from surefooted.core.files import as_input_error, read_tensors, write_tensors
from surefooted.core.rng import Noise
from surefooted.core.types import log_mean_softmax
from surefooted.errors import ArgumentError, DependencyError, ModelError, SurefootedError, did_you_mean
from surefooted.models.ensembles import Ensemble
from surefooted.models.external.onnx import read_onnx
from surefooted.models.external.program import read_program
from surefooted.models.guard import contained, unwrap_logits
from surefooted.models.victims import as_victim, untouched
from surefooted.models.weights import load_model, load_weights

FORMATS = ("onnx", "pt2", "torchscript", "safetensors")
_ENDINGS = {
    ".onnx": "onnx", ".pt2": "pt2", ".ts": "torchscript", ".torchscript": "torchscript", ".safetensors": "safetensors"
}  # fmt: skip
# Largest difference of logits, as a share of the largest logit: kernels of another runtime round otherwise.
_TOLERANCE = 1e-4


class ExportCheck(NamedTuple):
    """An exported file, and how close its logits are to the network's.

    Attributes:
        file: where it is.
        format: onnx, pt2, torchscript or safetensors.
        difference: largest absolute difference of a logit, over random images in batches of two sizes.

    Example:
        >>> ExportCheck(Path("net.pt2"), "pt2", 0.0).difference
        0.0
    """

    file: Path
    format: str
    difference: float


def format_of(file: Path) -> str:
    """The format that the ending of a file stands for.

    Raises:
        ArgumentError: for another ending.

    Example:
        >>> format_of(Path("net.onnx"))
        'onnx'
    """
    if file.suffix not in _ENDINGS:
        raise ArgumentError(
            f"{file} ends in {file.suffix or 'nothing'!r}; expected {', '.join(_ENDINGS)}, or the format given by `to`."
        )
    return _ENDINGS[file.suffix]


def export_network(
    net: nn.Module, shape: tuple[int, ...], file: Path, to: str, about: Mapping[str, Any] | None = None
) -> ExportCheck:
    """Write a network to a file, read that back, and compare.

    The file takes pixels in [0, 1] in batches of any size and returns logits. The normalisation is part of it. An
    ensemble returns the logarithm of its mean prediction.

    Args:
        net: the network, which is left as it is.
        shape: (C, H, W) of its images.
        file: where to write.
        to: format.
        about: for safetensors, the metadata of the training that made the weights.

    Raises:
        ArgumentError: for an unknown format.
        ModelError: if the network cannot be exported or draws at random, or the file answers otherwise.
        DependencyError: if a package that the format needs is missing.

    Example:
        >>> net = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
        >>> export_network(net, (1, 2, 2), Path("linear.pt2"), "pt2").difference < 1e-6
        True
    """
    if to not in FORMATS:
        raise ArgumentError(f"`to` is {to!r}.{did_you_mean(str(to), FORMATS)}")
    copy = _copied(net)
    images = Noise(0, torch.arange(8)).uniform(*shape)
    expected = _answers(copy, images)
    if not torch.equal(expected, _answers(copy, images, seed=1)):
        raise ModelError("The network draws at random, so that no file can answer as it does. Export a single network.")
    temporary = file.with_name(f".{file.stem}.{os.getpid()}{file.suffix}")
    try:
        with as_input_error(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        read = _write(copy, images, temporary, to, dict(about or {}))
        found = torch.cat([_answers(read, images[:5]), _answers(read, images[5:])])
        difference = float((found - expected).abs().max())
        if not difference <= _TOLERANCE * max(1.0, float(expected.abs().max())):
            raise ModelError(
                f"The exported file answers otherwise: its logits differ by up to {difference:.3g}. It was not kept. "
                "Export to another format."
            )
        with as_input_error(file):
            os.replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    return ExportCheck(file, to, difference)


class _Logits(nn.Module):
    """The logits alone, one row per image."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        if isinstance(self.net, Ensemble):
            log_p = torch.stack([unwrap_logits(member(x)) for member in self.net.members]).log_softmax(-1)
            top = log_p.amax(0)  # logsumexp, in operators that other readers have, too
            return top + (log_p - top).exp().mean(0).log()
        logits: Tensor = unwrap_logits(self.net(x))
        return logits


def _write(net: nn.Module, images: Tensor, file: Path, to: str, about: dict[str, Any]) -> nn.Module:
    """Write the file, and read it back."""
    if to == "safetensors":
        return _write_weights(net, images, file, about)
    writers: dict[str, Callable[[nn.Module, Tensor, Path], nn.Module]] = {
        "onnx": _write_onnx, "pt2": _write_program, "torchscript": _write_torchscript
    }  # fmt: skip
    try:
        with contained(), warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of exporters, about themselves
            return writers[to](_Logits(net).eval(), images[:2], file)
    except SurefootedError:
        raise
    except Exception as error:
        others = ", ".join(one for one in FORMATS if one != to)
        raise ModelError(
            f"The network cannot be exported to {to} ({first_line(error)}). Try another format: {others}."
        ) from error


def _write_onnx(net: nn.Module, x: Tensor, file: Path) -> nn.Module:
    for package in ("onnx", "onnxscript"):
        try:
            __import__(package)
        except ModuleNotFoundError:
            raise DependencyError(f"ONNX files need the package {package}. Run: pip install {package}.") from None
        except Exception as error:
            raise DependencyError(
                f"The package {package} is installed but cannot be imported ({first_line(error)}). Install it again."
            ) from error
    batch = ({0: torch.export.Dim("batch")},)
    torch.onnx.export(net, (x,), file, dynamo=True, dynamic_shapes=batch, external_data=False, verbose=False)
    return read_onnx(file)


def _write_program(net: nn.Module, x: Tensor, file: Path) -> nn.Module:
    batch = ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(net, (x,), dynamic_shapes=batch), file)
    return read_program(file)


def _write_torchscript(net: nn.Module, x: Tensor, file: Path) -> nn.Module:
    torch.jit.save(torch.jit.trace(net, x), file)
    read: nn.Module = torch.jit.load(file)
    return read


def _write_weights(net: nn.Module, images: Tensor, file: Path, about: dict[str, Any]) -> nn.Module:
    """The weights, with the architecture if it is one of this package; else they fit the network's own code."""
    first, members = (net.members[0], len(net.members)) if isinstance(net, Ensemble) else (net, 1)
    spec = getattr(first, "spec", None)
    if isinstance(spec, Spec):
        classes = [str(k) for k in range(_answers(net, images).shape[-1])]
        about = {"shape": list(images.shape[1:]), "classes": classes, **about, "net": spec.json(), "members": members}
    write_tensors(file, net.state_dict(), about)
    if isinstance(spec, Spec):
        return load_model(file)
    copy = _copied(net)
    load_weights(copy, read_tensors(file)[0], file)
    return copy


@torch.no_grad()
def _answers(net: nn.Module, x: Tensor, seed: int = 0) -> Tensor:
    if isinstance(net, torch.jit.ScriptModule):
        out: Tensor = net(x)
        return out
    victim = as_victim(net)
    with untouched(victim, seed=seed):
        return log_mean_softmax(victim(x)) if isinstance(net, Ensemble) else victim(x)[0]


def _copied(net: nn.Module) -> nn.Module:
    try:
        return deepcopy(net).cpu().eval()
    except Exception as error:
        raise ModelError(f"The network cannot be copied to be exported ({first_line(error)}).") from None
