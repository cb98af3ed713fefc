"""Bit-reproducible images: coloured blocks of four sizes from keyed random draws."""

import torch

from surefooted.core.rng import Noise

SIZES = (16, 8, 4, 1)
SHARES = (0.35, 0.25, 0.2, 0.2)


def blocks(count, channels=3, height=32, width=32):
    """Images in [0, 1], in steps of 1/255, and their rows."""
    rows, total = torch.arange(count), torch.zeros(count, channels, height, width, dtype=torch.float64)
    for step, (size, share) in enumerate(zip(SIZES, SHARES)):
        y, x = -(-height // size), -(-width // size)
        drawn = Noise(2026, rows, step).uniform(channels + 1, y, x).double()
        drawn = (2 * drawn[:, :1] + drawn[:, 1:]) / 3  # correlated channels
        large = drawn.repeat_interleave(size, 2).repeat_interleave(size, 3)
        total += share * large[:, :, :height, :width]
    levels = ((total - 0.5) * 1.8 + 0.5).mul(255).clamp(0, 255).round()
    return (levels / 255).float(), rows
