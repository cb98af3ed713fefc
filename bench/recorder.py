"""Cost of a recorder: FGSM-AT of a LeNet alone, and with clean, FGSM and PGD-20 accuracy recorded.

    python bench/recorder.py [--net lenet] [--steps 400] [--every 200] [--images 256] [--repeats 3]

Random images, one thread. Images are dropped once PGD breaks them, so recording is cheaper while the network is easy to
break, as at the start of training. The last line is the upper limit: PGD continues on all images.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from importlib import import_module
from unittest.mock import patch

import torch
from timing import alternate, environment

from surefooted.attacks import pgd
from surefooted.data.images import Images, Splits
from surefooted.models.weights import seeded_network
from surefooted.training.loop import fit
from surefooted.training.methods import fgsm_at
from surefooted.training.recipes import recipe
from surefooted.training.recorders import Recorder, robustness

SHAPE, EPS = (1, 28, 28), 0.2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--net", default="lenet")
    for name, default in (("steps", 400), ("every", 200), ("images", 256), ("repeats", 3)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = random_splits(128 * options.steps, options.images)
    recorder = robustness(eps=EPS, steps=20, step_size=0.01, every=options.every, images=options.images)
    # keep="worst" drops no image.
    module = import_module("surefooted.training.recorders.robustness")  # by name: the package has the function
    with patch.object(module, "pgd", partial(pgd, keep="worst")):
        full_recorder = robustness(eps=EPS, steps=20, step_size=0.01, every=options.every, images=options.images)
    contenders = {"alone": train(options.net, data, None)}
    contenders |= {"recorded": train(options.net, data, recorder), "at most": train(options.net, data, full_recorder)}
    times = {name: t.cpu for name, t in alternate(contenders, options.repeats).items()}
    print(f"{environment()}; {options.steps} steps of 128, a record every {options.every}; seconds of CPU")
    for name, seconds in times.items():
        print(f"{name:10} {seconds:7.2f} s  {100 * (seconds / times['alone'] - 1):+.1f} %")


def train(net: str, data: Splits, recorder: Recorder | None) -> Callable[[], object]:
    def run() -> object:
        network = seeded_network(net, SHAPE, 10, 0)
        return fit(fgsm_at(eps=EPS), network, data, recipe(epochs=1), recorder=recorder)

    return run


def random_splits(count: int, recorded: int) -> Splits:
    generator = torch.Generator().manual_seed(0)

    def images(n: int, first: int) -> Images:
        x = torch.randint(0, 256, (n, *SHAPE), generator=generator, dtype=torch.uint8)
        y = x[:, 0, :14].float().mean((1, 2)).argsort().argsort() * 10 // n  # learnable: class by brightness
        return Images(x, y, torch.arange(first, first + n), 255.0, tuple("0123456789"))

    splits = partial(Splits, "random", "Random images", images(count, 0))
    return splits(images(0, count), images(recorded, count), "")


if __name__ == "__main__":
    main()
