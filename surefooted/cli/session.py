"""What commands do alike: open the store, find networks, choose data and images. Torch is loaded by calls only."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surefooted.errors import ArgumentError, DataError, StoreError

if TYPE_CHECKING:
    from surefooted.models.external import ModelOptions
    from surefooted.pipeline.runtime import Runtime
    from surefooted.pipeline.store import Store
    from surefooted.pipeline.tasks import ComponentSpec, Source

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Session:
    """Where artifacts are kept, what to run on, and how to answer."""

    store: Store
    runtime: Runtime
    as_json: bool = False
    quiet: bool = False


@dataclass(frozen=True)
class Subset:
    """The images to evaluate on, and the seed of random draws.

    Attributes:
        split: train, validation or test.
        limit: maximum number of images; 0 for all.
        seed: key of every random draw.
        order: order of the images, of which ``limit`` takes the first.
    """

    split: Any = "test"
    limit: int = 0
    seed: int = 0
    order: str = "official"

    def __post_init__(self) -> None:
        from surefooted.data.order import parse_order

        object.__setattr__(self, "order", parse_order(self.order))
        if self.split not in SPLITS:
            raise ArgumentError(f"--split is {self.split!r}; expected train, validation or test.")


def open_session(
    store: Path | None,
    data_root: Path | None = None,
    accelerator: str = "auto",
    *,
    devices: int = 1,
    as_json: bool = False,
    quiet: bool = False,
) -> Session:
    """Open the store and choose the device, after checking both; data are looked for in ``data_root``."""
    from surefooted.pipeline.runtime import Runtime
    from surefooted.pipeline.store import Store

    if data_root is not None:
        from surefooted.data.paths import set_data_root

        try:
            set_data_root(data_root)
        except DataError as error:
            raise DataError(f"`data_root`: {error}") from None
    runtime = Runtime(accelerator, devices)
    return Session(Store(store), runtime, as_json, quiet)


def open_existing(store: Path | None, *, as_json: bool = False) -> Session:
    """Open a store to read from: a mistyped folder is an error, and is not created."""
    if store is not None and not store.is_dir():
        raise StoreError(f"There is no store {str(store)!r}. Check `store`.")
    return open_session(store, as_json=as_json)


def place_flags(store: Store, data_root: Path | None = None) -> str:
    """The options that a later command needs to find this store and these data; with a space before them."""
    import shlex

    from surefooted.pipeline.store import default_root

    found = [("--store", store.root)] if store.root != default_root() else []
    found += [("--data-root", data_root.resolve())] if data_root is not None else []
    return "".join(f" {flag} {shlex.quote(str(path))}" for flag, path in found)


def misplaced_model(words: Sequence[str]) -> str | None:
    """The word of a command line that may have been meant as ``--model``."""
    return next((word for word in words[:1] if not word.startswith("--")), None)


def find_network(model: str | None, store: Store, words: Sequence[str] = ()) -> Source:
    """The network that ``--model`` names; ``words`` may hold it in the wrong place."""
    from surefooted.pipeline.lookup import find_victim

    if model is None and (word := misplaced_model(words)):
        raise ArgumentError(f"Which network? Write it as an option: --model {word}.")
    if model is None:
        raise ArgumentError(
            "Which network? Give --model with a key that `surefooted train` printed, or a .safetensors file."
        )
    return find_victim(model, store)


@dataclass(frozen=True, eq=False)
class ModelChoice:
    """The classifier that ``--model`` names: a network of the store, or an external one, which needs the data first.

    Attributes:
        name: as given.
        stored: the network of the store, or of a file that surefooted wrote; None for an external classifier.
        options: how an external classifier is to be read.
    """

    name: str
    stored: Source | None
    options: ModelOptions

    def source(self, data: ComponentSpec | None) -> Source:
        """The classifier as a victim that reads these data."""
        from surefooted.pipeline.tasks import external_source

        if self.stored is None and data is None:
            raise ArgumentError(f"Which data set? {self.name} does not say. Pass --data NAME.")
        return external_source(self.stored or self.name, data, self.options)


def choose_model(
    model: str | None, store: Store, words: Sequence[str] = (), options: ModelOptions | None = None
) -> ModelChoice:
    """What ``--model`` names; ``words`` may hold it in the wrong place."""
    from surefooted.models.external import ModelOptions, is_external
    from surefooted.pipeline.lookup import find_victim

    if model is None:
        word = misplaced_model(words)
        raise ArgumentError(
            f"Which classifier? Write it as an option: --model {word}."
            if word
            else "Which classifier? Give --model with a key that `surefooted train` printed, a .safetensors file that "
            "surefooted wrote, MODULE:FUNCTION, FILE.pt2, FILE.onnx, timm:NAME or transformers:NAME."
        )
    stored = None if is_external(model) else find_victim(model, store)
    return ModelChoice(model, stored, options or ModelOptions())


def model_options(
    *,
    mean: str | None = None,
    std: str | None = None,
    outputs: str | None = None,
    weights: Path | None = None,
    layout: str = "nchw",
    pixels: str = "float32",
) -> ModelOptions:
    """The options of an external model, from the texts of a command line."""
    from surefooted.cli.options import parse_numbers
    from surefooted.models.external import ModelOptions

    numbers = parse_numbers(mean, flag="--mean"), parse_numbers(std, flag="--std")
    return ModelOptions(*numbers, outputs, weights, layout, pixels)


def report_directory(command: str, model: str, data: ComponentSpec | None, options: Mapping[str, Any]) -> Path:
    """Where a command puts its report by default: what it is about, and a digest that tells apart what words do not.

    Example:
        >>> report_directory("corrupt", "package.module:factory", {"digits": {}}, {"seed": 0})
        PosixPath('reports/corrupt_package.module_factory_digits_...')
    """
    from surefooted.components.spec import base_name, digest
    from surefooted.pipeline.tasks.base import without_location

    about = [model, without_location(data) if data else None, {name: str(value) for name, value in options.items()}]
    short = re.sub(r"[^A-Za-z0-9_.-]+", "_", model)[-40:].strip("._-") or "model"
    data_name = [base_name(data)] if data else []
    return Path("reports") / "_".join([command, short, *data_name, digest(about)[:8]])


def own_data(network: Source | None) -> dict[str, str]:
    """Default of the slot ``data``: options given without a name are of the set that the network was trained on."""
    from surefooted.components.spec import base_name
    from surefooted.pipeline.tasks import training_data

    own = training_data(network)
    return {"data": base_name(own)} if own else {}


def choose_data(network: Source | None, given: Mapping[str, Any]) -> ComponentSpec | None:
    """The data set to evaluate on; None for the network's own.

    Options that are not given are as in the network's training, if the set is the same: the default split would put
    training images into the test set.
    """
    from surefooted.components.component import in_slot
    from surefooted.components.spec import parse_spec
    from surefooted.pipeline.tasks import resolve_data, training_data

    if "data" not in given:
        return None
    own = training_data(network)
    (name, arguments), (own_name, own_options) = parse_spec(given["data"]), parse_spec(own) if own else ("", {})
    with in_slot("data"):
        chosen = resolve_data({name: (own_options if name == own_name else {}) | arguments})
    return None if chosen == own else chosen
