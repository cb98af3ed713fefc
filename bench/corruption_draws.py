"""Corruptions that draw at random, pixel by pixel beside the original: both are given the same draws.

    python bench/corruption_draws.py --data-root DIR --original CHECKOUT [--images 60]

Our draws of each image are handed to the original in the order that it asks NumPy for them. What is left is rounding:
printed for each type and severity are the largest difference of a pixel in grey levels, and the share of pixels and of
images that are off by more than one level. See bench/corruptions.py for what it needs. Shot, impulse noise and frost
draw in another way than the original, and are compared in distribution there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from corruptions import original
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
    theirs = original(options.original)
    print(f"{'type':24} severity  largest  pixels off  images off")
    for name, script in SCRIPTS.items():
        for severity in range(1, 6):
            made = getattr(corruptions, name)(severity=severity)
            ours = (made(points.x, points.rows) * 255).round().permute(0, 2, 3, 1).numpy()
            off = []
            for image, new, row in zip(levels, ours, points.rows):
                noise = Noise(0, row[None], STEPS_PER_SEVERITY * severity, FIRST_STREAM + made.stream)
                with handed(script(noise)):
                    other = np.uint8(theirs[name](Image.fromarray(image), severity))
                off.append(np.abs(new - other))
            large = np.stack(off) > 1
            print(f"{name:24} {severity:8} {np.max(off):8g} {large.mean():11.5f} {large.any((1, 2, 3)).mean():11.3f}")


def handed(draws: Iterator[np.ndarray]):
    """Let NumPy's functions take the next of these draws: standard normal, in [0, 1), or offsets."""

    def normal(loc=0.0, scale=1.0, size=None):
        return loc + scale * next(draws).reshape(size)

    def uniform(low=0.0, high=1.0, size=()):
        return low + (high - low) * next(draws).reshape(size)

    def randint(low, high, size=()):
        return next(draws)

    return patch.multiple(np.random, normal=normal, uniform=uniform, randint=randint)


def pixelwise(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.normal(3, 32, 32)[0].permute(1, 2, 0).double().numpy()


def plane(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.normal(1, 32, 32)[0].double().numpy()


def angle(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.uniform(1)[0].double().numpy()


def flakes(noise: Noise) -> Iterator[np.ndarray]:
    yield from plane(noise)
    yield from angle(noise.at(noise.step + 1))


def plasma(noise: Noise) -> Iterator[np.ndarray]:
    drawn, used, step = noise.uniform(1024)[0].double().numpy(), 0, 32
    while step >= 2:
        for _ in range(3):
            count = (32 // step) ** 2
            yield drawn[used : used + count]
            used += count
        step //= 2


def glass(noise: Noise) -> Iterator[np.ndarray]:
    for turn in range(2):
        drawn = (noise.at(noise.step + turn).uniform(32, 32)[0] * 4).long().numpy()
        for y in range(31, 1, -1):
            for x in range(31, 1, -1):
                yield np.array([drawn[y, x] % 2 - 1, drawn[y, x] // 2 - 1])


def rubber(noise: Noise) -> Iterator[np.ndarray]:
    yield noise.uniform(3, 2)[0].double().numpy()[:, ::-1]  # points as (x, y)
    down, right = noise.at(noise.step + 1).uniform(2, 32, 32)[0].double().numpy()
    yield right
    yield down


SCRIPTS: dict[str, Callable[[Noise], Iterator[np.ndarray]]] = {
    "gaussian_noise": pixelwise,
    "speckle_noise": pixelwise,
    "glass_blur": glass,
    "motion_blur": angle,
    "snow": flakes,
    "fog": plasma,
    "elastic_transform": rubber,
    "spatter": plane,
}


if __name__ == "__main__":
    main()
