"""A file nobody has described: what is seen in it, and what is refused."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from datakit.core.errors import SourceError
from datakit.experiment.look import look


def seen(folder: Path, name: str, content: str | bytes) -> dict[str, object]:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    sight = look(str(path))
    return {"format": sight.format, "rows": len(sight.rows), "bad": sight.bad, **sight.options}


def test_formats_by_name_and_by_content(tmp_path: Path) -> None:
    rows = [{"text": f"row {index}", "label": "a"} for index in range(3)]
    lines = "".join(json.dumps(row) + "\n" for row in rows)
    assert seen(tmp_path, "a.jsonl", lines)["format"] == "jsonl"
    assert seen(tmp_path, "a.json", json.dumps(rows))["format"] == "json"
    assert seen(tmp_path, "no-name", lines)["rows"] == 3
    assert seen(tmp_path, "a.csv", "text,label\nx,a\ny,b\n")["format"] == "csv"
    assert seen(tmp_path, "a.csv.gz", gzip.compress(b"text,label\nx,a\ny,b\n")) == {
        "format": "csv",
        "rows": 2,
        "bad": 0,
    }
    assert seen(tmp_path, "tabs", "text\tlabel\nx\ta\ny\tb\n")["format"] == "tsv"
    assert seen(tmp_path, "prose", "One line.\nAnother line of it.\n")["format"] == "text"


def test_parquet(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"text": ["a", "b"], "label": [0, 1]}), tmp_path / "x.parquet")
    sight = look(str(tmp_path / "x.parquet"))
    assert sight.format == "parquet"
    assert [column.kind for column in sight.columns] == ["text", "number"]


@pytest.mark.parametrize(
    ("table", "header"),
    [
        ("text,label\ngood,1\nbad,0\ngood,1\n", None),
        ("ham,see you at eight\nspam,win now\nham,call me\nham,late\n", ["label", "text"]),
        ("1,the first of many\n2,the second of many\n3,the third\n", ["column1", "text"]),
        (",text\n0,the first\n1,the second\n", None),  # the index column of pandas
        ("question,answer\nwhy,because\nhow,so\n", None),
    ],
)
def test_a_header_is_told_from_a_row(tmp_path: Path, table: str, header: list[str] | None) -> None:
    assert seen(tmp_path, "t.csv", table).get("header") == header


@pytest.mark.parametrize(
    ("text", "encoding", "said"),
    [
        ("text,label\ncaf\u00e9,a\nna\u00efve,b\n", "utf-8", None),
        ("text,label\ncaf\u00e9,a\nna\u00efve,b\n", "latin-1", "latin-1"),
        ("text,label\n한국어 문장입니다,a\n두 번째 문장,b\n", "cp949", "cp949"),
        ("text,label\n한국어 문장입니다,a\n두 번째 문장,b\n", "utf-16", "utf-16"),
        ("text,label\nplain,a\nascii,b\n", "utf-8-sig", None),
    ],
)
def test_encodings(tmp_path: Path, text: str, encoding: str, said: str | None) -> None:
    found = seen(tmp_path, "t.csv", text.encode(encoding))
    assert found.get("encoding") == said
    assert found["rows"] == 2


def test_a_few_broken_rows_in_good_utf8_are_skipped_not_called_latin(tmp_path: Path) -> None:
    good = "".join(f"caf\u00e9 {index},a\n" for index in range(20)).encode()
    found = seen(tmp_path, "t.csv", b"text,label\n" + good + b"caf\xe9,b\n")
    assert found == {"format": "csv", "rows": 20, "bad": 1, "on_bad_row": "skip"}


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("empty.csv", b"", "empty"),
        ("blank.jsonl", b"\n\n  \n", "empty"),
        ("noise.bin", bytes(range(256)) * 8, "binary"),
        ("picture.png", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "binary"),
        ("header.csv", b"text,label\n", "no rows"),
        ("broken.json", b'[{"a": 1}, {"a":', "not valid JSON"),
        ("ragged.tsv", b"# a comment\n1\ta\tb\n2\tc\td\n3\te\tf\n", "do not fit"),
        ("tokens.conll", b"The O\ncat B-X\n\nA O\ndog B-X\n\nOne O\nbird B-X\n", "token"),
        ("cut.csv.gz", gzip.compress(b"text,label\n" + b"some text,a\n" * 50_000, mtime=0)[:300], "cut off"),
    ],
)
def test_what_is_refused_in_one_line(tmp_path: Path, name: str, content: bytes, words: str) -> None:
    with pytest.raises(SourceError) as caught:
        seen(tmp_path, name, content)
    assert words in str(caught.value)
    assert name in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no-such"):
        look("no-such.csv", folder=tmp_path)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="folder"):
        look(str(tmp_path))
