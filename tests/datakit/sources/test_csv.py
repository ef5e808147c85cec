from __future__ import annotations

import csv
import io
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import datakit
from datakit.core.errors import SourceError
from datakit.sources import SourceSpec, open_source

CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\x85\u2028\u2029"), max_size=12)


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELL.filter(lambda text: text.strip() != ""), CELL), min_size=1, max_size=8))
def test_whatever_csv_writes_is_read_back_with_its_line(tmp_path_factory, rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["text", "note"])
    starts = []
    for row in rows:
        starts.append(buffer.getvalue().count("\n") + 1)
        writer.writerow(row)
    file = tmp_path_factory.mktemp("c") / "a.csv"
    file.write_text(buffer.getvalue(), encoding="utf-8", newline="")
    table = datakit.read(file)
    assert table["text"].to_pylist() == [text for text, _ in rows]
    assert [json.loads(row)["note"] for row in table["fields"].to_pylist()] == [note for _, note in rows]
    assert [int(origin.rpartition(":")[2]) for origin in table["origin"].to_pylist()] == starts


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("a;b\nx;1\n", {}),
        ("a\tb\nx\t1\n", {}),
        ("a|b\nx|1\n", {}),
        ("a^b\nx^1\n", {"delimiter": "^"}),
        ("x,1\n", {"header": ["a", "b"]}),
        ("\ufeffa,b\r\n\r\nx,1\r\n", {}),
        (" a ,b\nx,1", {}),
    ],
)
def test_delimiters_headers_and_marks(tmp_path, content, options):
    (tmp_path / "t.csv").write_text(content, encoding="utf-8", newline="")
    table = datakit.read("t.csv", folder=tmp_path, columns={"text": "a"}, **options)
    assert table.select(["text", "fields"]).to_pylist() == [{"text": "x", "fields": '{"b": "1"}'}]


def test_columns_are_numbered_without_a_header(tmp_path):
    (tmp_path / "t.tsv").write_text("x\t1\ny\t2\n")
    table = datakit.read("t.tsv", folder=tmp_path, header=False, columns={"text": "column1"})
    assert table["fields"].to_pylist() == ['{"column2": "1"}', '{"column2": "2"}']


def test_tsv_quotes_are_text_where_they_stray(tmp_path):
    (tmp_path / "t.tsv").write_text('label\ttext\nham\t"Hi" he said\nspam\t"unclosed\nham\tplain\n')
    assert datakit.read(tmp_path / "t.tsv")["text"].to_pylist() == ['"Hi" he said', '"unclosed', "plain"]


def test_tsv_quotes_are_quotes_where_the_file_is_well_quoted(tmp_path):
    (tmp_path / "t.tsv").write_text('label\ttext\nham\t"a\tb ""c"""\nspam\t"two\nlines"\n')
    table = datakit.read(tmp_path / "t.tsv")
    assert table["text"].to_pylist() == ['a\tb "c"', "two\nlines"]
    assert table["origin"].to_pylist() == ["t.tsv:2", "t.tsv:3"] or table["origin"][1].as_py().endswith("t.tsv:3")


def read_skipping(folder, **options):
    return open_source("s", SourceSpec(path="t.csv", on_bad_row="skip", **options), folder=folder).read()


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"a,b,c", "bad_row"),
        (b"a", "bad_row"),
        (b'"x"y,b', "bad_row"),
        (b"\xff,b", "bad_encoding"),
        (b",b", "missing_value"),
        (b"  ,b", "missing_value"),
    ],
)
def test_one_bad_row_costs_one_row(tmp_path, line, reason):
    (tmp_path / "t.csv").write_bytes(b"text,label\ngood,1\n" + line + b"\nalso,2\n")
    with pytest.raises(SourceError) as caught:
        datakit.read("t.csv", folder=tmp_path)
    assert str(caught.value).startswith("t.csv:3: ")
    read = read_skipping(tmp_path)
    assert read.output.table["text"].to_pylist() == ["good", "also"]
    assert read.output.table["origin"].to_pylist() == ["t.csv:2", "t.csv:4"]
    assert read.output.ledger["reason"].to_pylist() == [reason]
    assert read.rows_in == 3


def test_a_quote_that_is_never_closed_is_fatal_even_when_bad_rows_are_skipped(tmp_path):
    (tmp_path / "t.csv").write_text('text,label\na,1\n"b,2\nc,3\nd,4\n')
    with pytest.raises(SourceError, match="never closed") as caught:
        read_skipping(tmp_path)
    assert str(caught.value).startswith("t.csv:3: ")
    assert "quoting: none" in str(caught.value)
    assert datakit.read("t.csv", folder=tmp_path, quoting="none")["text"].to_pylist() == ["a", '"b', "c", "d"]


def test_two_columns_of_one_name(tmp_path):
    (tmp_path / "t.csv").write_text("text,text\na,b\n")
    with pytest.raises(SourceError, match="two columns are named 'text'"):
        datakit.read(tmp_path / "t.csv")


def test_big_cells_and_cp949(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"text,label\n" + ("가" * 200_000 + ",긍정\n뷁,부정\n").encode("cp949"))
    table = datakit.read("t.csv", folder=tmp_path, encoding="cp949")
    assert [len(text) for text in table["text"].to_pylist()] == [200_000, 1]
    assert table["label"].to_pylist() == ["긍정", "부정"]


def test_a_broken_two_byte_character_is_one_bad_row(tmp_path):
    (tmp_path / "t.csv").write_bytes("text,label\n가,1\n".encode("cp949") + b"\xb0\n" + "나,2\n".encode("cp949"))
    read = read_skipping(tmp_path, encoding="cp949")
    assert read.output.table["text"].to_pylist() == ["가", "나"]
    assert read.output.ledger["reason"].to_pylist() == ["bad_encoding"]
