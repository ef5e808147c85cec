from __future__ import annotations

import itertools
import logging
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import StepError
from datakit.pii import scan
from datakit.pii.detect import Detector
from datakit.pii.recognizers import ENTITIES

BOTH = ("en", "ko")


def found(text, **settings):
    return [(span.entity, text[span.start : span.end]) for span in scan([text], **settings)[0]]


def test_every_planted_kind_and_format_is_found(planted):
    for kind, value in planted.values(300):
        text = f"Please use {value} from now on."
        assert (kind, value) in found(text, language=BOTH), (kind, value)


def test_in_korean_particles_follow_without_a_space(planted):
    for kind, value in planted.values(300, seed=1):
        text = f"문의는 {value}으로 해주세요"
        # A path may be written in Hangul: of an address the particle may go too.
        expected = f"{value}으로" if "/" in value else value
        assert (kind, expected) in found(text, language=BOTH), (kind, value)


def test_each_language_alone_finds_its_own():
    resident = "주민번호 900101-1234567, 휴대폰 010-1234-5678, 카드 4111-1111-1111-1111"
    assert found(resident, language="ko") == [
        ("KR_RRN", "900101-1234567"),
        ("PHONE_NUMBER", "010-1234-5678"),
        ("CREDIT_CARD", "4111-1111-1111-1111"),
    ]
    assert ("KR_RRN", "900101-1234567") not in found(resident, language="en")
    assert found("my SSN is 536-22-1234", language="ko") == []


@pytest.mark.parametrize(
    "text",
    [
        "Text FA to 87121 to receive 2 tickets in 2005 for 150p",
        "so tired..so come home.it was fine...my dinner.ms",
        "Order 12345, version 1.2.3, at 12:30 on 2024-05-06, 3.14159265, page 1-2",
        "올해 2024년 12월 3일 오후 3시 30분에 만나요, 가격은 1,234,567원",
        "The commit 3f786850e387550fdab836ed7e6dc881de23001b",
        "20241122123456",
        "",
    ],
)
def test_what_is_not_personal_is_left(text):
    assert found(text, language=BOTH) == []


def test_british_numbers_as_text_messages_write_them():
    text = "T&C's apply 08452810075over18's call 09061701461 or +447911123456, SMS to 87121"
    numbers = [value for _, value in found(text, regions=["GB", "US"])]
    assert numbers == ["08452810075", "09061701461", "+447911123456"]


def test_context_words_raise_weak_patterns():
    assert found("passport M123A4567", language="ko") == [("KR_PASSPORT", "M123A4567")]
    assert found("part M123A4567", language="ko") == []
    assert found("my ssn: 536221234") == [("US_SSN", "536221234")]
    assert found("part 536221234") == []


def test_overlaps_are_resolved():
    text = "write to anna@example.com or https://example.com/anna@example.com"
    spans = scan([text])[0]
    assert all(left.end <= right.start for left, right in itertools.pairwise(spans))
    assert spans[0].entity == "EMAIL_ADDRESS"


def test_min_score_and_entities_narrow_the_search():
    text = "anna@example.com 020 7946 0123"
    assert found(text, entities=["EMAIL_ADDRESS"]) == [("EMAIL_ADDRESS", "anna@example.com")]
    assert found(text, min_score=0.9) == [("EMAIL_ADDRESS", "anna@example.com")]
    assert found("born 03/04/1985") == []
    assert found("born 03/04/1985", entities=["DATE_TIME"]) == [("DATE_TIME", "03/04/1985")]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"entities": ["EMAIL_ADRESS"]}, "no entity 'EMAIL_ADRESS'.*Did you mean"),
        ({"regions": ["UK"]}, "no region 'UK'"),
        ({"language": "tlh"}, "language 'tlh'.*regions"),
    ],
)
def test_unknown_settings_are_refused(settings, message):
    with pytest.raises(StepError, match=message):
        scan(["x"], **settings)


def test_none_and_order():
    assert scan([None, "", "anna@example.com"])[:2] == [[], []]


TOKENS = "0 12 555 4111 010 +44 7911 @ . - : / www com kr a B 가 :: ff M1 ( )"
PIECES = st.sampled_from([*TOKENS.split(), " "])


@settings(max_examples=150, deadline=None)
@given(st.lists(PIECES, max_size=30).map("".join))
def test_the_gates_never_hide_a_finding(text):
    gated, plain = (
        Detector(ENTITIES, ("US", "GB", "KR", "DE", "AT"), min_score=0.01, gated=gated) for gated in (True, False)
    )
    assert gated(text) == plain(text)


def test_nothing_is_logged_written_or_fetched(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    program = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit('connection')\n"
        "socket.socket.connect = refuse; socket.getaddrinfo = refuse\n"
        "import warnings; warnings.simplefilter('error')\n"
        "import logging; logging.basicConfig(level=logging.DEBUG)\n"
        "from datakit.pii import scan\n"
        "import sys\n"
        "assert 'presidio_analyzer' not in sys.modules\n"
        "assert scan(['anna@mail.example.co.uk DE00000000000000000000'])[0]\n"
    )
    environment = {"HOME": str(tmp_path), "PYTHONPATH": ":".join(sys.path), "XDG_CACHE_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    assert "anna@" not in done.stderr
    assert "DE0000" not in done.stderr
    assert list(tmp_path.iterdir()) == []
