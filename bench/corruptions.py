"""Corruptions beside the original generator, on the same CIFAR-10 images.

    python bench/corruptions.py --data-root DIR --original CHECKOUT [--images 200] [--types fog frost] [--json FILE]

CHECKOUT is one of hendrycks/robustness; its functions need scikit-image, opencv-python-headless, Wand and ImageMagick
beside this project's packages. They are read out of ImageNet-C/create_c/make_cifar_c.py and run as they stand, on
today's libraries. Images are the lossless ones of cifar10_lossless_first4000 under the data root.

Printed for each type and severity: mean absolute change (grey levels) ours and theirs, and ours over theirs with two
standard errors; where nothing is drawn, the largest difference of a pixel. Then CPU and wall seconds, ours and theirs.
Frost is shown grown from noise, and cut out of the original's photographs.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import types
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

import numpy as np
import torch
from PIL import Image
from timing import environment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
from synthetic import blocks

from surefooted.core.types import Points
from surefooted.data import corruptions, parquet
from surefooted.data.paths import set_data_root

CODE = "ImageNet-C/create_c"
SOURCE = (
    "Mean absolute change in grey levels, and its spread over the images, for severities 1 to 5: functions of "
    "hendrycks/robustness, ImageNet-C/create_c/make_cifar_c.py, on the images of tests/synthetic.py. Written by "
    "bench/corruptions.py --json."
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True)
    parser.add_argument("--original", required=True, type=Path)
    parser.add_argument("--images", type=int, default=200)
    parser.add_argument("--types", nargs="+", choices=corruptions.__all__, help="by default all of the original")
    parser.add_argument("--threads", type=int, default=1, help="ours; the original works on one image at a time")
    parser.add_argument("--json", type=Path, help="write the original's changes of the tests' synthetic images there")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    set_data_root(options.data_root)
    if options.json:
        x, rows = blocks(options.images)
        images, target = Points(x, torch.zeros_like(rows), rows), options.json.absolute()
    else:
        images = parquet("cifar10_lossless_first4000", validation=0).train.points(slice(0, options.images))
    levels = (images.x * 255).round().permute(0, 2, 3, 1).byte().numpy()
    theirs = original(options.original)
    print(f"{len(levels)} images; {environment()}")
    print(f"{'type':24} severity    ours  theirs   ratio ± 2 s.e.  largest difference")
    seconds: dict[str, np.ndarray] = {}
    changes: dict[str, list[list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(1, 6):
            shutil.copy(next((options.original / CODE).glob(f"frost{number}.*")), folder)
        for name in options.types or [name for name in corruptions.__all__ if name in theirs]:
            seconds[name], changes[name] = compare(name, {}, images, levels, theirs[name])
            if name == "frost":
                compare(name, {"photographs": folder}, images, levels, theirs[name])
    print(f"{'seconds':24}  ours: CPU    wall  theirs: CPU    wall  times: CPU  wall")
    for name, spent in [*seconds.items(), ("all", sum(seconds.values()))]:
        mine, wall, its, long = spent
        print(f"{name:24} {mine:10.2f} {wall:7.2f} {its:12.2f} {long:7.2f} {its / mine:11.1f} {long / wall:5.1f}")
    if options.json:
        entries = ",\n".join(f'  "{name}": {json.dumps(change)}' for name, change in changes.items())
        text = '{"source": %s,\n "images": %d,\n "change": {\n%s\n }}\n'
        target.write_text(text % (json.dumps(SOURCE), len(levels), entries), encoding="utf-8")


def compare(
    name: str, given: dict[str, Any], images: Any, levels: np.ndarray, their: Callable
) -> tuple[np.ndarray, list]:
    """Print a line for each severity; CPU and wall seconds ours and theirs, and the original's changes."""
    spent, changes = np.zeros(4), []
    corruption = getattr(corruptions, name)(**given)
    corruption(images.x[:8], images.rows[:8])  # what is made once is no part of it
    for severity in range(1, 6):
        start = clocks()
        ours = getattr(corruptions, name)(severity=severity, **given)(images.x, images.rows)
        spent[:2] += clocks() - start
        ours = (ours * 255).round().permute(0, 2, 3, 1).numpy()
        np.random.seed(severity)
        start = clocks()
        other = np.stack([np.uint8(their(Image.fromarray(image), severity)) for image in levels])
        spent[2:] += clocks() - start
        a, b = (np.abs(x.astype(float) - levels).mean((1, 2, 3)) for x in (ours, other))
        error = np.sqrt(np.var(a - b) / len(a)) / b.mean()
        largest = f"{np.abs(ours - other).max():g}" if not corruption.random else ""
        title = " ".join([name, *given])
        print(f"{title:24} {severity} {a.mean():14.3f} {b.mean():7.3f} {a.mean() / b.mean():7.3f} ± {2 * error:.3f}"
              f"  {largest}", flush=True)  # fmt: skip
        changes.append([round(float(b.mean()), 4), round(float(b.std()), 4)])
    return spent, changes


def clocks() -> np.ndarray:
    return np.array([process_time(), perf_counter()])


def original(checkout: Path) -> dict[str, Callable]:
    """The functions of the original, which was written for the libraries of 2018."""
    import scipy.ndimage
    import skimage.filters
    import wand.image  # noqa: F401 - says what is missing, if it is

    for name in ("torchvision", "torchvision.datasets", "torchvision.transforms"):
        sys.modules.setdefault(name, types.ModuleType(name))
    interpolation = types.ModuleType("scipy.ndimage.interpolation")
    interpolation.map_coordinates = scipy.ndimage.map_coordinates  # type: ignore[attr-defined]
    sys.modules["scipy.ndimage.interpolation"] = interpolation
    np.float_ = np.float64  # type: ignore[attr-defined]
    np.fromstring = np.frombuffer  # type: ignore[assignment]
    now = skimage.filters.gaussian

    def gaussian(image: np.ndarray, sigma: float, multichannel: bool = False, **options: Any) -> np.ndarray:
        return now(image, sigma, channel_axis=-1 if multichannel else None, **options)

    code = (checkout / CODE / "make_cifar_c.py").read_text().split("# /////////////// End Distortions")[0]
    names: dict[str, Any] = {}
    os.chdir(checkout / CODE)  # where it looks for its photographs
    exec(compile(code, "make_cifar_c.py", "exec"), names)
    names["gaussian"] = gaussian
    return names


if __name__ == "__main__":
    main()
