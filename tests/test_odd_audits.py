"""The audit over the zoo of odd victims: its numbers are what the model answers, or it refuses before any work."""

import warnings

import pytest
import torch
from odd_victims import ODD_VICTIMS, images

import surefooted as sf
from surefooted.auditing import design, run
from surefooted.auditing.design import BUDGETS, AuditBudget
from surefooted.auditing.findings import AuditFindings
from surefooted.core.finite import is_misclassified
from surefooted.core.types import class_scores
from surefooted.errors import ModelError
from surefooted.models.prediction import map_logits
from surefooted.report import Page

ROWS = 4
# Every part of an audit, at the smallest size.
LEAST = AuditBudget(ROWS, 1, {"steps": 1, "targets": 1, "queries": 2}, 2, BUDGETS["smoke"].nearest, 2)


def without_page(design, store):
    """The result without figures and bootstrap intervals, which take most of the time."""
    findings = AuditFindings(design, store)
    return run.AuditResult({"findings": findings}, findings.flags, Page("none"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("odd", ODD_VICTIMS, ids=lambda odd: odd.name)
def test_an_audit_of_an_odd_victim_counts_what_it_answers(odd, monkeypatch):
    monkeypatch.setitem(BUDGETS, "smoke", LEAST)
    monkeypatch.setattr(run, "read_result", without_page)
    monkeypatch.setattr(design, "EPS_FACTORS", (0.5, 1.0))
    net, points = odd.make(), images(ROWS)
    options = {"eps": 0.15, "budget": "smoke", "limit": ROWS, "levels": 2, "quiet": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        if odd.refused or odd.gradient_refused:
            with pytest.raises(ModelError, match=odd.gradient_refused or ""):
                sf.audit(net, sf.digits(test_limit=ROWS), **options)
            return
        state = {name: value.clone() for name, value in net.state_dict().items() if isinstance(value, torch.Tensor)}
        findings = sf.audit(net, sf.digits(test_limit=ROWS), **options).numbers["findings"]
        attacked = findings.design.autoattack.result(findings.store)
        wrong, under_attack = (
            is_misclassified(torch.cat(map_logits(net, points._replace(x=x), class_scores)), points.y)
            for x in (points.x, attacked["x"])
        )
    unanswered = odd.non_finite(points.x)
    assert torch.equal(findings.clean.top()[1] == 0, wrong | unanswered)
    assert torch.equal(findings.unanswered, unanswered)
    assert odd.stochastic or torch.equal(attacked["found"], under_attack)
    broken = float((attacked["found"] | unanswered).double().mean())
    assert findings.headline.suite.value == pytest.approx(1 - broken)
    assert findings.headline.accuracy.value <= findings.headline.suite.value
    after = net.state_dict()
    assert all(torch.equal(value, after[name]) for name, value in state.items())
