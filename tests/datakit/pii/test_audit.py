from __future__ import annotations

import json

import pyarrow as pa
import pytest
from statsmodels.stats.proportion import proportion_confint

from datakit.core.errors import StepError
from datakit.core.example import Example, to_table
from datakit.pii import audit
from datakit.pii.audit import Recall
from datakit.pii.step import PiiStep

TEXTS = ["Where is my parcel?", None, "배송이 언제 되나요?"]


def test_canaries_of_both_languages_are_found():
    result = audit(pa.array(TEXTS), count=390, language=["en", "ko"])
    assert result.total.planted == 390
    assert {"KR_RRN", "US_SSN", "PHONE_NUMBER", "CREDIT_CARD"} <= result.kinds.keys()
    assert result.total.recall > 0.97
    assert result.lines()[-1] == result.sentence()
    assert json.loads(json.dumps(result.to_json()))["total"]["planted"] == 390
    assert audit(TEXTS, count=390, language=["en", "ko"]) == audit(TEXTS, count=390, language=["en", "ko"])


def test_what_is_not_looked_for_is_not_found():
    from datakit.pii.audit import audit_finder
    from datakit.pii.finder import Finder

    result = audit_finder(Finder(entities=["EMAIL_ADDRESS"]), ["hi"], ["en"], count=80, seed=0)
    assert result.kinds["EMAIL_ADDRESS"].recall == 1
    assert result.kinds["US_SSN"].found == 0
    with pytest.raises(StepError, match="no kind of canary"):
        audit(["hi"], entities=["KR_RRN"])


@pytest.mark.parametrize(("planted", "found"), [(500, 496), (10, 0), (7, 7), (40, 13)])
def test_intervals_are_wilsons(planted, found):
    expected = proportion_confint(found, planted, method="wilson")
    assert Recall(planted, found, found).interval == pytest.approx(expected)


def test_the_card_says_what_an_audit_found():
    step = PiiStep(PiiStep.Params(audit=80))
    step.apply(to_table([Example(id="1", group="1", source="s", origin="f:1", text="hello")]))
    assert step.notes()[1].startswith("canaries found 80 of 80 (95 % interval")
