from __future__ import annotations

import time

import pytest

from datakit.core.example import Example, to_table
from datakit.pii import redact, scan
from datakit.pii.detect import Detector, detector
from datakit.pii.recognizers import ENTITIES
from datakit.pii.step import PiiStep

pytestmark = pytest.mark.real


def recall(gold, kind, **settings):
    found = scan([row["full_text"] for row in gold], **settings)
    total = hits = 0
    for row, spans in zip(gold, found, strict=True):
        for truth in row["spans"]:
            if truth["entity_type"] == kind:
                total += 1
                ours = {"DOMAIN_NAME": "URL"}.get(kind, kind)
                hits += any(
                    span.entity == ours and span.start < truth["end_position"] and truth["start_position"] < span.end
                    for span in spans
                )
    return hits / total


# What Presidio's stock recognisers reach on these rows with eight regions; ours must not be worse with two.
STOCK = {
    "EMAIL_ADDRESS": 1,
    "IBAN_CODE": 1,
    "US_SSN": 1,
    "IP_ADDRESS": 1,
    "DOMAIN_NAME": 1,
    "CREDIT_CARD": 0.78,
    "PHONE_NUMBER": 0.59,
}


@pytest.mark.parametrize(("kind", "at_least"), STOCK.items())
def test_recall_on_gold_rows(gold, kind, at_least):
    assert recall(gold, kind) >= at_least


def test_the_gates_hide_nothing_in_real_texts(gold, sms):
    texts = [row["full_text"] for row in gold[::5]] + sms[::25]
    regions = ("US", "GB", "KR")
    gated, plain = (Detector(ENTITIES, regions, min_score=0.05, gated=gated) for gated in (True, False))
    assert [gated(text) for text in texts] == [plain(text) for text in texts]


def test_tagged_texts_have_nothing_left(gold, sms):
    texts = [row["full_text"] for row in gold] + sms
    new, _ = redact(texts, regions=["GB", "US"])
    assert scan(new, regions=["GB", "US"]) == [[]] * len(new)


def test_sms_in_time(sms):
    detector(("en",), ("GB", "US"), None, 0.4)("warm up 1")
    table = to_table(
        [Example(id=str(n), group=str(n), source="sms", origin=f"sms:{n}", text=text) for n, text in enumerate(sms)]
    )
    started = time.process_time()
    output = PiiStep(PiiStep.Params(regions=["GB", "US"])).apply(table)
    assert time.process_time() - started < 15
    assert output.ledger.num_rows > 400
