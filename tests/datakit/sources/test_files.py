from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import subprocess
import sys
import zipfile

import pytest
import zstandard

import datakit
from datakit.core.errors import DatakitError, SourceError, Unreachable
from datakit.core.variables import expand
from datakit.sources import SourceSpec, Stream, open_source
from datakit.sources.streams import guess_format

CONTENT = b'{"text": "a"}\n{"text": "b"}\n'


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name.replace("__", "/").replace("_", "."), data)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.jsonl.gz", gzip.compress(CONTENT[:14], mtime=0) + gzip.compress(CONTENT[14:], mtime=0)),
        ("a.jsonl.zst", zstandard.compress(CONTENT[:14]) + zstandard.compress(CONTENT[14:])),
        ("a.jsonl.bz2", bz2.compress(CONTENT)),
        ("a.jsonl.xz", lzma.compress(CONTENT)),
        ("a.jsonl.zip", zipped(data_jsonl=CONTENT)),
        ("no-suffix", gzip.compress(CONTENT, mtime=0)),
        ("wrong.jsonl", gzip.compress(CONTENT, mtime=0)),
    ],
)
def test_compression_is_seen_in_the_bytes(tmp_path, name, data):
    (tmp_path / name).write_bytes(data)
    assert datakit.read(tmp_path / name)["text"].to_pylist() == ["a", "b"]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.jsonl.xz"])
def test_cut_off_archives_are_told(tmp_path, name):
    text = "".join(f'{{"text": "{os.urandom(20).hex()}"}}\n' for _ in range(5000)).encode()
    pack = {"gz": gzip.compress, "zst": zstandard.compress, "xz": lzma.compress}[name.rpartition(".")[2]]
    (tmp_path / name).write_bytes(pack(text)[:60_000])
    with pytest.raises(SourceError) as caught:
        open_source("s", SourceSpec(path=name, on_bad_row="skip"), folder=tmp_path).read()
    assert str(caught.value).startswith(f"{name}: ")
    assert "cut off" in str(caught.value)


def test_zip_members_have_their_own_names(tmp_path):
    data = zipped(d__pos_txt=b"good\nfine\n", d__neg_txt=b"bad\n", README_md=b"no\n")
    (tmp_path / "r.zip").write_bytes(data)
    table = datakit.read(
        "r.zip", folder=tmp_path, members="*.txt", labels={"column": "file", "names": ["neg.txt", "pos.txt"]}
    )
    assert table.select(["text", "label", "origin"]).to_pylist() == [
        {"text": "bad", "label": "neg.txt", "origin": "r.zip/d/neg.txt:1"},
        {"text": "good", "label": "pos.txt", "origin": "r.zip/d/pos.txt:1"},
        {"text": "fine", "label": "pos.txt", "origin": "r.zip/d/pos.txt:2"},
    ]
    with pytest.raises(SourceError, match=r"holds README.md, d/neg.txt"):
        datakit.read("r.zip", folder=tmp_path, members="*.csv")


def test_globs_lists_and_their_order(tmp_path):
    for name in ("b/2.jsonl", "a/1.jsonl", "c.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f'{{"text": "{name}"}}\n')
    assert datakit.read("**/*.jsonl", folder=tmp_path)["text"].to_pylist() == ["a/1.jsonl", "b/2.jsonl", "c.jsonl"]
    spec = SourceSpec(path=["c.jsonl", "?/*.jsonl"])
    table = open_source("s", spec, folder=tmp_path).read().output.table
    assert table["origin"].to_pylist() == ["c.jsonl:1", "a/1.jsonl:1", "b/2.jsonl:1"]


def test_a_name_with_brackets_is_a_name(tmp_path):
    (tmp_path / "a[1].jsonl").write_bytes(CONTENT)
    assert datakit.read("a[1].jsonl", folder=tmp_path).num_rows == 2


def test_fsspec_urls(tmp_path):
    import fsspec

    with fsspec.open("memory://bucket/x.jsonl.gz", "wb") as stream:
        stream.write(gzip.compress(CONTENT))
    table = datakit.read("memory://bucket/x.jsonl.gz")
    assert table["origin"].to_pylist() == ["memory://bucket/x.jsonl.gz:1", "memory://bucket/x.jsonl.gz:2"]
    assert datakit.read("memory://bucket/*.gz", format="jsonl").num_rows == 2
    with pytest.raises(SourceError, match="no such file"):
        datakit.read("memory://bucket/none.jsonl")


def test_offline_refuses_urls_and_unknown_protocols_are_told(tmp_path):
    with pytest.raises(Unreachable, match="network: never"):
        open_source("s", SourceSpec(path="https://example.org/a.jsonl"), folder=tmp_path, offline=True)
    with pytest.raises(SourceError, match="fsspec"):
        datakit.read("nonsense://a.jsonl")


def test_standard_input(tmp_path):
    code = "import datakit; print(datakit.read('-').column('origin').to_pylist())"
    done = subprocess.run([sys.executable, "-c", code], input=CONTENT, capture_output=True, check=True)
    assert done.stdout.decode().strip() == "['stdin:1', 'stdin:2']"


def test_variables_keep_ids_free_of_the_machine(tmp_path, monkeypatch):
    ids = []
    for name in ("here", "there"):
        (tmp_path / name / "sub").mkdir(parents=True)
        (tmp_path / name / "sub" / "a.jsonl").write_bytes(CONTENT)
        monkeypatch.setenv("MY_DATA", str(tmp_path / name))
        table = datakit.read("${MY_DATA:-nowhere}/sub/*.jsonl", folder=tmp_path)
        assert table["origin"][0].as_py() == "$MY_DATA/sub/a.jsonl:1"
        ids.append(table["id"].to_pylist())
    assert ids[0] == ids[1]
    monkeypatch.delenv("MY_DATA")
    assert expand("${MY_DATA:-x}/y") == "x/y"
    with pytest.raises(DatakitError, match="MY_DATA"):
        expand("${MY_DATA}/y")


def test_an_absolute_path_is_the_relative_one(tmp_path):
    """Inside the recipe's folder ids do not depend on where that lies; outside they hold the way to the file."""
    ids = []
    for name in ("here", "there"):
        folder = tmp_path / name / "recipe"
        (folder / "sub").mkdir(parents=True)
        (folder / "sub" / "a.jsonl").write_bytes(CONTENT)
        paths = (folder / "sub" / "a.jsonl", folder / "sub" / "*.jsonl", "sub/a.jsonl")
        ids += [datakit.read(str(path), folder=folder)["id"].to_pylist() for path in paths]
    assert all(own == ids[0] for own in ids)
    outside = datakit.read(str(tmp_path / "here" / "recipe" / "sub" / "a.jsonl"), folder=folder)
    assert outside["origin"][0].as_py() == "../../here/recipe/sub/a.jsonl:1"
    assert outside["id"].to_pylist() != ids[0]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("tikets.csv", "did you mean 'tickets.csv'"),
        ("no/where.csv", "there is no folder"),
        ("*.arrow", "no file matches"),
        ("empty.jsonl", "is empty"),
        ("blank.csv", "is empty"),
        ("noise", "format cannot be told"),
        ("text.parquet", "not a readable Parquet"),
    ],
)
def test_what_is_missing_or_unreadable_is_one_line(tmp_path, path, words):
    (tmp_path / "tickets.csv").write_text("text\na\n")
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "blank.csv").write_text("text,label\n")
    (tmp_path / "noise").write_bytes(b"hello there\n\x00\x01")
    (tmp_path / "text.parquet").write_text("no parquet")
    with pytest.raises(SourceError, match=words) as caught:
        datakit.read(path, folder=tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        b'text,label\n"two, three",a\nmore,b\n',
        b"text;label\r\nx, y;a\r\n",
        "\ufeff질문,답\n어디?,여기\n".encode(),
        b'a,b\n"line\nbreak",2\ncut o',
        b"a_b,c d,e.f\n1,2,3\n\n4,,6\n",
    ],
)
def test_a_csv_without_a_name_is_told_by_its_rows(content):
    assert guess_format(Stream("stdin", io.BytesIO(content))) == "csv"


@pytest.mark.parametrize(
    "content",
    [
        b"Well, hello\nthere, you\n",
        b"text,label\n",
        b"text,label\na,b,c\n",
        b"a,a\n1,2\n",
        b'a,b\n"1"x,2\n',
        b"\xff,\n,\n",
    ],
)
def test_what_is_no_csv(content):
    with pytest.raises(SourceError, match="format cannot be told"):
        guess_format(Stream("stdin", io.BytesIO(content)))


def test_a_file_without_permission(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    (tmp_path / "a.jsonl").write_bytes(CONTENT)
    (tmp_path / "a.jsonl").chmod(0)
    with pytest.raises(SourceError, match=r"a\.jsonl: cannot be read"):
        datakit.read("a.jsonl", folder=tmp_path)


def test_the_key_follows_bytes_and_reading_but_not_the_place(tmp_path):
    def key(folder, **options):
        return open_source("s", SourceSpec(path="a.jsonl", **options), folder=folder).key

    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.jsonl").write_bytes(CONTENT)
    first = key(tmp_path / "one")
    assert first == key(tmp_path / "two") == key(tmp_path / "two", private=True)
    assert first != key(tmp_path / "two", columns={"text": "text"})
    (tmp_path / "two" / "a.jsonl").write_bytes(CONTENT + b"\n")
    assert first != key(tmp_path / "two")
