from __future__ import annotations

import pytest

from datakit.pii import scan
from datakit.pii.context import Context


@pytest.mark.parametrize(
    ("language", "kind", "said", "other"),
    [
        ("ko", "KR_BANK_ACCOUNT", "입금계좌는 110-234-567890입니다", "주문번호는 110-234-567890입니다"),
        ("ko", "KR_BANK_ACCOUNT", "110-234-567890 계좌로 보내세요", "110-234-567890 주소로 보내세요"),
        ("ko", "KR_PASSPORT", "여권번호는 M123A4567", "부품번호는 M123A4567"),
        ("en", "US_SSN", "536221234 is my ssn", "536221234 is my part"),
    ],
)
def test_only_the_word_beside_it_changes_the_score(language, kind, said, other):
    scores = []
    for text in (said, other):
        spans = [s for s in scan([text], language=language, min_score=0.01)[0] if s.entity == kind]
        scores.append(spans[0].score if spans else 0.0)
    assert scores[0] >= 0.4 > scores[1] > 0
    assert kind in {span.entity for span in scan([said], language=language)[0]}
    assert kind not in {span.entity for span in scan([other], language=language)[0]}


def test_words_phrases_particles_and_reach():
    near = Context(["bank account", "계좌"]).near
    assert near("my bank account: 12", 17, 19)
    assert not near("my account bank 12", 16, 18)
    assert near("계좌로 12", 4, 6)
    assert not near("<bank account> 12", 15, 17)
    assert not near("계좌 " + "아 " * 30 + "12", 63, 65)
    assert not near("12. Bank account", 0, 2)
    assert not Context(None).near("x 12", 2, 4)


@pytest.mark.parametrize("date", ["5 May 1987", "May 5th, 1987", "2000-04-16 11:34:35", "1987년 5월 3일", "Tuesday"])
def test_dates_in_many_forms(date):
    text = f"so {date} it is"
    assert [text[s.start : s.end] for s in scan([text], entities=["DATE_TIME"])[0]] == [date]
