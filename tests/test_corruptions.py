"""Laws of all corruptions, each type against an independent implementation, published types against the originals."""

import io
import json
from colorsys import hsv_to_rgb, rgb_to_hsv
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.ndimage
import scipy.stats
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from synthetic import blocks

from surefooted.components.spec import build, complete, names
from surefooted.core.rng import Noise
from surefooted.data import corruptions
from surefooted.data.corruptions import base, blurs, elastic, filters, glass, motion, noises, weather
from surefooted.errors import InputError

ORIGINAL = json.loads((Path(__file__).parent / "data" / "corruptions.json").read_text())
ALL = corruptions.__all__
PUBLISHED = list(ORIGINAL["change"])  # those for which there are numbers of the authors
DEFAULTS = {name: getattr(corruptions, name)() for name in ALL}
MONOTONE = [name for name in ALL if DEFAULTS[name].monotone]
SHAPES = [(3, 32, 32), (3, 21, 34), (1, 28, 28), (1, 8, 9), (3, 66, 72)]


def make(name, severity=3, **options):
    return getattr(corruptions, name)(severity=severity, **options)


def numbered(constants):
    return list(enumerate(constants, 1))


def cases():
    return [(n, s) for n in ALL for s in SHAPES if s[0] == 3 or not DEFAULTS[n].colour_only]


@pytest.mark.parametrize(("name", "shape"), cases())
def test_images_of_any_shape_stay_images(name, shape):
    x, rows = blocks(4, *shape)
    before = x.clone()
    for severity in (1, 2, 5):
        new = make(name, severity)(x, rows)
        assert new.shape == x.shape and new.dtype == x.dtype and new.device == x.device
        assert torch.equal((new * 255).round() / 255, new) and new.min() >= 0 and new.max() <= 1
        assert torch.equal(x, before)
        assert not torch.equal(new, x)
    fine = make(name, quantise=False)(x.double(), rows)
    assert fine.dtype == torch.float64 and fine.min() >= 0 and fine.max() <= 1
    assert (fine - make(name)(x.double(), rows)).abs().max() < (1 + 1e-3) / 255


@pytest.mark.parametrize("name", ALL)
def test_same_seed_same_bits_another_seed_another_picture(name):
    x, rows = blocks(6)
    first = make(name)(x, rows, seed=5)
    assert torch.equal(first, make(name)(x, rows, seed=5))
    assert torch.equal(first, make(name)(x, rows, seed=6)) != DEFAULTS[name].random
    same, others = x[:1].expand(6, -1, -1, -1), rows + 100
    assert (len(make(name)(same, others).unique(dim=0)) > 1) == DEFAULTS[name].random


@pytest.mark.parametrize("name", ALL)
@settings(max_examples=4, deadline=None)
@given(part=st.lists(st.integers(0, 40), min_size=1, max_size=9), severity=st.integers(1, 5))
def test_a_row_does_not_depend_on_its_batch(name, part, severity):
    x, rows = blocks(41, 3, 16, 20)
    whole = make(name, severity)(x, rows, seed=1)
    assert torch.equal(whole[part], make(name, severity)(x[part], rows[part], seed=1))


@pytest.mark.parametrize("name", ALL)
def test_results_do_not_depend_on_the_chunks_of_a_batch(name, monkeypatch):
    x, rows = blocks(7, 3, 16, 20)
    whole = make(name, 5)(x, rows)
    monkeypatch.setattr(base, "CPU_CHUNK", 2 * x[0].numel())
    assert torch.equal(whole, make(name, 5)(x, rows))
    assert make(name)(x[:0], rows[:0]).shape == (0, 3, 16, 20)


@pytest.mark.parametrize("name", MONOTONE)
def test_severity_5_changes_more_than_severity_1(name):
    x, rows = blocks(24)
    # ImageNet-C's frost darkens more where it whitens more, and its boxes are larger than details of small images.
    for scale in ("cifar", "imagenet") if name not in ("frost", "pixelate") else ("cifar",):
        weak, strong = ((make(name, s, scale=scale)(x, rows) - x).abs().mean() for s in (1, 5))
        assert strong > 1.05 * weak


@pytest.mark.parametrize("name", ALL)
def test_large_images_have_the_constants_of_imagenet_c(name):
    x, rows = blocks(2, 3, 72, 65)
    assert torch.equal(make(name)(x, rows), make(name, scale="imagenet")(x, rows))
    x, rows = blocks(2, 3, 64, 33)
    assert torch.equal(make(name)(x, rows), make(name, scale="cifar")(x, rows))


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("x", "rows", "message"),
    [
        (torch.zeros(2, 4, 16, 16), torch.arange(2), "4 channels; expected 1"),
        (torch.zeros(3, 16, 16), torch.arange(3), r"x\[None\]"),
        (torch.zeros(2, 3, 7, 16), torch.arange(2), "7×16 pixels"),
        (torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.arange(2), "Divide uint8 by 255"),
        (torch.full((2, 3, 16, 16), 255.0), torch.arange(2), "divide by 255"),
        (torch.full((2, 3, 16, 16), float("nan")), torch.arange(2), "not from 0 to 1"),
        (torch.zeros(2, 3, 16, 16), torch.arange(3), r"`rows` is torch.int64 of shape \(3,\) for 2 images"),
        (torch.zeros(2, 3, 16, 16), torch.zeros(2), "`rows` is torch.float32"),
    ],
)
def test_inputs_that_are_not_images_are_refused(name, x, rows, message):
    # The checks of annotations run in tests only, and first; users have this one.
    with pytest.raises(InputError, match=message):
        make(name)._check(x, rows)


def test_options_are_checked_and_written_into_the_spec():
    assert sorted(ALL) == names("corruption") and len(set(ALL)) == len(ALL)
    for name in ALL:
        spec = complete("corruption", {name: {"severity": 4}})
        assert spec[name]["severity"] == 4 and build("corruption", spec).spec.json() == spec
    for options, message in (
        ({"severity": 6}, "severity = 6"),
        ({"scale": "mnist"}, "scale"),
        ({"sigma": 1}, "'sigma'"),
    ):
        with pytest.raises(InputError, match=message):
            corruptions.fog(**options)


@pytest.mark.parametrize("name", [name for name in ALL if DEFAULTS[name].colour_only])
def test_grey_images_are_refused_by_types_that_change_colours(name):
    with pytest.raises(InputError, match=f"{name} changes colours, but the images are grey"):
        make(name)(*blocks(2, 1))


def test_the_published_types_are_there():
    assert set(PUBLISHED) == set(IMAGENET) and set(PUBLISHED) <= set(ALL)


def test_types_and_severities_draw_for_themselves():
    assert len({made.stream for made in DEFAULTS.values()}) == len(ALL)
    x, rows = torch.full((1, 1, 40, 40), 0.5), torch.arange(1)
    seen = [make("gaussian_noise", s, quantise=False)(x, rows).sub(0.5).flatten() for s in range(1, 6)]
    seen.append(make("speckle_noise", 5, quantise=False)(x, rows).sub(0.5).flatten())
    assert (torch.corrcoef(torch.stack(seen)) - torch.eye(6)).abs().max() < 0.1


# What the authors' code has for large images, by severity (ImageNet-C/create_c/make_imagenet_c.py).
IMAGENET = {
    "gaussian_noise": (0.08, 0.12, 0.18, 0.26, 0.38),
    "shot_noise": (60, 25, 12, 5, 3),
    "impulse_noise": (0.03, 0.06, 0.09, 0.17, 0.27),
    "speckle_noise": (0.15, 0.2, 0.35, 0.45, 0.6),
    "gaussian_blur": (1, 2, 3, 4, 6),
    "glass_blur": ((0.7, 1, 2), (0.9, 2, 1), (1, 2, 3), (1.1, 3, 2), (1.5, 4, 2)),
    "defocus_blur": ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    "motion_blur": ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    "zoom_blur": ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    "fog": ((1.5, 2), (2, 2), (2.5, 1.7), (2.5, 1.5), (3, 1.4)),
    "frost": ((1, 0.4), (0.8, 0.6), (0.7, 0.7), (0.65, 0.7), (0.6, 0.75)),
    "snow": (
        (0.1, 0.3, 3, 0.5, 10, 4, 0.8),
        (0.2, 0.3, 2, 0.5, 12, 4, 0.7),
        (0.55, 0.3, 4, 0.9, 12, 8, 0.7),
        (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
        (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
    ),
    "spatter": (
        (0.65, 0.3, 4, 0.69, 0.6),
        (0.65, 0.3, 3, 0.68, 0.6),
        (0.65, 0.3, 2, 0.68, 0.5),
        (0.65, 0.3, 1, 0.65, 1.5),
        (0.67, 0.4, 1, 0.65, 1.5),
    ),
    "contrast": (0.4, 0.3, 0.2, 0.1, 0.05),
    "brightness": (0.1, 0.2, 0.3, 0.4, 0.5),
    "saturate": ((0.3, 0), (0.1, 0), (2, 0), (5, 0.1), (20, 0.2)),
    "jpeg_compression": (25, 18, 15, 10, 7),
    "pixelate": (0.6, 0.5, 0.4, 0.3, 0.25),
    # Of 244 pixels there, of the side here, which is 224.
    "elastic_transform": tuple(
        tuple(share * 244 / 224 for share in one)
        for one in ((2, 0.7, 0.1), (2, 0.08, 0.2), (0.05, 0.01, 0.02), (0.07, 0.01, 0.02), (0.12, 0.01, 0.02))
    ),
}


ELASTIC = ((0, 0, 0.08), (0.05, 0.2, 0.07), (0.08, 0.06, 0.06), (0.1, 0.04, 0.05), (0.1, 0.03, 0.03))  # small images


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_constants_of_large_images_are_the_authors(name):
    for severity, theirs in enumerate(IMAGENET[name], 1):
        ours = np.atleast_1d(DEFAULTS[name].imagenet[severity - 1])
        theirs = np.atleast_1d(theirs)
        assert ours[: len(theirs)] == pytest.approx(theirs) and len(ours) <= len(theirs) + 1


# The original's numbers ------------------------------------------------------------------------------------------


@cache
def images():
    return blocks(ORIGINAL["images"])


@pytest.mark.parametrize("name", PUBLISHED)
def test_mean_change_is_the_original_generators(name):
    x, rows = images()
    for severity, (theirs, spread) in enumerate(ORIGINAL["change"][name], 1):
        ours = (make(name, severity)(x, rows) - x).abs().mean().item() * 255
        # Three standard errors of ours and theirs; what draws nothing must agree to truncation of exact levels.
        noise = 3 * spread * (2 / len(x)) ** 0.5
        within = (0.1 if name == "frost" else 0.03) * theirs + noise if DEFAULTS[name].random else 0.02 * theirs
        assert abs(ours - theirs) < within, (severity, ours, theirs)


# Independent implementations -------------------------------------------------------------------------------------


def compared(name, severity, expected, most=1, share=0.01):
    """Compare a type with an expected image: equal within ``most`` levels, and unequal in at most a share of pixels."""
    x, rows = blocks(5, 3, 32, 32)
    got = (make(name, severity)(x, rows) * 255).round().permute(0, 2, 3, 1).numpy()
    levels = (x * 255).round().permute(0, 2, 3, 1).numpy().astype(np.float64)
    for image, new in zip(levels, got):
        off = np.abs(new - np.floor(np.clip(expected(image), 0, 255)))
        assert off.max() <= most and (off > 0).mean() <= share


@pytest.mark.parametrize(("severity", "sigma"), numbered((0.4, 0.6, 0.7, 0.8, 1)))
def test_gaussian_blur_against_scipy(severity, sigma):
    compared(
        "gaussian_blur",
        severity,
        lambda x: scipy.ndimage.gaussian_filter(x, (sigma, sigma, 0), mode="nearest"),
        share=0.02,
    )


@pytest.mark.parametrize(("severity", "stop"), numbered((1.06, 1.11, 1.16, 1.21, 1.26)))
def test_zoom_blur_against_scipy(severity, stop):
    def zoom(image):
        parts = [image]
        for factor in np.arange(1, stop, 0.01):
            side = int(np.ceil(32 / factor))
            top = (32 - side) // 2
            part = scipy.ndimage.zoom(image[top : top + side, top : top + side], (factor, factor, 1), order=1)
            trim = (len(part) - 32) // 2
            parts.append(part[trim : trim + 32, trim : trim + 32])
        return np.mean(parts, 0)

    compared("zoom_blur", severity, zoom)


@pytest.mark.parametrize(("severity", "constant"), numbered(((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1, 0.2), (1.5, 0.1))))
def test_defocus_blur_against_scipy(severity, constant):
    radius, sigma = constant
    at = np.arange(-8, 9)
    inside = (at[:, None] ** 2 + at**2 <= radius**2).astype(float)
    bell = np.exp(-0.5 * (np.arange(-1, 2) / sigma) ** 2)
    bell = np.outer(bell, bell) / bell.sum() ** 2
    kernel = scipy.ndimage.correlate(inside / inside.sum(), bell, mode="mirror")
    # Of four and eight equal neighbours many sums are whole; there rounding decides what truncation leaves.
    share = 0.01 if severity < 4 else 0.3
    compared("defocus_blur", severity, lambda x: scipy.ndimage.correlate(x, kernel[..., None], mode="mirror"), 1, share)


@pytest.mark.parametrize("shape", [(17, 17), (8, 23)])
def test_wide_filters_mirror_more_than_once(shape):
    x = torch.rand(2, *shape, dtype=torch.float64).mul(255).round()
    for radius, sigma in ((8, 0.5), (10, 0.5)):
        kernel = blurs.disk_kernel(radius, sigma)
        expected = np.stack([scipy.ndimage.correlate(i, kernel, mode="mirror") for i in x.numpy()])
        np.testing.assert_allclose(filters.correlate(x, kernel), expected, atol=1e-9)
    expected = np.stack([scipy.ndimage.gaussian_filter(i, 40, mode="reflect", truncate=3) for i in x.numpy()])
    np.testing.assert_allclose(filters.gaussian_filter(x, 40, truncate=3, edge="reflect"), expected, atol=0.02)


@pytest.mark.parametrize(("severity", "more"), numbered((0.05, 0.1, 0.15, 0.2, 0.3)))
def test_brightness_against_colorsys(severity, more):
    def brighter(image):
        hsv = [rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3) / 255]
        return 255 * np.array([hsv_to_rgb(h, s, min(1, v + more)) for h, s, v in hsv]).reshape(image.shape)

    compared("brightness", severity, brighter, share=0.4)


@pytest.mark.parametrize(("severity", "constant"), numbered(((0.3, 0), (0.1, 0), (1.5, 0), (2, 0.1), (2.5, 0.2))))
def test_saturate_against_colorsys(severity, constant):
    def stronger(image):
        hsv = [rgb_to_hsv(*pixel) for pixel in image.reshape(-1, 3) / 255]
        new = [hsv_to_rgb(h, min(1, s * constant[0] + constant[1]), v) for h, s, v in hsv]
        return 255 * np.array(new).reshape(image.shape)

    compared("saturate", severity, stronger, share=0.3)


@pytest.mark.parametrize(("severity", "constant"), numbered(ELASTIC))
def test_the_whole_of_elastic_transform_against_scipy(severity, constant):
    """The same draws, with the affine map from a linear system, and fields blurred and interpolated by scipy."""
    x, rows = blocks(5, 3, 32, 32)
    made = make("elastic_transform", severity)
    strength, smooth, reach = (32 * share for share in constant)
    old = np.array([(16 + 10 * v, 16 + 10 * h) for v, h in ((1, 1), (-1, 1), (-1, -1))], float)
    y, z = np.mgrid[:32, :32].astype(float)
    for row, image, got in zip(rows, x, (made(x, rows) * 255).round().numpy()):
        noise = Noise(0, row[None], base.STEPS_PER_SEVERITY * severity, base.FIRST_STREAM + made.stream)
        moved = old + reach * (2 * noise.uniform(3, 2)[0].double().numpy() - 1)
        back = np.linalg.solve(np.c_[moved, np.ones(3)], old)
        first = [back[0, k] * y + back[1, k] * z + back[2, k] for k in (0, 1)]
        fields = 2 * noise.at(noise.step + 1).uniform(2, 32, 32)[0].double().numpy() - 1
        down, right = (strength * scipy.ndimage.gaussian_filter(f, smooth, mode="reflect", truncate=3) for f in fields)
        for channel, new in zip((image * 255).round().double().numpy(), got):
            turned = scipy.ndimage.map_coordinates(channel, first, order=1, mode="mirror")
            there = scipy.ndimage.map_coordinates(turned, [y + down, z + right], order=1, mode="reflect")
            off = np.abs(new - np.floor(there.clip(0, 255) + 1e-6))
            assert off.max() <= 1 and (off > 0).mean() < 0.03


def test_saturation_of_greys_is_red():
    x = torch.full((1, 3, 8, 8), 100 / 255)
    assert (make("saturate", 5)(x, torch.arange(1)) * 255).round()[0, :, 0, 0].tolist() == [100, 80, 80]


@pytest.mark.parametrize(("severity", "side"), numbered((30, 28, 27, 24, 20)))
def test_pixelate_against_pillow(severity, side):
    def resized(image):
        small = Image.fromarray(image.astype(np.uint8)).resize((side, side), Image.Resampling.BOX)
        return np.asarray(small.resize((32, 32), Image.Resampling.BOX)).astype(float)

    compared("pixelate", severity, resized, most=0)


@pytest.mark.parametrize(("severity", "quality"), numbered((80, 65, 58, 50, 40)))
def test_jpeg_against_pillow(severity, quality):
    def written(image):
        buffer = io.BytesIO()
        Image.fromarray(image.astype(np.uint8)).save(buffer, "JPEG", quality=quality)
        return np.asarray(Image.open(buffer)).astype(float)

    compared("jpeg_compression", severity, written, most=0)


@pytest.mark.parametrize("reach", [1, 2, 4])
def test_glass_against_a_loop_over_the_pixels(reach):
    height, width = 19, 23
    noise = Noise(3, torch.arange(4))
    drawn = (noise.uniform(height, width) * (2 * reach) ** 2).long().numpy()
    for image, found in zip(drawn, glass.copy_sources(height, width, reach, noise).numpy()):
        value = np.arange(height * width).reshape(height, width)
        for y in range(height - reach, reach, -1):
            for x in range(width - reach, reach, -1):
                down, right = divmod(int(image[y, x]), 2 * reach)
                value[y, x] = value[y + down - reach, x + right - reach]
        assert np.array_equal(found, value.flatten())


@pytest.mark.parametrize(("radius", "sigma"), [(6, 1), (9, 2.5), (14, 12)])
def test_motion_against_a_loop_over_the_line(radius, sigma):
    x = torch.rand(6, 3, 12, 17, dtype=torch.float64).mul(255).round()
    angle = torch.linspace(-np.pi, np.pi, 6, dtype=torch.float64) * 0.97
    weights = np.exp(-(np.arange(2 * radius + 1) ** 2) / (2 * sigma**2))
    for image, turned, got in zip(x.numpy(), angle.tolist(), motion.motion_filter(x, angle, radius, sigma).numpy()):
        total = 0
        for i, weight in enumerate(weights / weights.sum()):
            down, right = (int(np.ceil(i * f(turned) - 0.5)) for f in (np.sin, np.cos))
            padded = np.pad(image, ((0, 0), (40, 40), (40, 40)), mode="edge")
            total = total + weight * padded[:, 40 + down : 52 + down, 40 + right : 57 + right]
        assert np.abs(got - np.floor(total + 1 / 514)).max() <= 1
        assert (got != np.floor(total + 1 / 514)).mean() < 0.01


def test_elastic_sampling_against_scipy():
    x = torch.rand(3, 1, 15, 22, dtype=torch.float64).mul(255).round()
    y, z = (torch.rand(3, 15, 22, dtype=torch.float64) * 90 - 30 for _ in range(2))
    for border, mode in (("centres", "mirror"), ("edges", "reflect")):
        got = elastic.sample_bilinear(x, y, z, reflect_about=border)
        for image, a, b, new in zip(x[:, 0].numpy(), y.numpy(), z.numpy(), got[:, 0].numpy()):
            expected = scipy.ndimage.map_coordinates(image, (a, b), order=1, mode=mode)
            np.testing.assert_allclose(new, expected, atol=5e-3)


def test_an_affine_map_of_points_that_stay_is_the_identity():
    y, x = elastic.random_affine(11, 16, 0.0, Noise(0, torch.arange(2)))
    assert torch.allclose(y[0], torch.arange(11.0).double()[:, None].expand(11, 16))
    assert torch.allclose(x[1], torch.arange(16.0).double().expand(11, 16))


def test_poisson_against_scipy():
    level, rate, n = 130, 25, 40_000
    x = torch.full((1, 1, n // 8, 8), float(level), dtype=torch.float64)
    counts = noises.poisson_counts(x, Noise(1, torch.arange(1)), rate).flatten().long()
    most = int(counts.max())
    expected = n * scipy.stats.poisson.pmf(np.arange(most + 1), rate * level / 255)
    seen = torch.bincount(counts).numpy()
    large = expected > 5
    statistic = ((seen - expected) ** 2 / expected)[large].sum()
    assert statistic < scipy.stats.chi2.ppf(0.999, large.sum())
    assert noises.poisson_counts(torch.zeros_like(x), Noise(1, torch.arange(1)), rate).max() == 0


@pytest.mark.parametrize("rate", [3, 75, 500])
def test_poisson_is_the_inverse_of_the_distribution_even_in_the_tails(rate):
    x = torch.arange(256, dtype=torch.float64)[None, None, :, None].expand(1, 1, 256, 64).contiguous()
    noise = Noise(4, torch.arange(1))
    u = noise.uniform(1, 256, 64).double().numpy()
    expected = scipy.stats.poisson.ppf(np.maximum(u, 1e-12), rate * x.numpy() / 255)
    assert (noises.poisson_counts(x, noise, rate).numpy() != np.maximum(expected, 0)).mean() < 1e-3


def test_plasma_spans_0_to_1_and_gets_rougher_with_less_decay():
    noise = Noise(0, torch.arange(50))
    smooth, rough = weather.plasma_fractal(noise, 30, 3), weather.plasma_fractal(noise, 30, 1.75)
    for land in (smooth, rough):
        assert land.shape == (50, 32, 32)
        assert torch.equal(land.amin((1, 2)), torch.zeros(50)) and torch.equal(land.amax((1, 2)), torch.ones(50))
    assert rough.diff().abs().mean() > 1.2 * smooth.diff().abs().mean()


def test_frost_is_cut_out_of_photographs_where_there_are_any(tmp_path):
    for number, shade in enumerate((90, 180)):
        Image.new("RGB", (200, 170), (shade, shade, shade)).save(tmp_path / f"{number}.png")
    x, rows = torch.zeros(40, 3, 32, 32), torch.arange(40)
    frosted = make("frost", 5, photographs=tmp_path)
    assert frosted(x, rows)[:, 0, 0, 0].mul(255).round().unique().tolist() == [40, 81]
    with pytest.raises(InputError, match="too small to crop 36×36"):
        frosted(torch.zeros(1, 3, 36, 36), torch.arange(1))
    (tmp_path / "none").mkdir()
    for place, message in ((tmp_path / "none", "has no photographs"), (tmp_path / "nowhere", "There is no")):
        with pytest.raises(InputError, match=message):
            make("frost", photographs=place)
