"""Numbers read off the plane: what crossed, where the boundary lies, how often it moved."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from surefooted.components.spec import base_name, build
from surefooted.data.plane import BAND, REACH, SIDE, gap, height, true_class, units
from surefooted.data.plane import boundary as true_line
from surefooted.evaluation.metrics import accuracy
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import load_splits
from surefooted.studies.uta.toy import ALPHA, DUE_ALPHA, ToyProblem
from surefooted.training.recorders import plane_points


@dataclass(frozen=True, eq=False)
class PlaneResults:
    """What came of it, in units of the paper's plane."""

    made: ToyProblem
    store: Store

    # Numbers

    def crossed(self, raises: str, victim: str, steps: int) -> list[dict[str, float]]:
        """For each network, shares and lengths of the test points that an attack moved.

        fooled: the network's answer is wrong; far: it is, and its boundary more than a step back (L∞); beyond: they lie
        beyond the true boundary; depth: how far beyond it, along q, the mean over all points.
        """
        found = []
        for k, task in enumerate(self.made.moved[raises, victim, steps]):
            result = task.result(self.store)
            past = -height(result["x"].view(-1, 2)) * (2 * result["y"] - 1)
            back = _nearest(units(result["x"].view(-1, 2)), self.boundary(victim, k))
            step = DUE_ALPHA if victim.startswith("DUE") else ALPHA
            shares = {
                "fooled": result["found"],
                "far": result["found"] & (back > step + self._spacing),
                "beyond": past > 0,
                "depth": past.clamp(min=0),
            }
            found.append({name: float(values.double().mean()) for name, values in shares.items()})
        return found

    def crossing(self, what: str, raises: str, victim: str, steps: int) -> list[float]:
        return [one[what] for one in self.crossed(raises, victim, steps)]

    def on_map(self, name: str) -> list[float]:
        """Share of the plane where the classes lie, and between them, that each network tells as it is."""
        true = true_class(self._grid)
        return [float((self._says(name, k) == true)[self._region].double().mean()) for k in self._each(name)]

    def on_test(self, name: str) -> list[float]:
        return [accuracy(task.result(self.store)) for task in self.made.tested[name]]

    def flips(self, name: str) -> list[float]:
        """How often the prediction changed in training, the mean over the square."""
        return [float(one.recorded(self.store)["flips"].double().mean()) for one in self.made.trained[name]]

    def off(self, name: str) -> list[float]:
        """Mean distance from learnt to true boundary and back, where the classes lie; the square's side if none is."""
        p = torch.linspace(-REACH, REACH, 201)
        line = torch.stack((p, true_line(p)), -1)
        wide = torch.linspace(-SIDE / 2, SIDE / 2, 501)
        whole = torch.stack((wide, true_line(wide)), -1)
        found = []
        for k in self._each(name):
            learnt = self.boundary(name, k)
            learnt = learnt[self._within(learnt)]
            there = _nearest(line, learnt, euclidean=True).clamp(max=SIDE)
            back = _nearest(learnt, whole, euclidean=True)
            found.append(float((there.mean() + back.mean()) / 2) if len(learnt) else SIDE)
        return found

    def boundary(self, name: str, k: int = 0) -> Float[Tensor, "n 2"]:
        """Points of a network's boundary: where class 1 has probability one half between neighbours on the grid."""
        p, at = self.probability(name, k), units(self._grid)
        found = []
        for one, other in (((slice(None), slice(-1)), (slice(None), slice(1, None))),
                           ((slice(-1), slice(None)), (slice(1, None), slice(None)))):  # fmt: skip
            a, b = p[one], p[other]
            cut = (a > 0.5) != (b > 0.5)
            share = ((0.5 - a) / (b - a))[cut][:, None]
            found.append(at[one][cut] * (1 - share) + at[other][cut] * share)
        return torch.cat(found)

    # Maps

    def probability(self, name: str, k: int = 0) -> Float[Tensor, "g g"]:
        """Of class 1."""
        return self._log_p(name, k)[..., 1].exp()

    def entropy(self, name: str, k: int = 0) -> Float[Tensor, "g g"]:
        log_p = self._log_p(name, k)
        return -(log_p.exp() * log_p).sum(-1)

    def _log_p(self, name: str, k: int) -> Float[Tensor, "g g c"]:
        return self.made.surveyed[name][k].result(self.store).float()

    def _says(self, name: str, k: int) -> Tensor:
        return self._log_p(name, k).argmax(-1)

    def _each(self, name: str) -> range:
        return range(len(self.made.surveyed[name]))

    @cached_property
    def _grid(self) -> Float[Tensor, "g g 2"]:
        return plane_points(0.0, 1.0, self.made.grid).x.view(self.made.grid, self.made.grid, 2)

    @property
    def _spacing(self) -> float:
        return SIDE / (self.made.grid - 1)

    @cached_property
    def _region(self) -> Bool[Tensor, "g g"]:
        return self._within(units(self._grid))

    def _within(self, at: Float[Tensor, "*n 2"]) -> Bool[Tensor, "*n"]:
        """Where the classes lie, and between them."""
        given = self._given
        p, q = at.unbind(-1)
        tall = gap(p, given["small"], given["large"]) / 2 + BAND
        return (p.abs() <= REACH) & ((q - true_line(p)).abs() <= tall)

    @property
    def _given(self) -> dict[str, float]:
        return self.made.clean[0].data["plane"]

    def trained(self) -> str:
        """How the networks were."""
        plain, due, at = (
            build("recipe", recipe) for recipe in (self.made.recipe, self.made.due_recipe, self.made.due_at_recipe)
        )
        return (
            f"{base_name(self.made.net)}, Adam, {plain.epochs} epochs; {base_name(self.made.due)}, Adam, {due.epochs} "
            f"epochs on clean points, {at.epochs} on perturbed ones."
        )

    def caption(self) -> str:
        splits, given = load_splits(self.made.clean[0].data), self._given
        return (
            f"{splits.title}: {len(splits.train)} training, {len(splits.test)} test points, gap {given['small']:g} on "
            f"the left, {given['large']:g} on the right."
        )


def _nearest(
    points: Float[Tensor, "n 2"], line: Float[Tensor, "m 2"], *, euclidean: bool = False
) -> Float[Tensor, " n"]:
    """Distance to the nearest point of the line, L∞ or Euclidean; infinite where there is no line."""
    if not len(line):
        return torch.full((len(points),), torch.inf)
    return torch.cdist(points, line, p=2.0 if euclidean else torch.inf).amin(1)
