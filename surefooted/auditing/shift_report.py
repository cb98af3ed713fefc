"""Evaluate a classifier on corrupted images: a page about its accuracy and calibration under distribution shift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from surefooted.auditing.result import EvaluationResult, Run, admit
from surefooted.auditing.shift import CorruptionDesign, ShiftFindings, corruption_types, shift_section
from surefooted.errors import ArgumentError
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Source, collect_provenance
from surefooted.report import Page


def corrupt(
    model: nn.Module | Source | str,
    data: Any = None,
    corruptions: str = "benchmark",
    *,
    limit: int = 1000,
    draws: int = 1000,
    store: Store | None = None,
    runtime: Runtime | None = None,
    quiet: bool = False,
    before_run: Callable[[], object] = lambda: None,
    **options: Any,
) -> EvaluationResult:
    """Measure accuracy and calibration on corrupted images, by type of corruption and severity.

    Corrupted images are made in passing and not stored; predictions on them are.

    Args:
        model: any module from pixels in [0, 1] to logits, or another classifier that ``audit`` takes.
        data: a data set, as for ``audit``.
        corruptions: ``benchmark`` (the 15 types of ImageNet-C), ``all`` (19 types), or names separated by commas.
        limit: number of images, the first of the order; 0 for all.
        draws: bootstrap draws.
        store: where predictions are kept; the default store if omitted.
        runtime: device to run on; by default a GPU if there is one.
        quiet: print neither the estimated time nor progress on standard error.
        before_run: called once the classifier has been accepted, before anything is computed.
        options: ``split``, ``order``, ``seed``, and for external models ``mean``, ``std``, ``outputs``, ``weights``,
            as in ``AuditOptions``.

    Returns:
        The numbers and the report.

    Raises:
        InputError: if the classifier, the data or the types cannot be used, before any work.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        >>> result = sf.corrupt(net, "digits", "fog,contrast", limit=20, draws=50, quiet=True)
        >>> len(result.numbers["by_severity"]["accuracy"]), sorted(result.numbers["accuracy"])
        (6, ['contrast', 'fog'])
    """
    if not isinstance(draws, int) or draws < 1:
        raise ArgumentError(f"`draws` is {draws!r}; expected a whole number of at least 1.")
    run = Run(store or Store(), runtime or Runtime(), quiet, before_run)
    audited = admit(model, data, run, limit=limit, **options)
    o, images = audited.options, getattr(audited.splits, audited.options.split)
    types = corruption_types(corruptions, images.shape[0])
    chosen: dict[str, Any] = {"split": o.split, "limit": audited.limit, "order": audited.order, "seed": o.seed}
    design = CorruptionDesign(audited.model, audited.data, types, draws=draws, **chosen)
    design.check()
    run.compute(f"corrupt {design.model}", design.tasks)
    f = ShiftFindings(design, run.store)
    page = Page(
        f"{design.model} under distribution shift",
        f.headline(),
        (),
        (replace(shift_section(f), text=""),),
        collect_provenance(design.tasks, run.store),
    )
    numbers = {"classifier": str(design.model), "data": audited.splits.title, "split": o.split, **f.numbers()}
    return EvaluationResult(numbers, page, f.lines())
