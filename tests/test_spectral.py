"""Layers with a bound on how far they stretch, against their matrices and steepest channels."""

import pytest
import torch
from torch import nn

from surefooted.models.nets.spectral import SpectralBatchNorm2d, SpectralConv2d, operator_norm, power_iteration


def dense(layer):
    """The matrix of a layer, column by column."""
    columns = torch.eye(layer.v.numel()).to(layer.weight)
    return torch.stack([layer.operator(column) for column in columns], 1).detach()


@pytest.mark.parametrize("side, stride, kernel", [(5, 1, 3), (6, 2, 3), (5, 2, 3), (5, 2, 1)])
def test_the_norm_is_that_of_the_convolution_itself(side, stride, kernel):
    torch.manual_seed(0)
    like = nn.Conv2d(2, 3, kernel, stride, padding=kernel // 2, bias=False)
    layer = SpectralConv2d(like, (2, side, side), 0.5)
    power_iteration(layer, 300)
    exact = torch.linalg.matrix_norm(dense(layer), 2)
    torch.testing.assert_close(operator_norm(layer).detach(), exact, rtol=1e-4, atol=0)
    x = torch.rand(2, 2, side, side)
    torch.testing.assert_close(layer.eval()(x), like(x) * 0.5 / exact, rtol=1e-4, atol=1e-5)
    loose = SpectralConv2d(like, (2, side, side), 100.0)
    assert torch.equal(loose(x), like(x))


def test_batch_norm_is_bounded_by_its_steepest_channel():
    torch.manual_seed(0)
    layer, plain = SpectralBatchNorm2d(3, coefficient=2.0, momentum=0.1), nn.BatchNorm2d(3)
    x = torch.rand(20, 3, 4, 4)  # of a standard deviation of 0.29: the slope would be 3.5
    for each in (layer, plain):
        for _ in range(60):
            each(x)
        each.eval()
    assert layer.num_batches_tracked == 60 and torch.equal(layer.running_var, plain.running_var)
    steepest = float(plain.running_var.rsqrt().max())
    assert steepest > 3
    a, b = layer(x), plain(x)
    # A constant of each channel aside, all of it is scaled by 2 / steepest.
    torch.testing.assert_close(a[1:] - a[:1], (b[1:] - b[:1]) * 2 / steepest, rtol=1e-4, atol=1e-4)
