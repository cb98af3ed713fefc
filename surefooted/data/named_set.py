"""Named data sets: directories of Parquet files under the data root, described by their facts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast, runtime_checkable

from surefooted.components.component import Share, Whole, component
from surefooted.data.decode import IMAGE_RULES, encoding
from surefooted.data.images import Splits
from surefooted.data.parquet import find_shards, read_images, read_source
from surefooted.data.paths import data_root, directory
from surefooted.data.split import SplitOptions, split_source
from surefooted.errors import DataError

_DOCSTRING = """{facts.title}: {facts.content}.

Read from ``{facts.name}`` under the data root (``data_root`` or SUREFOOTED_DATA): Parquet files with the columns
``{facts.image}`` and ``{facts.label}``, as the Hugging Face Hub has them ({facts.address}). The title of a copy that
was encoded with loss says so, as in {facts.title} (JPEG q75).

{rules}

Args:
    validation: share of the training images held out for validation; 0 for none.
    split_seed: seed of the split.
    train_limit: number of training images; 0 for all.
    test_limit: number of test images; 0 for all.

Returns:
    Training, validation and test images.

Raises:
    DataError: the files are missing, incomplete or unreadable.

Example:
    >>> import surefooted as sf
    >>> sf.data.{facts.name}().train.shape
    {facts.shape}

Reference:
    {facts.reference}
"""


@dataclass(frozen=True)
class NamedSet:
    """Facts of a named data set.

    Attributes:
        name: name of the component and of the directory under the data root.
        title: name for captions.
        content: what the images show, their size and their number, for the first line of the help.
        hub: address on the Hugging Face Hub.
        shape: channels, height and width of an image.
        classes: number of classes.
        reference: publication to cite.
        config: configuration on the Hub, if the set has several.
        image: name of the column of images.
        label: name of the column of class indices.
    """

    name: str
    title: str
    content: str
    hub: str
    shape: tuple[int, int, int]
    classes: int
    reference: str
    config: str = ""
    image: str = "image"
    label: str = "label"

    @property
    def address(self) -> str:
        """Address on the Hub, with the configuration."""
        return f"{self.hub}, configuration {self.config}" if self.config else self.hub


@runtime_checkable  # tests check annotations at run time
class NamedSetComponent(Protocol):
    """Component that loads a named data set."""

    facts: NamedSet

    def __call__(
        self, *, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0
    ) -> Splits: ...


def named_set(facts: NamedSet, module: str) -> NamedSetComponent:
    """Make the component that loads a named data set.

    Args:
        facts: facts of the data set; kept as the attribute ``facts`` of the component.
        module: ``__name__`` of the module that defines the component, where its example is found and tested.

    Example:
        >>> from surefooted.data import mnist
        >>> mnist.facts.hub
        'ylecun/mnist'
    """

    def load(
        *, validation: Share = 0.1, split_seed: Whole = 0, train_limit: Whole = 0, test_limit: Whole = 0
    ) -> Splits:
        return _read(facts, SplitOptions(validation, split_seed, train_limit, test_limit))

    load.__name__ = load.__qualname__ = facts.name
    load.__doc__ = _DOCSTRING.format(facts=facts, rules=IMAGE_RULES)
    loader = cast(NamedSetComponent, component(load))
    loader.facts, loader.__module__ = facts, module
    return loader


def _read(facts: NamedSet, options: SplitOptions) -> Splits:
    folder = _find_folder(facts)
    source = read_source(folder, facts.image, facts.label)
    missing = "test" if source.test is None or source.validation_is_test else "train" if not len(source.train.y) else ""
    if missing:
        raise DataError(
            f"There is no {missing}-*.parquet in {str(folder)!r}: this copy of {facts.title} is incomplete. Copy it "
            "again."
        )
    # Results on a copy that was encoded with loss cannot be compared with published ones.
    _, first = next(read_images(find_shards(folder)["train"][0], facts.image))
    file_format = encoding(first)
    title = f"{facts.title} ({file_format})" if file_format.startswith(("JPEG", "WEBP, lossy")) else facts.title
    return split_source(source, options, name=facts.name, title=title)


def _find_folder(facts: NamedSet) -> Path:
    root = data_root()
    if root is None:
        raise DataError(
            f"{facts.title} is read from the data root, which is not set. Set `data_root` or SUREFOOTED_DATA to the "
            f"directory that holds {facts.name!r}; its Parquet files are on the Hugging Face Hub ({facts.address}). "
            "The data set 'digits' needs no files."
        )
    if not (root / facts.name).exists():
        raise DataError(
            f"{facts.title} is not in the data root: there is no {str(root / facts.name)!r}. Copy its Parquet files "
            f"there (Hugging Face Hub: {facts.address}), or set `data_root` or SUREFOOTED_DATA to another directory. "
            "The data set 'digits' needs no files."
        )
    return directory(root / facts.name)
