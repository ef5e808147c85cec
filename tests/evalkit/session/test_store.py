"""The store: entries, broken entries, two writers."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pyarrow as pa
import pytest

from datakit.core.storage import cache_folder
from evalkit.log import ITEMS, TaskInfo
from evalkit.store import Entry, Store, entry_key


def entry(rows: int = 2) -> Entry:
    items = pa.Table.from_pylist([{"task": "t", "item_id": str(at), "score": 1.0} for at in range(rows)], schema=ITEMS)
    return Entry(TaskInfo(metric="acc"), items, {"limit": None}, {"seconds": 1.5})


def test_what_is_put_is_got_and_only_the_owner_may_read_it(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.get("k") is None
    store.put("k", entry())
    found = store.get("k")
    assert found == entry()
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "k").iterdir()} == {0o600}


@pytest.mark.parametrize("name", ["items.parquet", "entry.json"])
def test_half_an_entry_is_none(name: str, tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.put("k", entry())
    path = tmp_path / "k" / name
    path.write_bytes(path.read_bytes()[:40])
    assert store.get("k") is None
    path.unlink()
    assert store.get("k") is None
    store.put("k", entry())
    assert store.get("k") == entry()


def test_two_writers_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = Store(tmp_path)

    def work(_: int) -> bool:
        store.put("k", entry(50))
        return store.get("k") == entry(50)

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(40)))
    assert sorted(path.name for path in (tmp_path / "k").iterdir()) == ["entry.json", "items.parquet"]


def test_keys_differ_by_every_part() -> None:
    parts = {"weights": "a", "limit": None, "chat": {"thinking": False}}
    keys = {entry_key(parts), *(entry_key({**parts, name: "other"}) for name in parts)}
    assert len(keys) == 4


def test_the_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("DATAKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "datakit"
