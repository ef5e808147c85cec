from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datakit
from datakit.core.errors import SourceError
from datakit.core.example import SCHEMA, source_id
from datakit.sources import SourceSpec, open_source


def write(path: Path, *lines: str | bytes) -> Path:
    path.write_bytes(b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines))
    return path


def skipped(path: Path, **options):
    """Table, ledger and the kept bad rows of a source read with on_bad_row: skip."""
    spec = SourceSpec(path=path.name, on_bad_row="skip", **options)
    bad = path.parent / "bad.jsonl"
    read = open_source("s", spec, folder=path.parent).read(bad_rows=bad)
    kept = [json.loads(line) for line in bad.read_text().splitlines()] if bad.exists() else []
    return read.output.table, read.output.ledger.to_pylist(), kept


def test_rows_keep_place_id_and_the_other_columns(tmp_path):
    lines = ['{"text": "one", "n": 1, "b": {"k": [1, null]}}', "", '{"text": "둘", "n": 2}']
    write(tmp_path / "a.jsonl", *lines)
    table = datakit.read("a.jsonl", folder=tmp_path, name="src")
    assert table.schema == SCHEMA
    assert table["text"].to_pylist() == ["one", "둘"]
    assert table["origin"].to_pylist() == ["a.jsonl:1", "a.jsonl:3"]
    assert table["id"].to_pylist() == [source_id("src", "a.jsonl", n, lines[n - 1].encode()) for n in (1, 3)]
    assert table["group"] == table["id"]
    assert [json.loads(row) for row in table["fields"].to_pylist()] == [{"n": 1, "b": {"k": [1, None]}}, {"n": 2}]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.text(st.characters(exclude_categories=["Cs"]), max_size=5).filter(lambda key: key != "text"),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers()
                | st.floats(allow_nan=False, allow_infinity=False)
                | st.text(st.characters(exclude_categories=["Cs"])),
                lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc"), inner, max_size=3),
            ),
            max_size=4,
        ),
        min_size=1,
        max_size=8,
    ),
    st.sampled_from(["jsonl", "array", "indented"]),
    st.booleans(),
)
def test_whatever_json_writes_is_read_back(tmp_path_factory, rows, layout, ascii_only):
    rows = [{name: value for name, value in row.items() if name not in ("label", "id")} for row in rows]
    rows = [{**row, "text": f"t{index}"} for index, row in enumerate(rows)]
    file = tmp_path_factory.mktemp("j") / ("a.jsonl" if layout == "jsonl" else "a.json")
    if layout == "jsonl":
        text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    else:
        text = json.dumps(rows, ensure_ascii=ascii_only, indent=2 if layout == "indented" else None)
    file.write_text(text, encoding="utf-8")
    table = datakit.read(file)
    assert table["text"].to_pylist() == [row["text"] for row in rows]
    assert [json.loads(f) for f in table["fields"].to_pylist()] == [
        {name: value for name, value in row.items() if name != "text"} for row in rows
    ]
    lines = text.split("\n")
    for origin, row in zip(table["origin"].to_pylist(), rows, strict=True):
        start = int(origin.rpartition(":")[2])
        if layout == "indented":
            assert lines[start - 1].strip() == "{"
        elif layout == "jsonl":
            assert json.loads(text.split("\n")[start - 1]) == row


@pytest.mark.parametrize(
    ("line", "reason", "words"),
    [
        (b'{"text": "a"', "bad_json", "not valid JSON"),
        (b'{"text": "\xff"}', "bad_encoding", "not valid utf-8"),
        (b'["a"]', "bad_row", "array"),
        (b'"a"', "bad_row", "string"),
        (b'{"text": 3}', "wrong_type", "'text'"),
        (b'{"text": null}', "missing_value", "'text'"),
        (b'{"other": "a"}', "missing_value", "'text'"),
        (b'{"text": ""}', "missing_value", "'text'"),
        (b'{"text": "\\ud800"}', "bad_encoding", "surrogate"),
        (b'{"text": "ok", "x": {"y": "\\udfff"}}', "bad_encoding", "surrogate"),
        (b"[" * 100_000, "bad_json", "JSON"),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "bad_json", "JSON"),
    ],
)
def test_a_bad_row_is_named_or_kept(tmp_path, line, reason, words):
    file = write(tmp_path / "a.jsonl", b'{"text": "good"}', line, b'{"text": "also"}')
    with pytest.raises(SourceError, match="on_bad_row") as caught:
        datakit.read("a.jsonl", folder=tmp_path, columns={"text": "text"})
    assert str(caught.value).startswith("a.jsonl:2: ")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    table, ledger, kept = skipped(file, columns={"text": "text"})
    assert table["text"].to_pylist() == ["good", "also"]
    assert [(row["step"], row["action"], row["reason"]) for row in ledger] == [("source:s", "dropped", reason)]
    assert json.loads(ledger[0]["evidence"]) == {"origin": "a.jsonl:2"}
    assert ledger[0]["example_id"] == source_id("s", "a.jsonl", 2, line)
    assert kept[0]["raw"].encode("utf-8", "surrogateescape") == line
    assert (tmp_path / "bad.jsonl").stat().st_mode & 0o777 == 0o600


def test_surrogate_pairs_nul_and_nan_are_fine(tmp_path):
    write(tmp_path / "a.jsonl", r'{"text": "\ud83d\ude00 \u0000", "score": NaN, "far": Infinity}')
    table = datakit.read("a.jsonl", folder=tmp_path)
    assert table["text"].to_pylist() == ["😀 \x00"]
    assert json.loads(table["fields"][0].as_py()) == {"score": None, "far": None}


def test_ten_megabytes_in_one_line(tmp_path):
    write(tmp_path / "a.jsonl", json.dumps({"text": "x" * 10_000_000}), '{"text": "y"}')
    assert [len(text) for text in datakit.read(tmp_path / "a.jsonl")["text"].to_pylist()] == [10_000_000, 1]


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [("cp949", b""), ("euc-kr", b""), ("utf-8", codecs.BOM_UTF8), ("utf-16", b""), ("utf-16-le", b"")],
)
@pytest.mark.parametrize("layout", ["jsonl", "json"])
def test_encodings(tmp_path, encoding, mark, layout):
    rows = [{"text": "안녕하세요", "label": "인사"}, {"text": "고맙습니다", "label": "감사"}]
    text = "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    text = text if layout == "jsonl" else json.dumps(rows, ensure_ascii=False)
    (tmp_path / f"a.{layout}").write_bytes(mark + text.encode(encoding))
    table = datakit.read(f"a.{layout}", folder=tmp_path, encoding=encoding)
    assert table.select(["text", "label"]).to_pylist() == rows


def test_utf16_without_saying_so(tmp_path):
    (tmp_path / "a.jsonl").write_bytes('{"text": "a"}'.encode("utf-16"))
    with pytest.raises(SourceError, match="encoding: utf-16"):
        datakit.read(tmp_path / "a.jsonl")


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ('[{"text": "a"},\n {"text": }]', "a.json:2", "not valid JSON"),
        ('[{"text": "a"}\n {"text": "b"}]', "a.json:2", "comma"),
        ('[{"text": "a"},\n', "a.json", "cut off"),
        ('{\n "rows": []\n}', "a.json:1", "array of objects"),
    ],
)
def test_a_broken_array_is_fatal(tmp_path, text, place, words):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(SourceError, match=words) as caught:
        open_source("s", SourceSpec(path="a.json", on_bad_row="skip"), folder=tmp_path).read()
    assert str(caught.value).startswith(place + ": ")


def test_json_file_with_an_object_per_line(tmp_path):
    write(tmp_path / "a.json", '{"text": "a"}', '{"text": "b"}')
    assert datakit.read(tmp_path / "a.json")["text"].to_pylist() == ["a", "b"]
