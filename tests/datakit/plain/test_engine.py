"""What comes out of a step is what went in, minus rows or with text replaced, in every format."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from datakit.core.errors import SourceError, UsageError
from datakit.core.step import StepContext
from datakit.dedup.step import DedupParams, DedupStep
from datakit.filters.function import FilterParams, FilterStep
from datakit.pii.step import PiiParams, PiiStep
from datakit.plain import PlainResult, Reading, open_files, run
from datakit.plain.changes import edit_json, put

LONG = "I would like my money back because the parcel came much too late"

JSONL = (
    b'\xef\xbb\xbf{"text": "' + LONG.encode() + b'", "n": 1.10,  "x": {"b": [1, null], "a": 1e400}}\r\n'
    b'{"n": 2, "text": "' + LONG.encode() + b'"}\r\n'
    b"\r\n"
    b'{"text": "write to ann@example.com", "n": 12345678901234567890.5, "x": {"to": ["ann@example.com"]}}\n'
    b'{"text": null}\n'
    b'{"text": "\\u00e9t\\u00e9 \xd7\xa9\xd7\x9c\xd7\x95\xd7\x9d \xf0\x9f\x98\x80 last without a line end"}'
)


def dedup() -> DedupStep:
    return DedupStep(DedupParams(), StepContext())


def pii(**params: Any) -> PiiStep:
    return PiiStep(PiiParams(**params), StepContext())


def checked(folder: Path, body: str) -> FilterStep:
    (folder / "mine.py").write_text(f"def check(example):\n    {body}\n")
    return FilterStep(FilterParams(use="mine:check"), StepContext(folder=folder))


def call(source: Path, step: Any, target: Path, **more: Any) -> PlainResult:
    return run(open_files([str(source)]), [step], str(target), needs_text=False, **more)


def dropped(target: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{target}.dropped.jsonl").read_text().splitlines()]


def test_nothing_to_do_writes_the_same_bytes(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes(JSONL)
    result = call(source, checked(tmp_path, "return None"), target)
    assert target.read_bytes() == JSONL
    assert (result.rows_in, result.rows_out) == (5, 5)
    assert not Path(f"{target}.dropped.jsonl").exists()


def test_a_dropped_row_leaves_the_others_as_they_were_and_stands_in_the_sidecar(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes(JSONL)
    call(source, dedup(), target)
    lines = JSONL.split(b"\n")
    assert target.read_bytes() == b"\n".join([lines[0], *lines[3:]])
    (row,) = dropped(target)
    assert (row["step"], row["reason"]) == ("dedup", "exact_duplicate")
    assert row["origin"].endswith("a.jsonl:2")
    assert row["evidence"]["partner"].endswith("a.jsonl:1")
    assert row["row"] == {"n": 2, "text": LONG}


def test_replaced_text_is_all_that_changes(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_bytes(JSONL)
    result = call(source, pii(), target)
    assert target.read_bytes() == JSONL.replace(b"ann@example.com", b"<EMAIL_ADDRESS>")
    assert result.changed == 1


def test_csv_keeps_header_quotes_line_ends_and_line_breaks_in_cells(tmp_path: Path) -> None:
    body = (
        b'id;"body";note\r\n1;"two\r\nlines; ""quoted""";x\r\n'
        b"2;ann@example.com;\r\n"
        b'"3";"call ann@example.com; please";"z"\n'
    )
    source, target = tmp_path / "a.csv", tmp_path / "b.csv"
    source.write_bytes(body)
    call(source, pii(), target)
    assert target.read_bytes() == body.replace(b"ann@example.com", b"<EMAIL_ADDRESS>")
    kept = checked(tmp_path, "return 'gone' if example.fields['id'] == '1' else None")
    call(source, kept, target)
    assert target.read_bytes() == b'id;"body";note\r\n' + body[body.index(b"2;ann") :]
    assert dropped(target)[0]["row"]["body"] == 'two\r\nlines; "quoted"'


def test_tsv_whose_quotes_are_text_and_an_encoding(tmp_path: Path) -> None:
    body = 'text\tlabel\n"한국어 ann@example.com\tb\n3" pipe\ta\n'.encode("cp949")
    source, target = tmp_path / "a.tsv", tmp_path / "b.tsv"
    source.write_bytes(body)
    run(open_files([str(source)], Reading(encoding="cp949")), [pii()], str(target))
    assert target.read_bytes() == body.replace(b"ann@example.com", b"<EMAIL_ADDRESS>")


def test_a_json_array_and_a_text_file(tmp_path: Path) -> None:
    array, target = tmp_path / "a.json", tmp_path / "b.json"
    rows = [{"text": "ann@example.com", "n": 1}, {"text": "fine", "n": 2}]
    array.write_text(json.dumps(rows, indent=2))
    call(array, pii(), target)
    assert json.loads(target.read_text()) == [{"text": "<EMAIL_ADDRESS>", "n": 1}, {"text": "fine", "n": 2}]
    lines, clean = tmp_path / "a.txt", tmp_path / "b.txt"
    lines.write_text("one\n\nann@example.com\nthree")
    call(lines, pii(), clean)
    assert clean.read_text() == "one\n\n<EMAIL_ADDRESS>\nthree"
    call(lines, checked(tmp_path, "return 'gone' if example.text == 'three' else None"), clean)
    assert clean.read_text() == "one\n\nann@example.com\n"


def nested() -> pa.Table:
    turns = pa.list_(pa.struct([("role", pa.string()), ("content", pa.large_string())]))
    return pa.table(
        {
            "messages": pa.array(
                [[{"role": "user", "content": f"write to ann@example.com {n}"}, {"role": "x", "content": None}]
                 if n % 3 == 0 else None for n in range(10)],
                turns,
            ),
            "when": pa.array(range(10), pa.timestamp("ns")),
            "phone": pa.array([4111111111111111 if n == 3 else n for n in range(10)], pa.int64()),
            "kind": pa.array(["ann@example.com" if n == 0 else "b" for n in range(10)]).dictionary_encode(),
            "raw": pa.array([b"\xff\x00"] * 10, pa.binary()),
            "map": pa.array([[("k", "bob@example.com")]] * 10, pa.map_(pa.string(), pa.string())),
        }
    ).replace_schema_metadata({"mine": "kept"})  # fmt: skip


def test_parquet_keeps_schema_metadata_and_every_other_value(tmp_path: Path) -> None:
    source, target = tmp_path / "a.parquet", tmp_path / "b.parquet"
    pq.write_table(nested(), source, row_group_size=4, compression="gzip")
    result = call(source, pii(), target)
    before, after = pq.read_table(source), pq.read_table(target)
    assert after.schema.equals(before.schema, check_metadata=True)
    text = str(after.to_pydict())
    assert "ann@example.com" not in text
    assert "bob@example.com" not in text
    assert after["messages"][3].as_py()[0]["content"] == "write to <EMAIL_ADDRESS> 3"
    assert after["when"].equals(before["when"])
    assert after["raw"].equals(before["raw"])
    assert after["messages"][1].as_py() is None
    assert pq.ParquetFile(target).metadata.row_group(0).column(0).compression == "GZIP"
    assert after["phone"].to_pylist() == [0, 1, 2, None, *range(4, 10)], "an integer column holds no tag"
    assert result.nulled == 1
    keep = checked(tmp_path, "return 'odd' if example.fields['phone'] % 2 else None")
    call(source, keep, target)
    assert pq.read_table(target).to_pylist() == before.to_pylist()[::2]
    assert len(dropped(target)) == 5


@pytest.mark.parametrize(("suffix", "pack"), [(".gz", gzip.compress), (".zst", zstandard.compress)])
def test_compression_is_kept_and_equal_input_gives_equal_bytes(tmp_path: Path, suffix: str, pack: Any) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        (tmp_path / "in" / f"{name}.jsonl{suffix}").write_bytes(pack(JSONL))
    files = open_files([str(tmp_path / "in" / "*")])
    for out in ("one", "two"):
        run(files, [checked(tmp_path, "return None")], str(tmp_path / out))
    one, two = (sorted((tmp_path / out).iterdir()) for out in ("one", "two"))
    assert [path.name for path in one] == [f"a.jsonl{suffix}", f"b.jsonl{suffix}"]
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in two]
    (again,) = open_files([str(one[0])])
    assert b"".join(record.raw for batch in again.batches() for record in batch.records) == JSONL


def test_duplicates_are_found_across_files_and_written_into_one(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.csv").write_text(f"text,n\n{LONG},1\nonly in {name} and nowhere else,2")
    out = tmp_path / "all.csv"
    run(open_files([str(tmp_path / "?.csv")]), [dedup()], str(out))
    assert out.read_text() == f"text,n\n{LONG},1\nonly in a and nowhere else,2\nonly in b and nowhere else,2"
    (tmp_path / "c.csv").write_text("other,n\nx,1\n")
    with pytest.raises(UsageError, match="other columns"):
        run(open_files([str(tmp_path / "?.csv")]), [checked(tmp_path, "return None")], str(out))
    assert "only in a" in out.read_text(), "a failed run leaves what was there"


@pytest.mark.parametrize("many", [2, 3, 7])
def test_shards_are_disjoint_and_complete(tmp_path: Path, many: int) -> None:
    lines = [b'{"text": "row %d of several"}\n' % n for n in range(20)]
    (tmp_path / "a.jsonl").write_bytes(b"".join(lines))
    found: list[bytes] = []
    for one in range(1, many + 1):
        out = tmp_path / f"{one}.jsonl"
        result = call(tmp_path / "a.jsonl", checked(tmp_path, "return None"), out, shard=(one, many))
        assert result.rows_in == result.rows_out == len(lines[one - 1 :: many])
        found += out.read_bytes().splitlines(keepends=True)
    assert sorted(found) == sorted(lines)
    with pytest.raises(UsageError, match="all rows"):
        call(tmp_path / "a.jsonl", dedup(), tmp_path / "x.jsonl", shard=(1, 2))


def test_shards_of_many_files_write_into_one_folder(tmp_path: Path) -> None:
    for folder in "abc":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.jsonl").write_text(f'{{"text": "{folder}"}}\n{{"text": "drop"}}\n')
    step = checked(tmp_path, "return 'gone' if example.text == 'drop' else None")
    for one in (1, 2):
        run(open_files([str(tmp_path / "?" / "x.jsonl")]), [step], str(tmp_path / "out"), shard=(one, 2))
    written = {path.parent.name: path.read_text() for path in (tmp_path / "out").rglob("*.jsonl")}
    assert written == {folder: f'{{"text": "{folder}"}}\n' for folder in "abc"}
    beside = [json.loads(line) for path in tmp_path.glob("out.dropped-*") for line in path.read_text().splitlines()]
    assert sorted(row["origin"].split("/")[-2] for row in beside) == ["a", "b", "c"]


def test_what_pii_writes_beside_the_output_shows_no_row(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text(
        '{"text": "ann@example.com"}\n{"text": "bob@example.com\n{"mail": "eve@example.com", "mail": "x"}\n'
    )
    with pytest.raises(SourceError, match=r"a\.jsonl:2.*--skip-bad-rows") as error:
        call(source, pii(), target)
    assert "bob@" not in str(error.value)
    assert not target.exists()
    result = call(source, pii(), target, skip_bad_rows=True)
    assert dict(result.dropped) == {"read: bad_json": 1, "read: doubled_key": 1}
    for path in (target, Path(f"{target}.dropped.jsonl")):
        assert "@" not in path.read_text()
    assert Path(f"{target}.dropped.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_key_that_is_personal_data(tmp_path: Path) -> None:
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    source.write_text('{"n": 1.50, "by": {"ann@example.com": 1.50, "z": 2}}\n')
    call(source, pii(), target)
    assert json.loads(target.read_text()) == {"n": 1.5, "by": {"<EMAIL_ADDRESS>": 1.5, "z": 2}}
    assert '"n": 1.50' in target.read_text()
    table = tmp_path / "a.csv"
    table.write_text("ann@example.com,text\n1,hello\n")
    with pytest.raises(Exception, match="column's name"):
        call(table, pii(), tmp_path / "b.csv")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(json_values, st.data(), st.sampled_from([None, 1]), st.booleans())
def test_editing_json_text_equals_editing_its_value(value: Any, data: st.DataObject, indent: Any, ascii: bool) -> None:
    def places(node: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
        return [path, *(place for key, item in items for place in places(item, (*path, key)))]

    path, new = data.draw(st.sampled_from(places(value))), data.draw(st.text())
    text = json.dumps(value, ensure_ascii=ascii, indent=indent)
    assert json.loads(edit_json(text, {path: new})) == put(value, path, new)
    assert edit_json(text, {}) == text


@pytest.mark.parametrize("replace", ["tag", "surrogate"])
def test_a_value_found_in_one_batch_is_replaced_in_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, replace: str
) -> None:
    monkeypatch.setattr("datakit.plain.files._ROWS", 3)
    source, target = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    rows = [{"text": f"part {n}"} for n in range(10)]
    rows[0]["text"] = rows[9]["text"] = "order 536221234, thanks"
    rows[5]["text"] = "my ssn: 536221234"
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = call(source, pii(replace=replace), target)
    assert result.changed == 3
    assert "536221234" not in target.read_text()
    new = [json.loads(line)["text"] for line in target.read_text().splitlines()]
    assert new[0] == new[9]
    assert new[0].removeprefix("order ").removesuffix(", thanks") == new[5].removeprefix("my ssn: ")
    assert new[1:5] == [f"part {n}" for n in range(1, 5)]
