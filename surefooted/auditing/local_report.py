"""Analyse a classifier around single images: a page about its margin, Jacobian, linearity and loss surfaces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from surefooted.auditing.local import LocalDesign, LocalFindings, local_section
from surefooted.auditing.result import EvaluationResult, Run, admit
from surefooted.errors import ArgumentError
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import Source, collect_provenance
from surefooted.report import Page


def analyse(
    model: nn.Module | Source | str,
    data: Any = None,
    *,
    eps: float = 0.5,
    reach: float = 8 / 255,
    surfaces: int = 2,
    limit: int = 500,
    store: Store | None = None,
    runtime: Runtime | None = None,
    quiet: bool = False,
    before_run: Callable[[], object] = lambda: None,
    **options: Any,
) -> EvaluationResult:
    """Analyse a classifier around single images: decision margin, Jacobian, linearity and loss surfaces.

    Args:
        model: any module from pixels in [0, 1] to logits, or another classifier that ``audit`` takes.
        data: a data set, as for ``audit``.
        eps: L2 radius of the attack at whose points the non-linearity is measured.
        reach: largest offset of the loss surfaces along each axis, for pixels in [0, 1].
        surfaces: number of images with a loss surface, the first; 0 for none.
        limit: number of images, the first of the order; 0 for all.
        store: where results are kept; the default store if omitted.
        runtime: device to run on; by default a GPU if there is one.
        quiet: print neither the estimated time nor progress on standard error.
        before_run: called once the classifier has been accepted, before anything is computed.
        options: ``split``, ``order``, ``seed``, and for external models ``mean``, ``std``, ``outputs``, ``weights``,
            as in ``AuditOptions``.

    Returns:
        The numbers and the report.

    Raises:
        InputError: if the classifier or the data cannot be used, before any work.

    Reference: EntM, section 6 and appendix C.2.

    Example:
        >>> import torch
        >>> import surefooted as sf
        >>> net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        >>> result = sf.analyse(net, "digits", limit=10, surfaces=0, quiet=True)
        >>> result.numbers["means"]["q"]["value"] < 0.01  # a linear classifier
        True
    """
    for name, value in (("eps", eps), ("reach", reach)):
        if not 0 < value < float("inf"):
            raise ArgumentError(f"`{name}` is {value:g}; expected a finite number above 0, for pixels in [0, 1].")
    if not isinstance(surfaces, int) or surfaces < 0:
        raise ArgumentError(f"`surfaces` is {surfaces!r}; expected a whole number of at least 0.")
    run = Run(store or Store(), runtime or Runtime(), quiet, before_run)
    audited = admit(model, data, run, limit=limit, **options)
    o = audited.options
    chosen: dict[str, Any] = {"split": o.split, "limit": audited.limit, "order": audited.order, "seed": o.seed}
    design = LocalDesign(audited.model, audited.data, eps, reach, surfaces, **chosen)
    run.compute(f"analyse {design.model}", design.tasks)
    f = LocalFindings(design, run.store)
    page = Page(
        f"{design.model} around single images",
        f.headline(),
        (),
        (replace(local_section(f), text=""),),
        collect_provenance(design.tasks, run.store),
    )
    numbers = {"classifier": str(design.model), "data": audited.splits.title, "split": o.split, **f.numbers()}
    return EvaluationResult(numbers, page, f.lines())
