from __future__ import annotations

import itertools
import re

import pytest

from datakit.pii import redact, scan
from datakit.pii.surrogates import canonical

BOTH = ("en", "ko")


def replaced(value, mode, key="k" * 16, **settings):
    texts, spans = redact([f"use {value} now"], replace=mode, key=key, language=BOTH, **settings)
    assert spans[0], value
    return texts[0].removeprefix("use ").removesuffix(" now")


@pytest.mark.parametrize("mode", ["tag", "mask", "hash", "surrogate"])
def test_no_planted_value_remains_and_nothing_is_found_again(planted, mode):
    values = planted.values(200)
    texts = [f"use {value} now, then {other}으로" for (_, value), (_, other) in itertools.pairwise(values)]
    new, _ = redact(texts, replace=mode, key="secret", language=BOTH)
    joined = "\n".join(new)
    assert [value for _, value in values if value in joined] == []
    if mode != "surrogate":
        assert scan(new, language=BOTH) == [[]] * len(new)


def test_the_modes():
    assert replaced("anna@example.com", "tag") == "<EMAIL_ADDRESS>"
    assert replaced("(212) 555-0187", "mask") == "***** ********"
    assert re.fullmatch(r"<EMAIL_ADDRESS_[a-p]{12}>", replaced("anna@example.com", "hash"))


def test_one_value_has_one_replacement_and_another_key_another():
    for mode in ("hash", "surrogate"):
        texts = ["mail anna@example.org", "ANNA@example.org or bob@example.org"]
        (first, second), _ = redact(texts, replace=mode, key="one")
        token = first.removeprefix("mail ")
        assert second.startswith(token + " or ")
        assert second.count(token) == 1
        assert redact(texts, replace=mode, key="one")[0] == [first, second]
        assert redact(texts, replace=mode, key="two")[0][0] != first


def test_surrogates_are_found_as_what_they_replace(planted):
    for kind, value in planted.values(250, seed=3):
        fake = replaced(value, "surrogate")
        assert fake != value
        found = [span.entity for span in scan([f"use {fake} now"], language=BOTH)[0]]
        # QQ, the prefix of examples, is refused as a national insurance number: that is what it is reserved for
        assert found == ([] if kind == "UK_NINO" else [kind]), (kind, value, fake)


def test_surrogates_stay_in_reserved_ranges():
    assert replaced("anna@gmail.com", "surrogate").endswith("@example.com")
    assert re.fullmatch(r"\d{3}-555-01\d\d", replaced("(212) 867-5309", "surrogate"))
    assert re.fullmatch(r"\+44 (7700 900|\d+ (496|498|7946|2018) 0)\d{3}", replaced("+44 7911 123456", "surrogate"))
    assert re.fullmatch(r"198\.1[89]\.\d+\.\d+", replaced("83.12.4.5", "surrogate"))
    assert replaced("536-22-1234", "surrogate").startswith("9")


def test_a_surrogate_is_never_an_original_nor_given_twice():
    # 1,500 of the 15,000 British numbers that surrogates are taken from are in use already.
    texts = [f"{area} 496 0{n:03d}" for area in ("0113", "0114") for n in range(750)]
    fakes, spans = redact(texts, replace="surrogate", key="k", regions=["GB"])
    assert all(spans)
    originals = {canonical("PHONE_NUMBER", text) for text in texts}
    assert not originals & {canonical("PHONE_NUMBER", fake) for fake in fakes}
    assert len(set(fakes)) == len(texts)


def test_a_range_that_is_used_up_gives_tags():
    texts = [f"07{n:09d}" for n in range(400_000_000, 400_000_000 + 120)]
    few = redact(texts, replace="surrogate", key="k", regions=["GB"])[0]
    assert len(set(few)) == 120


def test_surrogates_do_not_depend_on_the_order_of_texts(planted):
    texts = [value for _, value in planted.values(120)]
    forward, _ = redact(texts, replace="surrogate", key="k", language=BOTH)
    backward, _ = redact(texts[::-1], replace="surrogate", key="k", language=BOTH)
    assert forward == backward[::-1]


def test_without_a_key_every_call_has_its_own():
    first, second = (redact(["anna@example.org"], replace="hash")[0] for _ in range(2))
    assert first != second


def test_none_stays_none():
    assert redact([None, "", "plain"]) == ([None, "", "plain"], [[], [], []])
