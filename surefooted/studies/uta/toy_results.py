"""Results of UTA's experiment in the plane: what crossed the boundary, where it lies, how often it moved."""

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
from surefooted.studies.uta.toy import DUE_STEP_SIZE, MLP_STEP_SIZE, ToyProblem
from surefooted.training.recorders import plane_points


@dataclass(frozen=True, eq=False)
class ToyResults:
    """Quantities read from the store. Lengths are in units of the paper's plane."""

    problem: ToyProblem
    store: Store

    # Numbers, one for each network

    def crossings(self, attack: str, victim: str, steps: int) -> list[dict[str, float]]:
        """Shares and depths of the attacked test points.

        fooled: misclassified; far: misclassified, and more than a step beyond the network's boundary (L∞); beyond:
        beyond the true boundary; depth: distance beyond the true boundary along q, mean over all points.
        """
        networks = []
        for k, task in enumerate(self.problem.attacks[attack, victim, steps]):
            result = task.result(self.store)
            x = result["x"].view(-1, 2)
            depth = -height(x) * (2 * result["y"] - 1)
            distance = _nearest_distances(units(x), self.boundary(victim, k))
            step = DUE_STEP_SIZE if victim.startswith("DUE") else MLP_STEP_SIZE
            quantities = {
                "fooled": result["found"],
                "far": result["found"] & (distance > step + self._spacing),
                "beyond": depth > 0,
                "depth": depth.clamp(min=0),
            }
            networks.append({name: float(values.double().mean()) for name, values in quantities.items()})
        return networks

    def crossing(self, quantity: str, attack: str, victim: str, steps: int) -> list[float]:
        """One quantity of ``crossings``."""
        return [values[quantity] for values in self.crossings(attack, victim, steps)]

    def map_accuracy(self, name: str) -> list[float]:
        """Accuracy on the area of the classes and of the gap between them, by the true boundary."""
        true = true_class(self._grid)
        return [
            float((self._predicted_classes(name, k) == true)[self._region].double().mean())
            for k in self._networks(name)
        ]

    def test_accuracy(self, name: str) -> list[float]:
        """Accuracy on test points."""
        return [accuracy(task.result(self.store)) for task in self.problem.test_predictions[name]]

    def flips(self, name: str) -> list[float]:
        """Number of changes of the prediction during training, mean over the square."""
        return [float(net.recorded(self.store)["flips"].double().mean()) for net in self.problem.trained[name]]

    def boundary_distances(self, name: str) -> list[float]:
        """Mean distance from learnt to true boundary and back, near the classes.

        The square's side if a network has no boundary there.
        """
        near = _true_points(REACH, 201)
        whole = _true_points(SIDE / 2, 501)
        distances = []
        for k in self._networks(name):
            learnt = self.boundary(name, k)
            learnt = learnt[self._in_region(learnt)]
            there = _nearest_distances(near, learnt, euclidean=True).clamp(max=SIDE)
            back = _nearest_distances(learnt, whole, euclidean=True)
            distances.append(float((there.mean() + back.mean()) / 2) if len(learnt) else SIDE)
        return distances

    # Maps of a network

    def boundary(self, name: str, k: int = 0) -> Float[Tensor, "n 2"]:
        """Points of the decision boundary: between neighbours on the grid, where class 1 has probability one half."""
        p, at = self.probability(name, k), units(self._grid)
        points = []
        for one, other in (((slice(None), slice(-1)), (slice(None), slice(1, None))),
                           ((slice(-1), slice(None)), (slice(1, None), slice(None)))):  # fmt: skip
            a, b = p[one], p[other]
            crossed = (a > 0.5) != (b > 0.5)
            share = ((0.5 - a) / (b - a))[crossed][:, None]
            points.append(at[one][crossed] * (1 - share) + at[other][crossed] * share)
        return torch.cat(points)

    def probability(self, name: str, k: int = 0) -> Float[Tensor, "g g"]:
        """Probability of class 1."""
        return self._log_p(name, k)[..., 1].exp()

    def entropy(self, name: str, k: int = 0) -> Float[Tensor, "g g"]:
        """Entropy of the prediction in nats."""
        log_p = self._log_p(name, k)
        return -(log_p.exp() * log_p).sum(-1)

    # For captions

    def training_note(self) -> str:
        """Networks, optimiser and epochs."""
        problem = self.problem
        mlp, clean, perturbed = (
            build("recipe", recipe) for recipe in (problem.recipe, problem.due_recipe, problem.due_at_recipe)
        )
        return (
            f"{base_name(problem.net)}, Adam, {mlp.epochs} epochs; {base_name(problem.due_net)}, Adam, {clean.epochs} "
            f"epochs on clean points, {perturbed.epochs} on perturbed points."
        )

    def caption(self) -> str:
        """Number of points and width of the gap."""
        splits, options = load_splits(self.problem.clean[0].data), self._data_options
        return (
            f"{splits.title}: {len(splits.train)} training, {len(splits.test)} test points, gap of width "
            f"{options['small']:g} on the left, {options['large']:g} on the right."
        )

    def _log_p(self, name: str, k: int) -> Float[Tensor, "g g c"]:
        return self.problem.grid_predictions[name][k].result(self.store).float()

    def _predicted_classes(self, name: str, k: int) -> Tensor:
        return self._log_p(name, k).argmax(-1)

    def _networks(self, name: str) -> range:
        return range(len(self.problem.grid_predictions[name]))

    @cached_property
    def _grid(self) -> Float[Tensor, "g g 2"]:
        size = self.problem.grid_size
        return plane_points(0.0, 1.0, size).x.view(size, size, 2)

    @property
    def _spacing(self) -> float:
        return SIDE / (self.problem.grid_size - 1)

    @cached_property
    def _region(self) -> Bool[Tensor, "g g"]:
        return self._in_region(units(self._grid))

    def _in_region(self, points: Float[Tensor, "*n 2"]) -> Bool[Tensor, "*n"]:
        """Which points are in the area of the classes and of the gap between them."""
        p, q = points.unbind(-1)
        half = gap(p, self._data_options["small"], self._data_options["large"]) / 2 + BAND
        return (p.abs() <= REACH) & ((q - true_line(p)).abs() <= half)

    @property
    def _data_options(self) -> dict[str, float]:
        options: dict[str, float] = self.problem.clean[0].data["plane"]
        return options


def _true_points(reach: float, n: int) -> Float[Tensor, "n 2"]:
    """Points of the true boundary up to ``reach`` on either side."""
    p = torch.linspace(-reach, reach, n)
    return torch.stack((p, true_line(p)), -1)


def _nearest_distances(
    points: Float[Tensor, "n 2"], line: Float[Tensor, "m 2"], *, euclidean: bool = False
) -> Float[Tensor, " n"]:
    """Distance to the nearest point of a line, L∞ or Euclidean; infinite if the line has no points."""
    if not len(line):
        return torch.full((len(points),), torch.inf)
    return torch.cdist(points, line, p=2.0 if euclidean else torch.inf).amin(1)
