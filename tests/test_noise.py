"""Draws are Philox's, and belong to a row, not to a place in a batch."""

import pytest
import torch

from surefooted.core.rng import WORD_MASK, Noise, philox, torch_seed

# Known answers of Random123's philox4x32-10: counter, key, result.
KNOWN = [
    ((0,) * 4, (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((WORD_MASK,) * 4, (WORD_MASK, WORD_MASK), (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_philox_gives_the_known_answers(counter, key, words):
    assert tuple(int(w) for w in philox(tuple(torch.tensor([c]) for c in counter), key)) == words


@pytest.mark.parametrize("kind", ["uniform", "normal", "sign"])
def test_a_row_draws_the_same_in_any_batch(kind):
    rows = torch.tensor([5, 0, 2**40, 7])
    whole = getattr(Noise(3, rows, 2), kind)(3, 5)
    alone = [getattr(Noise(3, rows[k : k + 1], 2), kind)(3, 5) for k in (2, 0, 3, 1)]
    assert torch.equal(whole[[2, 0, 3, 1]], torch.cat(alone))


def test_seed_row_step_and_stream_each_change_the_draw():
    base = Noise(1, torch.tensor([4]), 0)
    others = [
        Noise(2, base.rows),
        Noise(1, torch.tensor([5])),
        base.at(1),
        Noise(1, base.rows, 0, 1),
        Noise(1 + 2**32, base.rows),
    ]
    draws = [n.uniform(8) for n in (base, *others)]
    assert len({tuple(d.flatten().tolist()) for d in draws}) == len(draws)


def test_the_draws_have_the_moments_of_their_distribution():
    noise = Noise(0, torch.arange(200))
    u, z, s = noise.uniform(500), noise.at(1).normal(501), noise.at(2).sign(500)
    assert u.min() >= 0 and u.max() < 1
    # Five standard errors of the mean of 100,000 draws.
    assert abs(u.mean() - 0.5) < 5 * 12**-0.5 / 316 and abs(z.mean()) < 5 / 316 and abs(s.mean()) < 5 / 316
    assert abs(z.std() - 1) < 0.02 and abs(z.pow(4).mean() - 3) < 0.2 and set(s.unique().tolist()) == {-1.0, 1.0}


def test_an_empty_batch_draws_nothing():
    assert Noise(0, torch.arange(0)).normal(3, 2).shape == (0, 3, 2)


def test_seeds_of_torch_s_own_generator_differ_in_the_bits_that_it_reads():
    """The low 32: whatever else a seed holds, the generator of a CPU draws the same."""
    places = [(seed, epoch, member) for seed in range(5) for epoch in range(40) for member in range(5)]
    seeds = [torch_seed(*place) for place in places]
    assert len({seed & 0xFFFFFFFF for seed in seeds}) == len(places) and all(0 <= seed < 2**63 for seed in seeds)
    draws = {tuple(torch.randperm(30, generator=torch.Generator().manual_seed(seed)).tolist()) for seed in seeds}
    assert len(draws) == len(places) and torch_seed(1, 2) == torch_seed(1, 2) != torch_seed(2, 1)
