"""Examples, steps, hashes, registry, variables and YAML lines."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from datakit.core.errors import DatakitError, RecipeError, StepError
from datakit.core.example import SCHEMA, Example, Message, from_table, to_table
from datakit.core.hashing import digest, file_digest, json_digest, tree_digest
from datakit.core.registry import Registry
from datakit.core.step import StepOutput, entry, ledger_table
from datakit.core.variables import expand
from datakit.core.yaml import load_yaml

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
turns = st.none() | st.lists(st.builds(Message, text, text), max_size=3).map(tuple)
examples = st.builds(
    Example,
    id=text,
    group=text,
    source=text,
    origin=text,
    parent=st.none() | text,
    messages=turns,
    rejected=turns,
    text=st.none() | text,
    choices=st.none() | st.lists(text, max_size=3).map(tuple),
    label=st.none() | text,
    template=st.none() | text,
    fields=st.dictionaries(text, st.none() | text | st.integers(-(2**40), 2**40) | st.lists(text, max_size=2)),
)


@given(st.lists(examples, max_size=4))
def test_examples_travel_through_arrow_unchanged(rows: list[Example]) -> None:
    table = to_table(rows)
    assert table.schema.equals(SCHEMA)
    assert list(from_table(table)) == rows


def test_the_answer_is_the_last_turn_of_the_assistant() -> None:
    made = Example("1", "1", "s", "f:1", messages=(Message("user", "q"), Message("assistant", "a")))
    assert made.answer == "a"
    assert Example("1", "1", "s", "f:1", messages=(Message("user", "q"),)).answer is None
    assert Example("1", "1", "s", "f:1", text="plain").answer is None


@given(st.lists(text, min_size=1, max_size=4), st.lists(text, min_size=1, max_size=4))
def test_parts_of_a_hash_never_run_together(left: list[str], right: list[str]) -> None:
    assert (digest(*left) == digest(*right)) == (left == right)
    assert len(digest(*left)) == 32


def test_hashes_of_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x" * 3_000_000)
    assert file_digest(tmp_path / "a.txt") == hashlib.blake2b(b"x" * 3_000_000, digest_size=16).hexdigest()
    before = tree_digest(tmp_path)
    assert tree_digest(tmp_path, ("*.json",)) != before
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert tree_digest(tmp_path) != before, "names count"
    assert json_digest({"a": 1, "b": 2}) == json_digest({"b": 2, "a": 1})


def test_a_step_that_loses_a_row_is_caught() -> None:
    table = to_table([Example("1", "1", "s", "f:1")])
    dropped = ledger_table([entry("dedup", "2", "merged", "exact_duplicate", evidence={"partner": "1"})])
    StepOutput(table, dropped).balance("dedup", 2)
    with pytest.raises(StepError, match=r"'dedup' does not balance: 3 in \+ 0 created is not 1 out \+ 1 dropped"):
        StepOutput(table, dropped).balance("dedup", 3)
    made = ledger_table([entry("template", "3", "created", "rendered", parent="1")])
    with pytest.raises(StepError):
        StepOutput(table, made).balance("template", 1)


def test_a_registry_loads_on_use_and_names_what_is_near() -> None:
    parts = Registry("datakit.no-such-group", {"digest": "datakit.core.hashing:digest"})
    assert parts.names() == ["digest"]
    assert parts.load("digest") is digest
    with pytest.raises(DatakitError, match=r"no no-such-group named 'digset'. Did you mean 'digest'\?"):
        parts.load("digset")


def test_variables_stand_for_folders_and_need_a_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HERE", "/data")
    monkeypatch.delenv("NOWHERE", raising=False)
    assert expand("${HERE}/x ${NOWHERE:-../y}/z $HERE") == "/data/x ../y/z $HERE"
    monkeypatch.setenv("HERE", "")
    assert expand("${HERE:-default}") == "default"
    with pytest.raises(DatakitError, match="'NOWHERE' is not set"):
        expand("${NOWHERE}/x")


def test_yaml_is_1_2_and_knows_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(
        "rate: 1e-5\nnames: [no, yes, off]\ndata:\n  steps:\n    - dedup: {on: text}\n    - split:\n        test: 2\n"
    )
    document = load_yaml(path)
    assert document.value["rate"] == 1e-5
    assert document.value["names"] == ["no", "yes", "off"]
    assert document.where(["data", "steps", 1, "split", "test"]) == f"{path}:7: data.steps.1.split.test"
    assert document.where(["data", "missing"]) == f"{path}:3: data.missing"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", r"r\.yaml:\d+: not valid YAML"),
        (b"a: 1\na: 2\n", r"r\.yaml:2: not valid YAML"),
        (b"a: !!python/object/apply:os.system [ls]", "not valid YAML"),
        (b"a: !Mine {}", "not valid YAML"),
        (b"a: \xff", "not valid UTF-8"),
    ],
)
def test_yaml_that_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "r.yaml").write_bytes(content)
    with pytest.raises(RecipeError, match=message) as caught:
        load_yaml(tmp_path / "r.yaml")
    assert "\n" not in str(caught.value)
    with pytest.raises(RecipeError, match="no such file"):
        load_yaml(tmp_path / "gone.yaml")
