"""Pages to write: one with everything that a report can hold, and a small one."""

from __future__ import annotations

import atexit
import functools
import shutil
import tempfile
from pathlib import Path

import numpy as np

from surefooted.report import (
    Column,
    Figure,
    Finding,
    Interval,
    Page,
    Panel,
    Section,
    Spread,
    Table,
    figures,
    write_page,
)
from surefooted.report.images import perturbed_examples
from surefooted.report.points import trade_off_plot

METHODS = (
    "Vanilla", "LS", "AdaLS", "AR-AdaLS", "AR-AdaLS of Ensemble", "EntM", "PAT", "TRADES-EntM", "UTA-AT",
)  # fmt: skip
EPS = np.arange(0, 17, 2)
LEVELS = np.arange(1, 11)


def sample() -> Page:
    """A page with made-up but likely numbers: 9 methods, 10 levels, 3 seeds."""
    rng = np.random.default_rng(7)
    robust = dict(zip(METHODS, (0, 0.02, 0.01, 0.04, 0.06, 0.31, 0.45, 0.52, 0.40)))
    clean = dict(zip(METHODS, (0.931, 0.929, 0.932, 0.930, 0.946, 0.915, 0.862, 0.842, 0.889)))
    ece = dict(zip(METHODS, (0.041, 0.032, 0.021, 0.012, 0.009, 0.121, 0.082, 0.064, 0.028)))
    rows = tuple(
        {
            "method": name,
            "clean": Interval(clean[name], clean[name] - 0.006, clean[name] + 0.005, 10_000),
            "robust": Interval(robust[name], max(0, robust[name] - 0.01), robust[name] + 0.01, 1_000),
            "published": None if name in ("LS", "UTA-AT") else round(clean[name] + 0.004, 3),
            "ece": Spread(ece[name], ece[name] / 9, 3),
            "adversarial_ece": Spread(ece[name] * 3.1, ece[name] / 5, 3),
            "nll": float(ece[name] * 5 + 0.11),
            "variance": ece[name] * 0.09,
            "queries": 20 * (i + 1) ** 3,
            "stop": "found" if i % 2 else "worst",
        }
        for i, name in enumerate(METHODS)
    )
    caption = (
        "Made-up numbers. CIFAR-10 test set, n = 10,000 (robust: 1,000), 3 seeds. PGD-20, L∞, ε = 8/255, step 2/255, "
        "keep = found. Brackets: 95 % Wilson interval; ±: standard deviation over seeds."
    )
    main = Table(
        "main",
        "Accuracy and calibration, clean and under attack",
        (
            Column("method", "Method"),
            Column("clean", "Clean", "%", 1, "high", "Accuracy on the test set.", 100),
            Column("robust", "PGD-20", "%", 1, "high", "Accuracy where the attack found nothing.", 100),
            Column("published", "Published", "%", 1, scale=100, help="Clean accuracy that the paper prints."),
            Column("ece", "ECE", digits=3, best="low", help="15 equal-width bins, (lo, hi]."),
            Column("adversarial_ece", "ECE, PGD-20", digits=3, best="low"),
            Column("nll", "NLL", "nats", 3, "low"),
            Column("variance", "Variance", "×10⁻²", 2, "low", scale=100),
            Column("queries", "Queries"),
            Column("stop", "Keep"),
        ),
        rows,
        caption,
    )
    small = Table(
        "checks",
        "Checks of the evaluation",
        (Column("check", "Check"), Column("passed", "Passed"), Column("worst", "Worst", digits=4)),
        (
            {"check": "More steps find no more", "passed": True, "worst": 0.0021},
            {"check": "Black box finds less than white box", "passed": True, "worst": -0.013},
            {"check": "A large ε breaks every point", "passed": False, "worst": float("inf")},
            {"check": "Attack leaves no trace", "passed": True},
        ),
        "Flags of evaluations that cannot be trusted.",
    )

    def line(x, y, width):
        return figures.Line(x, y, np.clip(y - width, 0, 1), np.clip(y + width, 0, 1))

    under_attack = {m: line(EPS, clean[m] * np.exp(-((EPS / (2 + 22 * robust[m])) ** 1.5)), 0.012) for m in METHODS}
    bins = np.linspace(0.15, 0.97, 12)

    def reliability(name):
        count = np.rint(np.exp(4 * bins) * 20)
        bent = bins - 4 * ece[name] * bins * (1.15 - bins) * 2
        return figures.ReliabilityBins(bins, np.clip(bent + rng.normal(0, 0.01, 12), 0, 1), count)

    curves = {name: reliability(name) for name in ("Vanilla", "AR-AdaLS", "EntM")}

    def levels(name):
        accuracy = np.clip(clean[name] - 0.35 * np.exp(-(LEVELS - 1) / 1.6), 0, 1)
        confidence = np.clip(accuracy + ece[name] * 5 * np.exp(-(LEVELS - 1) / 2.5), 0, 1)
        return line(LEVELS, accuracy, 0.012), line(LEVELS, confidence, 0.008), line(LEVELS, confidence - accuracy, 0.01)

    def level_panel(*methods, title=""):
        triples = {name: levels(name) for name in methods}
        parts = [{name: triple[i] for name, triple in triples.items()} for i in range(3)]
        return Panel(lambda ax: figures.level_curves(ax, *parts, names=METHODS), title, (4.8, 4.6))

    epochs = np.arange(1, 201)
    labels = np.array([1 - 0.32 * np.exp(-r / 2.2) * (1 - np.exp(-epochs / 45)) for r in range(10)])
    grid = np.add.outer(np.arange(8), np.arange(8))
    digits = np.stack([(grid * (k + 1) % 9) / 8 for k in range(3)])
    colour = np.stack([digits, digits[:, ::-1], digits[:, :, ::-1]], -1)
    noise = 0.03 * np.sign(rng.normal(size=colour.shape))
    sizes = {m: rng.gamma(2.5, 0.05 + 0.5 * robust[m], 2_000) for m in METHODS}
    points = {m: (row["clean"], Interval(ece[m], ece[m] * 0.9, ece[m] * 1.1)) for m, row in zip(METHODS, rows)}
    plots = Section(
        "Figures",
        "",
        (
            Figure(
                "accuracy-eps",
                "Accuracy over the size of the perturbation",
                (
                    Panel(
                        lambda ax: figures.accuracy_curves(ax, under_attack, names=METHODS, xlabel="ε (1/255)"),
                        "PGD-20",
                    ),
                    Panel(
                        lambda ax: figures.size_distribution(ax, sizes, names=METHODS, right=1.5),
                        "Smallest perturbation",
                    ),
                ),
                caption,
                "Accuracy falls with ε for every method, slowest for TRADES-EntM.",
            ),
            Figure(
                "trade-off",
                "Accuracy against calibration",
                (
                    Panel(
                        lambda ax: trade_off_plot(
                            ax, points, names=METHODS, xlabel="Clean accuracy", better="lower right"
                        ),
                        "",
                        (4.8, 3.8),
                    ),
                ),
                caption,
                "AR-AdaLS of Ensemble is best in both.",
            ),
            Figure(
                "levels",
                "Accuracy, confidence and ECE over robustness levels",
                (
                    level_panel("Vanilla", title="Vanilla"),
                    level_panel("Vanilla", "AR-AdaLS", "EntM", title="Three methods"),
                ),
                "Bands: lowest and highest of 3 seeds. " + caption,
                "The least robust level is the least calibrated.",
            ),
            Figure(
                "reliability",
                "Reliability",
                tuple(
                    Panel(functools.partial(figures.reliability_diagram, curves={m: c}, names=METHODS), m, (3.4, 4))
                    for m, c in curves.items()
                ),
                caption,
                "EntM is underconfident.",
            ),
            Figure(
                "soft-labels",
                "Soft labels in training",
                Panel(lambda ax: figures.soft_label_curves(ax, epochs, labels)),
                "AR-AdaLS, α = 0.005.",
                "Soft labels of the least robust level fall the most.",
            ),
            Figure(
                "examples",
                "Perturbed examples",
                tuple(
                    Panel(
                        functools.partial(
                            perturbed_examples,
                            clean=images[k : k + 1],
                            perturbed=(images + shift)[k : k + 1].clip(0, 1),
                            captions=[(f"{k + 3} (98 %)", f"{k + 5} (71 %)")],
                        ),
                        "",
                        (3.6, 1.5),
                    )
                    for images, shift in ((digits, noise[..., 0]), (colour, noise))
                    for k in range(3)
                ),
                "Class and confidence under each image.",
                "Six images before and after.",
            ),
        ),
    )
    return Page(
        "Do robust classifiers know what they do not know?",
        "A comparison of nine training methods on CIFAR-10; made-up numbers for a test of the page.",
        (
            Finding(
                "Adaptive smoothing by robustness level halves ECE.", "holds", "0.041 → 0.012, 3 of 3 seeds.", "main"
            ),
            Finding(
                "Entropy maximisation alone is robust to PGD with many steps.", "does not hold", "31 % → 4 %.", "main"
            ),
            Finding("UTA-AT trades less clean accuracy than PAT.", "unclear", "Intervals overlap.", "accuracy-eps"),
        ),
        (
            Section("Results", "All methods share net, data and budget.\n\nThe attack is white-box.", (main, small)),
            plots,
        ),
        {
            "version": "0.1.0",
            "commit": "0123abc",
            "data": {"cifar10": "sha256:12ab"},
            "seeds": [0, 1, 2],
            "device": "CPU",
        },
    )


def small() -> Page:
    """One table and one figure of each way of placing labels."""
    rows = ({"method": "LS", "ece": Interval(0.1, 0.05, 0.2, 7)}, {"method": "PAT", "ece": None})
    table = Table("t", "T", (Column("method", "Method"), Column("ece", "ECE", best="low")), rows)
    lines = {"LS": figures.Line([0, 1, 2], [0.9, 0.5, 0.2]), "PAT": figures.Line([0, 1, 2], [0.8, 0.7, 0.2])}
    images = np.arange(16).reshape(1, 4, 4) / 15
    panels = (
        Panel(lambda ax: figures.accuracy_curves(ax, lines), "Lines", series=lines),
        Panel(lambda ax: trade_off_plot(ax, {"LS": (0.9, 0.1), "PAT": (0.91, 0.11)}), "Points"),
        Panel(lambda ax: perturbed_examples(ax, images, 1 - images, [("3", "5")]), "Images", (3.6, 1.5)),
    )
    return Page("Small", sections=(Section("S", items=(table, Figure("f", "F", panels))),), provenance={"seeds": [0]})


@functools.cache
def written() -> Path:
    folder = tempfile.mkdtemp(prefix="report-")
    atexit.register(shutil.rmtree, folder)  # shared by the test files, so no fixture of one of them owns it
    return write_page(sample(), folder)
