"""Results of the evaluation print themselves: numbers to three digits, tensors as their type and shape."""

from math import nan

import torch

from surefooted.evaluation.checks import Flag
from surefooted.evaluation.metrics.paired import McNemar
from surefooted.evaluation.metrics.selective import RiskCoverage
from surefooted.evaluation.recalibration import CalibrationMap


def test_a_result_prints_short_numbers_and_shapes():
    assert repr(McNemar(12, 3456, 0.0123456)) == "McNemar(only_first=12, only_second=3456, p=0.0123)"
    assert repr(McNemar(0, 0, nan)) == "McNemar(only_first=0, only_second=0, p=nan)"
    curve = RiskCoverage(torch.ones(700), torch.ones(700).double(), torch.ones(700))
    assert repr(curve) == "RiskCoverage(threshold=float32[700], coverage=float64[700], risk=float32[700])"
    assert repr(CalibrationMap(torch.eye(3), torch.zeros(3))) == "CalibrationMap(weight=float32[3, 3], bias=float32[3])"


def test_a_notebook_shows_a_row_per_field():
    html = McNemar(12, 3456, 0.0123456)._repr_html_()
    assert html.count("<tr>") == 3 and "<th>p</th><td>0.0123</td>" in html


def test_a_flag_prints_as_a_sentence_and_escapes_html():
    flag = Flag("huge_eps", "serious", "4 of 9 images resist, 4 > 1.", "Use more steps.")
    assert repr(flag) == "Flag(serious: huge eps. 4 of 9 images resist, 4 > 1. Use more steps.)"
    assert "4 &gt; 1" in flag._repr_html_() and "<b>serious: huge eps.</b>" in flag._repr_html_()
