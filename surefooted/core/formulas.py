"""Scores of other names than those of ``core.scores``: formulas of named scores, and functions of the user's code.

``cross_entropy() + 0.1 * entropy()`` is read, never run: only calls of scores, numbers, and ``+ - * /`` are known.
"""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from surefooted.components.code import Code, arguments_of, find_code, first_line, is_code, read_options
from surefooted.components.component import Spec
from surefooted.components.spec import build
from surefooted.core.types import Forward, Score, log_mean_softmax
from surefooted.errors import ArgumentError, SurefootedError

_EXPECTED = (
    "expected a sum of scores with numbers before them, such as cross_entropy() - 0.5 * entropy(), or MODULE:FUNCTION. "
    "To list the scores, run: surefooted list scores"
)
_DEEPEST = 50
# At the end of a formula's spec stand the versions of its scores.
_VERSIONS = re.compile(r"@[\d.]+$")


def score_from_text(text: str) -> Callable[..., Score]:
    """The function that makes a score of a formula, or of ``module:function``.

    Args:
        text: a formula of scores, or the name of a function of logits and targets.

    Raises:
        ArgumentError: if it is neither; the message says what is wrong.

    Example:
        >>> score_from_text("cross_entropy() + 0.1*entropy()")().spec
        cross_entropy() + 0.1 * entropy()
        >>> score_from_text("cross_entropy() + exec('x')")
        Traceback (most recent call last):
        surefooted.errors.ArgumentError: There is no 'exec' among the scores. ...
    """
    if is_code(text.partition("(")[0]):
        return _score_of_code(find_code(text))
    score = _read_formula(_VERSIONS.sub("", text))
    return lambda: score


def _read_formula(text: str) -> Score:
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ArgumentError(f"{text!r} is no formula; {_EXPECTED}.") from None
    value = _value(tree.body, text, 0)
    if not isinstance(value, Score):
        raise ArgumentError(f"{text!r} is the number {value:g}; {_EXPECTED}.")
    return value


def _value(node: ast.expr, text: str, depth: int) -> Any:
    """The score or number that a part of a formula describes."""
    if depth > _DEEPEST:
        raise ArgumentError(f"The formula {text[:40]!r}... is nested more than {_DEEPEST} deep. Simplify it.")
    if isinstance(node, ast.Constant) and type(node.value) in (int, float):
        return _number(node.value, text)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        value = _value(node.operand, text, depth + 1)
        return -1 * value if isinstance(node.op, ast.USub) else value
    if isinstance(node, ast.BinOp):
        return _combined(node, text, depth)
    if isinstance(node, ast.Name):
        return build("score", node.id)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _called(node, node.func.id, text, depth)
    raise ArgumentError(f"{ast.unparse(node)!r} in {text!r} is no score; {_EXPECTED}.")


def _combined(node: ast.BinOp, text: str, depth: int) -> Any:
    left, right = _value(node.left, text, depth + 1), _value(node.right, text, depth + 1)
    scores = isinstance(left, Score) + isinstance(right, Score)
    if isinstance(node.op, ast.Add | ast.Sub) and scores != 1:
        return left + right if isinstance(node.op, ast.Add) else left - right
    if isinstance(node.op, ast.Mult) and scores < 2:
        return left * right if scores else _number(left * right, text)
    if isinstance(node.op, ast.Div) and not scores and right:
        return _number(left / right, text)
    raise ArgumentError(f"{ast.unparse(node)!r} in {text!r} is not a weighted sum; {_EXPECTED}.")


def _called(node: ast.Call, name: str, text: str, depth: int) -> Score:
    """A score with its arguments; ``code('module:function')`` is a function of the user."""
    values = [_argument(one, text, depth + 1) for one in node.args]
    options = {str(one.arg): _argument(one.value, text, depth + 1) for one in node.keywords if one.arg}
    if len(options) < len(node.keywords):
        raise ArgumentError(f"{ast.unparse(node)!r} in {text!r}: write the arguments by name.")
    if name == "code" and len(values) == 1 and isinstance(values[0], str) and is_code(values[0]):
        return score_from_text(values[0])(**options)
    if name == "at_clean" and len(values) == 1:
        options, values = {"score": values[0], **options}, []
    if values:
        raise ArgumentError(f"{ast.unparse(node)!r} in {text!r}: write the arguments by name, such as gamma=0.1.")
    score: Score = build("score", {name: options})
    return score


def _argument(node: ast.expr, text: str, depth: int) -> Any:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return _value(node, text, depth)


def _number(value: float, text: str) -> float:
    if not isfinite(value):
        raise ArgumentError(f"{text!r} holds a number that is too large; {_EXPECTED}.")
    return value


def _score_of_code(code: Code) -> Callable[..., Score]:
    """The function that makes a score of a user's function, with the options of that function."""
    if isinstance(code.value, Score):
        return lambda: _named(Score(code.value.evaluate, code.name, code.value.uses_clean), code, {})
    if not callable(code.value):
        raise ArgumentError(
            f"{code.name} is {type(code.value).__name__}; expected a function of logits (B, K) and target that returns "
            "one loss per image."
        )
    parameters = arguments_of(code.value).values()
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p.name for p in positional if p.default is inspect.Parameter.empty]
    uses_clean = any(p.name == "clean" for p in positional)
    supplied = [p.name for p in positional][: 3 if uses_clean else 2]
    if len(required) == 1 or len(required) > len(supplied):
        raise ArgumentError(
            f"{code.name} takes the arguments ({', '.join(required)}); expected a function of logits (B, K) and target "
            "(B,), and optionally of `clean`, the logits of the unperturbed images. Give further arguments defaults: "
            "they are options."
        )

    def make(**options: Any) -> Score:
        read = read_options(code.name, code.value, options, set(supplied))
        if not required:  # a function that makes the score
            made = _run(code, lambda: code.value(**read))
            if not isinstance(made, Score):
                raise ArgumentError(
                    f"{code.name}() returned {type(made).__name__}; expected a score, or a function of logits and "
                    "target."
                )
            return _named(Score(made.evaluate, code.name, made.uses_clean, made.epistemic), code, read)

        def evaluate(f: Forward) -> Tensor:
            given = [_single(f.logits), f.target]
            if uses_clean:
                given.append(_single(f.at_clean().logits))
            return _checked(code, _run(code, lambda: code.value(*given, **read)), given[0])

        return _named(Score(evaluate, code.name.partition(":")[2], uses_clean), code, read)

    return make


def _named(score: Score, code: Code, options: dict[str, Any]) -> Score:
    object.__setattr__(score, "spec", Spec(code.name, options, code.digest))
    return score


def _single(logits: Tensor) -> Tensor:
    """The logits of a network; of several samples the logarithm of their mean prediction."""
    return logits[0] if len(logits) == 1 else log_mean_softmax(logits)


def _run(code: Code, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (SurefootedError, MemoryError, torch.OutOfMemoryError):
        raise
    except (Exception, SystemExit) as error:
        raise ArgumentError(f"The loss {code.name} failed ({first_line(error)}).") from error


def _checked(code: Code, value: Any, logits: Tensor) -> Tensor:
    """The value of a user's loss, refused if it is not one differentiable number per image."""
    batch = len(logits)
    if not isinstance(value, Tensor) or not value.is_floating_point():
        seen = str(value.dtype) if isinstance(value, Tensor) else type(value).__name__
        raise ArgumentError(f"The loss {code.name} returns {seen}; expected a float tensor with one number per image.")
    if value.shape != (batch,):
        cure = "Do not average over the batch (`reduction='none'`)." if value.ndim == 0 else ""
        raise ArgumentError(
            f"The loss {code.name} returns a tensor of shape {tuple(value.shape)} for {batch} images; expected one "
            f"number per image, shape ({batch},). {cure}".rstrip()
        )
    if torch.is_grad_enabled() and logits.requires_grad and not value.requires_grad:
        raise ArgumentError(
            f"The loss {code.name} has no gradient with respect to the logits. Compute it with torch, without "
            "detach(), argmax or no_grad."
        )
    return value
