"""What an exported program may call: torch's operators that only compute, and arithmetic on sizes."""

from __future__ import annotations

from typing import Any

import torch

DTYPES = {
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
ATEN = "torch.ops.aten."
# Operators of aten that only compute. Others are refused: aten also knows how to read and write files.
OPERATORS = frozenset(
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
# Assertions about shapes: they hold for what was exported, and say nothing that the operators do not.
SKIPPED = frozenset(("_assert_tensor_metadata", "_assert_scalar", "_assert_async", "sym_constrain_range_for_size"))
ARITHMETIC = {
    "_operator.add": lambda a, b: a + b,
    "_operator.sub": lambda a, b: a - b,
    "_operator.mul": lambda a, b: a * b,
    "_operator.floordiv": lambda a, b: a // b,
    "_operator.getitem": lambda a, b: a[b],
    "_operator.ge": lambda a, b: a >= b,
    "_operator.le": lambda a, b: a <= b,
    "_operator.eq": lambda a, b: a == b,
}


def known(target: str) -> bool:
    """Whether a program may call it."""
    name, _, overload = target.removeprefix(ATEN).partition(".")
    if not target.startswith(ATEN) or name not in OPERATORS | SKIPPED:
        return target in ARITHMETIC
    return name in SKIPPED or overload in getattr(torch.ops.aten, name).overloads()


def operator(target: str) -> Any:
    """What a call runs; None where it is skipped."""
    if target in ARITHMETIC:
        return ARITHMETIC[target]
    name, _, overload = target.removeprefix(ATEN).partition(".")
    if name in SKIPPED:
        return None
    return getattr(getattr(torch.ops.aten, name), overload)
