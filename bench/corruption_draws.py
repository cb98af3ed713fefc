"""Random corruptions compared with the original pixel by pixel: both get the same random draws.

    python bench/corruption_draws.py --data-root DIR --original CHECKOUT [--images 60]

The draws of each image are given to the original in the order in which it calls NumPy. The remaining differences are
rounding. Prints for each type and severity the largest difference of a pixel in grey levels, and the shares of pixels
and of images that differ by more than one level. Requirements: see bench/corruptions.py. Shot noise, impulse noise and
frost draw differently from the original; bench/corruptions.py compares their distributions.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from corruptions import load_original
from PIL import Image

from surefooted.core.rng import Noise
from surefooted.data import corruptions, parquet
from surefooted.data.corruptions.base import FIRST_STREAM, STEPS_PER_SEVERITY
from surefooted.data.paths import set_data_root


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--original", required=True, type=Path)
    parser.add_argument("--images", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    set_data_root(options.data_root)
    points = parquet("cifar10_lossless_first4000", validation=0).train.points(slice(0, options.images))
    levels = (points.x * 255).round().permute(0, 2, 3, 1).byte().numpy()
    originals = load_original(options.original)
    print(f"{'type':24} severity  largest  pixels off  images off")
    for name, draws in DRAWS.items():
        for severity in range(1, 6):
            corruption = getattr(corruptions, name)(severity=severity)
            ours = (corruption(points.x, points.rows) * 255).round().permute(0, 2, 3, 1).numpy()
            differences = []
            for image, new, row in zip(levels, ours, points.rows):
                noise = Noise(0, row[None], STEPS_PER_SEVERITY * severity, FIRST_STREAM + corruption.stream)
                with numpy_draws(draws(noise)):
                    other = np.uint8(originals[name](Image.fromarray(image), severity))
                differences.append(np.abs(new - other))
            large = np.stack(differences) > 1
            print(
                f"{name:24} {severity:8} {np.max(differences):8g} {large.mean():11.5f} "
                f"{large.any((1, 2, 3)).mean():11.3f}"
            )


def numpy_draws(draws: Iterator[np.ndarray]):
    """Make NumPy's random functions return these draws: standard normal, uniform in [0, 1), or offsets."""

    def normal(loc=0.0, scale=1.0, size=None):
        return loc + scale * next(draws).reshape(size)

    def uniform(low=0.0, high=1.0, size=()):
        return low + (high - low) * next(draws).reshape(size)

    def randint(low, high, size=()):
        return next(draws)

    return patch.multiple(np.random, normal=normal, uniform=uniform, randint=randint)


def draws_per_pixel(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.normal(3, 32, 32)[0].permute(1, 2, 0).double().numpy()


def draws_per_position(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.normal(1, 32, 32)[0].double().numpy()


def one_draw(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.uniform(1)[0].double().numpy()


def snow_draws(noise: Noise) -> Iterator[np.ndarray]:
    yield from draws_per_position(noise)
    yield from one_draw(noise.at(noise.step + 1))


def fog_draws(noise: Noise) -> Iterator[np.ndarray]:
    drawn, used, step = noise.uniform(1024)[0].double().numpy(), 0, 32
    while step >= 2:
        for _ in range(3):
            count = (32 // step) ** 2
            yield drawn[used : used + count]
            used += count
        step //= 2


def glass_draws(noise: Noise) -> Iterator[np.ndarray]:
    for turn in range(2):
        drawn = (noise.at(noise.step + turn).uniform(32, 32)[0] * 4).long().numpy()
        for y in range(31, 1, -1):
            for x in range(31, 1, -1):
                yield np.array([drawn[y, x] % 2 - 1, drawn[y, x] // 2 - 1])


def elastic_draws(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.uniform(3, 2)[0].double().numpy()[:, ::-1]  # points as (x, y)
    down, right = noise.at(noise.step + 1).uniform(2, 32, 32)[0].double().numpy()
    yield right
    yield down


DRAWS: dict[str, Callable[[Noise], Iterator[np.ndarray]]] = {
    "gaussian_noise": draws_per_pixel,
    "speckle_noise": draws_per_pixel,
    "glass_blur": glass_draws,
    "motion_blur": one_draw,
    "snow": snow_draws,
    "fog": fog_draws,
    "elastic_transform": elastic_draws,
    "spatter": draws_per_position,
}


if __name__ == "__main__":
    main()
