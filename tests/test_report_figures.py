"""Figures: one colour a method, told apart by every eye on white and on black; labels that cover nothing."""

from __future__ import annotations

import base64
import io
import itertools
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.figure import Figure as Canvas
from pages import METHODS, sample
from PIL import Image

from surefooted.errors import InputError
from surefooted.report import Figure, Interval, Panel, figures, labels, style, svg
from surefooted.report.images import perturbed_examples
from surefooted.report.points import trade_off_plot

PANELS = {
    f"{item.name}-{number}": panel
    for item in sample().items
    if isinstance(item, Figure)
    for number, panel in enumerate(item.panels)
}
# Machado, Oliveira and Fernandes 2009, severity 1, in linear RGB.
SIGHT = {
    "normal": np.eye(3),
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
}
BLACK = "#15171a"  # the page's paper in the dark


def luminance(colour: str) -> float:
    return float(style.to_linear_rgb(style.to_rgb(colour)) @ [0.2126, 0.7152, 0.0722])


def contrast(a: str, b: str) -> float:
    low, high = sorted((luminance(a), luminance(b)))
    return (high + 0.05) / (low + 0.05)


def lab(colour: str, sight: str = "normal") -> np.ndarray:
    seen = (style.to_linear_rgb(style.to_rgb(colour)) @ np.array(SIGHT[sight]).T).clip(0, 1)
    return np.cbrt(seen @ style.RGB_TO_LMS.T) @ style.LMS_TO_OKLAB.T


def canvas_of(panel: Panel) -> Canvas:
    with rc_context(dict(style.RC_PARAMS)):
        canvas = Canvas(figsize=panel.size, layout="constrained")
        panel.draw(canvas.subplots())
        canvas.draw_without_rendering()
    return canvas


def texts_of(canvas: Canvas) -> list:
    beyond = [
        label
        for ax in canvas.axes
        for axis in (ax.xaxis, ax.yaxis)
        for tick in axis.get_major_ticks()
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    ]
    texts = canvas.findobj(lambda artist: hasattr(artist, "get_text"))
    return [text for text in texts if text.get_visible() and text.get_text() and text not in beyond]


@pytest.mark.parametrize("colour", [*style.PALETTE, *style.ordinal_colours(10), style.MUTED])
def test_colours_stand_out_on_white_and_on_black(colour):
    assert contrast(colour, "#ffffff") >= 3
    assert contrast(style.dark_variant(colour), BLACK) >= 3


@pytest.mark.parametrize("sight", SIGHT)
@pytest.mark.parametrize("ground", ["white", "black"])
def test_any_two_colours_differ_for_every_eye(sight, ground):
    seen = [lab(style.dark_variant(c) if ground == "black" else c, sight) for c in style.PALETTE]
    apart = [np.linalg.norm(a - b) for i, a in enumerate(seen) for b in seen[:i]]
    assert min(apart) >= (0.12 if sight == "normal" else 0.045)


@pytest.mark.parametrize("n", [1, 2, 10, 20])
def test_levels_go_from_dark_to_light_on_both_grounds(n):
    colours = style.ordinal_colours(n)
    assert len(set(colours)) == n
    for shades in (colours, [style.dark_variant(c) for c in colours]):
        lightness = [lab(c)[0] for c in shades]
        assert lightness == sorted(lightness)


def test_a_dark_colour_keeps_its_hue():
    for colour in style.PALETTE:
        a, b = lab(colour)[1:], lab(style.dark_variant(colour))[1:]
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.95


def test_a_method_has_one_colour_in_every_figure():
    def lines(panel):
        (ax, *_) = canvas_of(panel).axes
        return {line.get_color() for line in ax.get_lines()} | {p.get_facecolor() for p in ax.patches}

    assert figures.colour_of("PAT", METHODS) in lines(PANELS["accuracy-eps-0"])
    assert figures.colour_of("AR-AdaLS", METHODS) in lines(PANELS["reliability-1"])
    assert figures.colour_of("AR-AdaLS", METHODS) in lines(PANELS["levels-1"])
    many = [str(i) for i in range(40)]
    looks = {(figures.colour_of(name, many), figures.marker_of(name, many)) for name in many}
    assert len(looks) == 40, "forty methods look different"
    with pytest.raises(InputError, match="Did you mean 'TRADES-EntM'"):
        figures.colour_of("TRADES-Ent", METHODS)


@pytest.mark.parametrize("name", PANELS)
def test_nothing_is_cut_off_and_no_label_lies_on_another(name):
    canvas = canvas_of(PANELS[name])
    texts = texts_of(canvas)
    assert texts
    boxes = np.array([text.get_window_extent().extents for text in texts])
    sheet = canvas.bbox.extents
    assert (boxes[:, :2] >= sheet[:2] - 1).all(), texts[int(boxes[:, :2].min(1).argmin())]
    assert (boxes[:, 2:] <= sheet[2:] + 1).all(), texts[int(boxes[:, 2:].max(1).argmax())]
    assert min(text.get_fontsize() for text in texts) >= 9, "on a phone a point is about a pixel"
    covered = np.triu(labels.overlap_areas(boxes, boxes), 1)
    assert covered.max() < 2, [texts[i] for i in np.unravel_index(covered.argmax(), covered.shape)]


@pytest.mark.parametrize("seed", range(4))
def test_names_of_points_cover_no_point_and_no_name(seed):
    rng = np.random.default_rng(seed)
    points = {name: tuple(rng.normal(size=2)) for name in METHODS}
    canvas = canvas_of(Panel(lambda ax: trade_off_plot(ax, points), size=(4.8, 3.8)))
    (ax,) = canvas.axes
    names = [text for text in ax.texts if text.get_text()]
    assert len(names) == len(points)
    boxes = np.array([text.get_window_extent().extents for text in names])
    middles = np.array([[*ax.transData.transform(at)] * 2 for at in points.values()])
    dots = np.add(middles, [-2, -2, 2, 2])
    frame = np.array([ax.get_window_extent().padded(1).extents])
    assert labels.overlap_areas(boxes, frame)[:, 0] == pytest.approx(labels.box_areas(boxes))
    assert labels.overlap_areas(boxes, dots).max() == 0
    assert np.triu(labels.overlap_areas(boxes, boxes), 1).max() == 0


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.1)), min_size=1, max_size=10))
@settings(max_examples=100, deadline=None)
def test_labels_keep_their_order_their_distance_and_the_axes(pairs):
    wanted, tall = zip(*pairs)
    heights = labels.space_labels(wanted, tall)
    order = np.argsort(wanted, kind="stable")
    for a, b in itertools.pairwise(order):
        assert heights[b] - heights[a] >= (tall[a] + tall[b]) / 2 - 1e-9
    assert min(heights) >= -1e-9
    assert max(heights) <= 1 + 1e-9


def test_labels_that_fit_stay_where_they_are_wanted():
    assert labels.space_labels([0.9, 0.1, 0.5], [0.1] * 3) == pytest.approx([0.9, 0.1, 0.5])
    assert labels.space_labels([0.5, 0.5], [0.1, 0.1]) == pytest.approx([0.45, 0.55])


@pytest.mark.parametrize("shape", [(2, 4, 5), (2, 4, 5, 3)])
def test_images_are_filed_pixel_for_pixel(shape):
    rng = np.random.default_rng(0)
    clean, shifted = rng.integers(0, 256, shape) / 255, rng.integers(0, 256, shape) / 255
    panel = Panel(lambda ax: perturbed_examples(ax, clean, shifted, [("3 (98 %)", "5 (71 %)")] * 2, amplify=2))
    drawing = svg.render_figure("f", [panel], ["F"], {})
    found = [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
             for data in re.findall(r"data:image/png;base64,([^\"]+)", drawing.inline[0])]  # fmt: skip
    assert len(found) == 6
    for image, values in ((found[0], clean[0]), (found[1], shifted[0]), (found[3], clean[1])):
        expected = np.rint(values * 255)
        expected = np.repeat(expected[..., None], 3, -1) if expected.ndim == 2 else expected
        assert any((turned == expected).all() for turned in (image, image[::-1]))
    middle = np.rint(np.clip(0.5 + 2 * (shifted[0] - clean[0]), 0, 1) * 255)
    middle = np.repeat(middle[..., None], 3, -1) if middle.ndim == 2 else middle
    assert any((turned == middle).all() for turned in (found[2], found[2][::-1]))
    assert "image-rendering" in drawing.inline[0]


def test_what_was_not_found_keeps_the_curve_below_one():
    sizes = {"PAT": [0.1, 0.2, np.inf, 0.4], "LS": np.full(500, np.inf)}
    canvas = canvas_of(Panel(lambda ax: figures.size_distribution(ax, sizes)))
    curve, none = canvas.axes[0].get_lines()[:2]
    assert curve.get_xdata() == pytest.approx([0, 0.1, 0.2, 0.4])
    assert curve.get_ydata() == pytest.approx([0, 0.25, 0.5, 0.75])
    assert none.get_ydata() == pytest.approx([0])


def test_reliability_of_several_curves_leaves_empty_bins_out():
    curve = figures.ReliabilityBins([0.2, np.nan, 0.9], [0.1, np.nan, 0.8], [5, 0, 15])
    canvas = canvas_of(Panel(lambda ax: figures.reliability_diagram(ax, {"LS": curve, "PAT": curve})))
    top, below = canvas.axes
    assert top.get_lines()[1].get_xdata() == pytest.approx([0.2, 0.9])
    assert below.get_lines()[0].get_ydata() == pytest.approx([0.25, 0.75])


def test_intervals_reach_from_low_to_high():
    # An interval may lie beside its value, and its bounds may be unknown.
    bars = {"LS": Interval(0.3, 0.2, 0.5), "PAT": Interval(0.3, 0.35, 0.5), "EntM": Interval(0.3, np.nan, np.nan)}
    points = {name: (bar, 0.1 * i) for i, (name, bar) in enumerate(bars.items())}
    (ax,) = canvas_of(Panel(lambda ax: trade_off_plot(ax, points))).axes
    assert [text.get_text() for text in ax.texts] == list(bars)
    across = [line.get_xdata() for line in ax.get_lines()][::3]  # each: across, up, the point itself
    assert [x for ends in across for x in ends] == pytest.approx([0.2, 0.5, 0.35, 0.5, 0.3, 0.3])
