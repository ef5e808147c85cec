"""``recognizers: presidio`` against Presidio's own analyser in the same run: the same spans with the same scores."""

from __future__ import annotations

import gzip
import itertools
import json
import random
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datakit.core.errors import StepError
from datakit.pii import redact, scan
from datakit.pii.stock import offline_domains


@pytest.fixture(scope="module")
def presidio():
    offline_domains()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
        from presidio_analyzer.nlp_engine import NoOpNlpEngine

        engines = {}
        for language in ("en", "ko"):
            nlp = NoOpNlpEngine([{"lang_code": language, "model_name": "none"}])
            nlp.load()
            registry = RecognizerRegistry(supported_languages=[language])
            registry.load_predefined_recognizers(languages=[language], nlp_engine=nlp)
            engines[language] = AnalyzerEngine(registry=registry, nlp_engine=nlp, supported_languages=[language])

    def analyse(texts, language="en"):
        return [
            sorted((r.entity_type, r.start, r.end, r.score) for r in engines[language].analyze(text, language))
            for text in texts
        ]

    return analyse


def ours(texts, language="en"):
    found = scan(texts, language=language, recognizers="presidio")
    return [sorted((span.entity, span.start, span.end, span.score) for span in spans) for spans in found]


NASTY = [
    "x",
    "\x00 4111111111111111 \ud800 010-1234-5678",
    "\u202e+1 (212) 867-5309\u202c 😀 00:1b:44:11:3a:b7 ::1 1.2.3.4/24",
    "1990-2000 12/31/2001 JAN-99 3-MAR A-Z]]12 A1 H12345678 123AB4567 12ABC12345 B12345678",
    "٠١٢٣٤٥٦٧٨٩ ４１１１１１１１１１１１１１１１ +８２ 10 1234 5678",
    "'www.example.com' \"https://example.org/a?b=1\" a.ſe b.\u212ay x" + "y" * 300 + ".com " + "a.b." * 80 + "net",
    "GB56HXDO88167774656119 gb42 nawi 0445 4264 7886 19 1BoatSLRHtKNngkdXEeobR76b53LETtpyT",
    "0049 30 123456, 49 30 123456, 011 44 20 7946 0018, 1-800-356-9377 x 123, 08001111, 030/1234567 (12)",
    "550e8400-e29b-41d4-a716-446655440000 anna@mail.corp anna@example.co.uk 943 476 5919 AB1234567",
    "가나다 900101-1234567 02-123-4567으로\t\n\n" * 5,
    "1 " * 500,
]


@pytest.mark.parametrize("language", ["en", "ko"])
def test_nasty_texts(presidio, planted, language):
    values = [f"see {value}, then {kind}:{value}으로" for kind, value in planted.values(120, seed=5)]
    texts = NASTY + values
    assert ours(texts, language) == presidio(texts, language)


PIECES = (
    "0 1 12 555 2020 4111 010 +44 7911 00 @ . - : / www com kr a B K 가 :: ff M1 ( ) x [ ] A-Z]] JAN \u017f ' \" \n"
)


@settings(max_examples=150, deadline=None)
@given(texts=st.lists(st.lists(st.sampled_from([*PIECES.split(" "), " "]), max_size=24).map("".join), max_size=4))
def test_any_texts_together_as_one_by_one(presidio, texts):
    assert ours(texts) == presidio(texts)


@pytest.mark.slow
@pytest.mark.real
def test_gold_rows_and_instructions(presidio, gold, real_data):
    texts = [row["full_text"] for row in gold]
    for path in sorted((real_data / "instruction/gpteacher").glob("*.json.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            rows = ["\n".join(map(str, row.values())) for row in json.load(stream)]
        texts += random.Random(1).sample(rows, 250)
    assert ours(texts) == presidio(texts)


def test_after_tag_nothing_is_left_and_settings_are_checked(planted):
    texts = [f"use {value} now" for _, value in planted.values(120)]
    new, spans = redact(texts, recognizers="presidio")
    assert all(first.end <= second.start for found in spans for first, second in itertools.pairwise(found))
    assert scan(new, recognizers="presidio") == [[]] * len(new)
    with pytest.raises(StepError, match="stock recognisers have no 'KR_RRN'"):
        scan(["x"], recognizers="presidio", entities=["KR_RRN"])
    with pytest.raises(StepError, match="regions"):
        scan(["x"], recognizers="presidio", regions=["US"])
