"""What ``datakit label`` prints of how sure the labels are."""

from __future__ import annotations

import csv
import json
import random
import re
from collections import Counter

import pytest
from click.testing import CliRunner

from datakit.cli.label import command


@pytest.fixture
def reviews(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with (tmp_path / "reviews.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["review", "checked"])
        writer.writerows([f"review {n}", ("긍정", "부정")[n % 2]] for n in range(120))
    return tmp_path / "reviews.csv"


@pytest.fixture
def label(reviews, stub):
    def label(*more, text="review"):
        named = ["--text", text] if text else []
        call = ["reviews.csv", *named, "--use", "sentiment.ko", "--model", "stub", "--server", stub.url]
        call += ["--send-personal-data", *more]
        return CliRunner().invoke(command, call, catch_exceptions=True)

    return label


def test_one_vote_says_nothing_of_confidence(label, stub):
    stub.answer = lambda text, body: json.dumps({"label": "긍정"}, ensure_ascii=False)
    found = label("--gold", "checked", "-o", "one")
    assert found.exit_code == 0, found.output
    assert "confidence says nothing: one vote a row" in found.output
    assert "people    50.0 % of 120 gold rows agree" in found.output


def test_a_threshold_is_named(label, stub):
    asked = Counter()

    def answer(text, body):
        number = int(text.split()[-1])
        asked[text] += 1
        right = number >= 30 or (asked[text] % 2 == 0) == (number < 15)  # of 30 rows 3 or 4 of 7 votes are right
        return json.dumps({"label": ("긍정", "부정")[number % 2 if right else 1 - number % 2]})

    stub.answer = answer
    found = label("--gold", "checked", "--votes", "7", "-o", "seven").output
    assert re.search(r"threshold [01]\.\d\d keeps \d+ % of the rows, \d+\.\d % of them right", found), found


def test_that_there_is_no_threshold_is_told(label, stub):
    stub.answer = lambda text, body: json.dumps({"label": random.choice(("긍정", "부정"))})
    more = label("--gold", "checked", "--votes", "3", "--language", "ko", "-o", "three").output
    assert "threshold none is surely above 95 % on 120 gold rows" in more


def test_options_of_a_wrong_gold_are_named(label, reviews):
    reviews.write_text(reviews.read_text(encoding="utf-8").replace("부정", "negative"), encoding="utf-8")
    found = label("--gold", "checked")
    assert "'negative' is none of: 긍정, 부정. Those are the options of 'sentiment'" in str(found.exception)


def test_a_text_column_that_nobody_named(label, stub):
    found = label(text=None)
    assert "the columns are checked, review" in str(found.exception)
    assert stub.calls == 0
