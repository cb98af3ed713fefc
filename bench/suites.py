"""The suites of AutoAttack on somebody else's network: robust accuracy, forward passes and time of each.

    python bench/suites.py --model FILE.onnx --data mnist --eps 0.05 [--norm linf] [--n 100] [--data-root PATH]
        [--weights FILE.safetensors] [--suites quick lean full]

MODEL is what ``surefooted audit`` takes: an ONNX or .pt2 file, or MODULE:FUNCTION with ``--weights``.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import torch
from timing import environment

from surefooted.attacks import autoattack
from surefooted.components.spec import build
from surefooted.data.paths import set_data_root
from surefooted.models.external import ExternalModel


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", default="mnist")
    parser.add_argument("--data-root", type=Path)
    parser.add_argument("--norm", default="linf")
    parser.add_argument("--eps", type=float, required=True)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--suites", nargs="+", default=["quick", "lean", "full"])
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.data_root:
        set_data_root(options.data_root)
    points = build("data", options.data).test.points(slice(0, options.n))
    net = ExternalModel(options.model, tuple(points.x.shape[1:]), options.weights).load()
    print(f"{len(points.y)} images of {options.data}, {options.norm}, eps {options.eps:g}; {environment()}")
    for suite in options.suites:
        attack = autoattack(norm=options.norm, eps=options.eps, budget=suite)
        began = time.process_time()
        result = attack(net, points)
        took = time.process_time() - began
        robust = 100 * float((~result.found).float().mean())
        print(
            f"{suite:6} robust {robust:5.1f} %  passes {int(result.queries.sum()):>9,}  CPU {took:6.1f} s", flush=True
        )


if __name__ == "__main__":
    main()
