"""Nothing is half there: temporary names, whole files, one line when the disk is full or the file is newer."""

from __future__ import annotations

import errno
from pathlib import Path

import pyarrow as pa
import pytest

from datakit.core.errors import DiskFull, NewerFormat, StorageError
from datakit.core.storage import (
    atomic_directory,
    atomic_file,
    read_json,
    read_table,
    write_json,
    write_table,
    write_text,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*"))


def test_a_file_takes_its_name_only_when_the_block_ends_well(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "file.txt"
    write_text(target, "first")
    with pytest.raises(ZeroDivisionError), atomic_file(target) as temporary:
        temporary.write_text(f"half {1 / 0}")
    assert target.read_text() == "first"
    assert names(tmp_path) == ["deep", "file.txt"]


def test_a_folder_replaces_the_old_one_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for content in ("old", "new"):
        with atomic_directory(target) as temporary:
            (temporary / f"{content}.txt").write_text(content)
    assert names(target) == ["new.txt"]
    with pytest.raises(ZeroDivisionError), atomic_directory(target) as temporary:
        (temporary / "half.txt").write_text(f"half {1 / 0}")
    assert names(tmp_path) == ["model", "new.txt"]


def test_private_files_are_the_owners_alone(tmp_path: Path) -> None:
    write_text(tmp_path / "key", "secret", private=True)
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600


def test_a_full_disk_is_one_line_with_exit_code_seven(tmp_path: Path) -> None:
    with pytest.raises(DiskFull) as caught, atomic_file(tmp_path / "file"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.exit_code == 7
    assert "\n" not in str(caught.value)
    assert names(tmp_path) == []


def test_json_carries_its_format_and_a_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "manifest.json"
    write_json(path, {"name": "한글"}, format=2)
    assert read_json(path, format=2) == {"format": 2, "name": "한글"}
    with pytest.raises(NewerFormat, match="format 2, this version reads up to 1"):
        read_json(path)
    with pytest.raises(StorageError, match="not writable as JSON"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path, format=2)["name"] == "한글", "the old file stands"


@pytest.mark.parametrize("content", [b"", b"[1]", b"{}", b'{"format": "1"}', b"\xff\xfe", b'{"format": 1'])
def test_what_is_no_file_of_ours_is_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.json").write_bytes(content)
    with pytest.raises(StorageError, match=r"x\.json: "):
        read_json(tmp_path / "x.json")


def test_equal_tables_give_equal_bytes_and_a_truncated_one_is_an_error(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2, 3], "b": ["x", None, "한"]})
    for name in ("one", "two"):
        write_table(tmp_path / name, table)
    whole = (tmp_path / "one").read_bytes()
    assert whole == (tmp_path / "two").read_bytes()
    assert read_table(tmp_path / "one").equals(table)
    (tmp_path / "two").write_bytes(whole[:-20])
    with pytest.raises(StorageError, match="not a readable Parquet file"):
        read_table(tmp_path / "two")
    with pytest.raises(StorageError, match="no such file"):
        read_table(tmp_path / "three")


def test_memory_that_runs_out_is_no_fault_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments, **named):
        raise pa.lib.ArrowMemoryError("malloc of size 11776 failed")

    monkeypatch.setattr("pyarrow.parquet.read_table", full)
    with pytest.raises(MemoryError):
        read_table(tmp_path / "any.parquet")
