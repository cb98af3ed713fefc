"""Operations that an exported program may call: operators of torch that only compute, and arithmetic on sizes."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch

ATEN_DTYPES = {
    1: torch.uint8,
    2: torch.int8,
    3: torch.int16,
    4: torch.int32,
    5: torch.int64,
    6: torch.float16,
    7: torch.float32,
    8: torch.float64,
    12: torch.bool,
    13: torch.bfloat16,
}
_PREFIX = "torch.ops.aten."
# Operators that only compute. All others are refused, because some of aten read and write files.
ATEN_OPERATORS = frozenset(
    """
    _adaptive_avg_pool2d _log_softmax _native_batch_norm_legit _native_batch_norm_legit_no_training _softmax _to_copy
    _unsafe_index _unsafe_view _upsample_bilinear2d_aa abs adaptive_avg_pool1d adaptive_avg_pool2d adaptive_max_pool2d
    add add_ addmm alias all amax amin any arange argmax avg_pool2d baddbmm batch_norm bitwise_and bitwise_not bmm cat
    chunk clamp clamp_ clamp_max clamp_min clone constant_pad_nd contiguous conv1d conv2d conv_transpose2d convolution
    cos cumsum detach div div_ dropout dropout_ einsum elu elu_ embedding eq erf exp expand expand_as expm1 flatten
    flip floor full full_like gather ge gelu glu group_norm gt hardsigmoid hardsigmoid_ hardswish hardswish_ hardtanh
    hardtanh_ index index_select instance_norm layer_norm le leaky_relu leaky_relu_ lift_fresh_copy linalg_vector_norm
    linear local_response_norm log log1p log_softmax logical_and logical_not logical_or lt masked_fill matmul max
    max_pool2d max_pool2d_with_indices maximum mean min minimum mish mm movedim mul mul_ nan_to_num narrow
    native_batch_norm native_dropout native_group_norm native_layer_norm ne neg new_ones new_zeros norm ones ones_like
    pad permute pixel_shuffle pow prelu prod rand rand_like randn randn_like reciprocal reflection_pad2d relu relu6
    relu_ repeat replication_pad2d reshape roll round rsqrt rsub scalar_tensor scaled_dot_product_attention select
    selu sigmoid sigmoid_ sign silu silu_ sin slice softmax softplus split split_with_sizes sqrt square squeeze stack
    std sub sub_ sum sym_size t tanh tanh_ to transpose tril type_as unbind unflatten unfold unsqueeze
    upsample_bilinear2d upsample_nearest2d var var_mean view view_as where zeros zeros_like
    """.split()  # noqa: SIM905 - as a list it would be a hundred lines
)
# Assertions about shapes. They are skipped, because the operators check the same.
_ASSERTIONS = frozenset(("_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"))
_ARITHMETIC: dict[str, Callable[..., Any]] = {
    f"_operator.{name}": getattr(operator, name)
    for name in ("add", "sub", "mul", "floordiv", "getitem", "ge", "le", "eq")
}


def is_allowed(target: str) -> bool:
    """Check that a program may call this target.

    Example:
        >>> is_allowed("torch.ops.aten.relu.default"), is_allowed("torch.ops.aten.from_file.default")
        (True, False)
    """
    name, overload = _parse(target)
    if not target.startswith(_PREFIX) or name not in ATEN_OPERATORS | _ASSERTIONS:
        return target in _ARITHMETIC
    return name in _ASSERTIONS or overload in getattr(torch.ops.aten, name).overloads()


def find_operator(target: str) -> Callable[..., Any] | None:
    """The function behind a target that ``is_allowed``; None for an assertion, which is skipped.

    Example:
        >>> find_operator("torch.ops.aten.relu.default")(torch.tensor([-1.0, 2.0])).tolist()
        [0.0, 2.0]
    """
    if target in _ARITHMETIC:
        return _ARITHMETIC[target]
    name, overload = _parse(target)
    if name in _ASSERTIONS:
        return None
    function: Callable[..., Any] = getattr(getattr(torch.ops.aten, name), overload)
    return function


def _parse(target: str) -> tuple[str, str]:
    """Name and overload of an operator of aten."""
    name, _, overload = target.removeprefix(_PREFIX).partition(".")
    return name, overload
