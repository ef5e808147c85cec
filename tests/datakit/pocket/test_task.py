"""The raw files of the new task have planted in them what is reported."""

from __future__ import annotations

import csv
import re
from collections import Counter, defaultdict
from itertools import pairwise

from datakit.pocket import write_task


def _tickets(path):
    with path.open(encoding="utf-8", newline="") as stream:
        return list(csv.DictReader(stream))


def test_rows_and_columns(tmp_path):
    written = write_task(tmp_path, seed=1)
    tickets = _tickets(written.path)
    assert len(tickets) == written.rows == 800
    assert list(tickets[0]) == ["id", "customer", "channel", "text", "queue"]
    assert len({ticket["id"] for ticket in tickets}) == 800
    assert {ticket["queue"] for ticket in tickets} == set(written.labels)


def test_same_seed_same_bytes(tmp_path):
    first = write_task(tmp_path / "a", seed=1, rows=300).path.read_bytes()
    assert write_task(tmp_path / "b", seed=1, rows=300).path.read_bytes() == first
    assert write_task(tmp_path / "c", seed=2, rows=300).path.read_bytes() != first


def test_planted_duplicates_are_there(tmp_path):
    written = write_task(tmp_path, seed=2)
    tickets = _tickets(written.path)
    queues = defaultdict(list)
    for ticket in tickets:
        queues[ticket["text"]].append(ticket["queue"])
    repeated = [found for found in queues.values() if len(found) > 1]
    assert sum(len(set(found)) == 1 for found in repeated) == written.exact_duplicates
    assert sum(len(set(found)) == 2 for found in repeated) == written.two_queues
    stripped = Counter(re.sub(r"Written on a \w+$", "", text) for text in queues)
    assert sum(count - 1 for count in stripped.values()) == written.near_duplicates


def test_planted_personal_data_is_there_and_fictional(tmp_path):
    written = write_task(tmp_path, seed=3)
    text = "\n".join(ticket["text"] for ticket in _tickets(written.path))
    for kind, values in written.personal.items():
        assert values, kind
        assert all(value in text for value in values)
    assert all(value.endswith("@example.com") for value in written.personal["email"])
    assert all(re.fullmatch(r"\d{3}-555-01\d\d", value) for value in written.personal["phone"])
    assert all(value.startswith(("192.0.2.", "198.51.100.", "203.0.113.")) for value in written.personal["ip"])
    assert all(_luhn(value) for value in written.personal["card"])


def _luhn(number: str) -> bool:
    digits = [int(sign) for sign in reversed(number) if sign.isdigit()]
    return sum(d if at % 2 == 0 else sum(divmod(2 * d, 10)) for at, d in enumerate(digits)) % 10 == 0


def test_classes_are_unequal_in_the_stated_order(tmp_path):
    counts = Counter(ticket["queue"] for ticket in _tickets(write_task(tmp_path, seed=1, rows=4000).path))
    order = ["refund", "delivery", "exchange", "repair", "account"]
    assert all(counts[more] > counts[less] for more, less in pairwise(order))
    assert counts["refund"] < 3.5 * counts["account"]


def test_rejected_wishes_make_single_words_ambiguous(tmp_path):
    """In most tickets the wish of another queue is named too, so words alone do not tell the queue."""
    tickets = _tickets(write_task(tmp_path, seed=1, rows=2000).path)
    money = [ticket for ticket in tickets if "my money back" in ticket["text"]]
    assert 0.35 < sum(ticket["queue"] == "refund" for ticket in money) / len(money) < 0.85
