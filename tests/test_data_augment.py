"""Augmentations against a loop over the images, with the same draws."""

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from surefooted.core.rng import Noise
from surefooted.core.types import Points
from surefooted.data import augment
from surefooted.errors import InputError

MADE = {name: getattr(augment, name)() for name in augment.__all__}


def points(n=16, shape=(3, 7, 9), seed=0):
    generator = torch.Generator().manual_seed(seed)
    x = torch.rand(n, *shape, generator=generator)
    return Points(x, torch.zeros(n).long(), torch.randperm(1000, generator=generator)[:n])


def keyed(p, step=0, seed=7, **options):
    return Noise(seed, p.rows, step, **options)


@pytest.mark.parametrize("name", MADE)
def test_same_noise_same_bits_and_another_epoch_another_picture(name):
    p = points()
    first = MADE[name](p, keyed(p))
    assert first.shape == p.x.shape and first.dtype == torch.float32
    assert torch.equal(first, MADE[name](p, keyed(p)))
    assert not torch.equal(first, MADE[name](p, keyed(p, step=1)))
    assert not torch.equal(first, MADE[name](p, keyed(p, seed=8)))


@pytest.mark.parametrize("name", MADE)
@settings(max_examples=20, deadline=None)
@given(rows=st.lists(st.integers(0, 15), min_size=1, max_size=10))
def test_a_row_does_not_depend_on_its_batch(name, rows):
    p = points()
    part = p.take(torch.tensor(rows))
    assert torch.equal(MADE[name](p, keyed(p))[rows], MADE[name](part, keyed(part)))


@pytest.mark.parametrize("name", MADE)
def test_points_stay_as_they_were_and_in_range(name):
    p = points()
    before = p.x.clone()
    after = MADE[name](p, keyed(p))
    after_range = (after.min().item(), after.max().item())
    assert torch.equal(p.x, before) and after_range[0] >= 0 and after_range[1] <= before.max()
    after.zero_()
    assert torch.equal(p.x, before)


@pytest.mark.parametrize("pad", [1, 4, 12])
def test_crop_against_a_loop(pad):
    p = points(64)
    draws = augment.uniform_pair(keyed(p), augment.CROP_STREAM).numpy()
    for x, got, (u, v) in zip(p.x.numpy(), augment.crop(pad=pad)(p, keyed(p)).numpy(), draws):
        top, left = int(np.float32(u) * (2 * pad + 1)), int(np.float32(v) * (2 * pad + 1))
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        assert np.array_equal(got, padded[:, top : top + 7, left : left + 9])


def test_crop_reaches_every_place_equally_often():
    n, pad = 9000, 1
    x = torch.zeros(n, 1, 3, 3)
    x[:, 0, 1, 1] = 1
    p = Points(x, torch.zeros(n).long(), torch.arange(n))
    counts = augment.crop(pad=pad)(p, keyed(p)).sum((0, 1)).flatten()
    assert counts.sum() == n
    assert ((counts - 1000) ** 2 / 1000).sum() < 26.1  # chi-square, 8 degrees of freedom: 0.1 % lies beyond


def test_flip_against_a_loop():
    p = points(64)
    draws = augment.uniform_pair(keyed(p), augment.FLIP_STREAM)[:, 0]
    for x, got, u in zip(p.x.numpy(), augment.flip()(p, keyed(p)).numpy(), draws):
        assert np.array_equal(got, np.flip(x, 2) if u < 0.5 else x)


def test_flip_takes_half():
    p = Points(torch.tensor([0.0, 1.0]).expand(4000, 1, 1, 2), torch.zeros(4000).long(), torch.arange(4000))
    flipped = augment.flip()(p, keyed(p))[:, 0, 0, 0].mean().item()
    assert abs(flipped - 0.5) < 0.026  # 3.3 standard errors


@pytest.mark.parametrize("fraction", [0.1, 0.5, 1.0])
@pytest.mark.parametrize("shape", [(3, 7, 9), (1, 1, 4)])
def test_shift_against_scipy(fraction, shape):
    p = points(32, shape)
    draws = augment.uniform_pair(keyed(p), augment.SHIFT_STREAM).double().numpy()
    amounts = (2 * draws - 1) * fraction * shape[1:]
    assert abs(amounts).max() > 0.8 * fraction * max(shape[1:])
    for x, got, amount in zip(p.x.numpy(), augment.shift(fraction=fraction)(p, keyed(p)).numpy(), amounts):
        for channel, seen in zip(x, got):
            expected = scipy.ndimage.shift(channel.astype(np.float64), amount, order=1, mode="nearest")
            np.testing.assert_allclose(seen, expected, atol=1e-5)


def test_shift_by_nothing_is_the_identity():
    p = points()
    assert torch.equal(augment.shift(fraction=0.0)(p, keyed(p)), p.x)


def test_augmentations_draw_independently_of_each_other_and_of_other_draws():
    rows = torch.arange(4000)
    noise = Noise(3, rows)
    columns = [noise.uniform(2)] + [
        augment.uniform_pair(noise, s) for s in (augment.CROP_STREAM, augment.FLIP_STREAM, augment.SHIFT_STREAM)
    ]
    correlation = torch.corrcoef(torch.cat(columns, 1).T) - torch.eye(8)
    assert correlation.abs().max() < 0.06  # 3.8 standard errors


def test_faulty_options_are_named():
    for make, options in ((augment.crop, {"pad": 0}), (augment.shift, {"fraction": 1.5}), (augment.flip, {"p": 0.3})):
        with pytest.raises(InputError, match=next(iter(options))):
            make(**options)
