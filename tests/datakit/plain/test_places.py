"""Object stores, pipes and the commands themselves: S3 on loopback, memory://, standard input and output."""

from __future__ import annotations

import gzip
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.core.errors import DatakitError
from datakit.core.step import StepContext
from datakit.dedup.step import DedupParams, DedupStep
from datakit.plain import open_files, run

ROOT = Path(__file__).resolve().parents[3]
SAME = '{"text": "the parcel never came and I want my money back"}\n'
ROWS = SAME + '{"text": "something else"}\n' + SAME


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """A bucket on a server of this process; its address is where s3fs looks for it."""
    server_module = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    settings = {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "FSSPEC_S3_ENDPOINT_URL": f"http://{host}:{port}",
    }
    with pytest.MonkeyPatch.context() as patch:
        for name, value in settings.items():
            patch.setenv(name, value)
        system = fsspec.filesystem("s3", endpoint_url=settings["AWS_ENDPOINT_URL"], skip_instance_cache=True)
        system.mkdir("bucket")
        yield "s3://bucket"
    server.stop()


def dedup() -> DedupStep:
    return DedupStep(DedupParams(), StepContext())


def read(url: str) -> bytes:
    with fsspec.open(url, "rb") as stream:
        content: bytes = stream.read()
        return content


def write(url: str, content: bytes) -> None:
    with fsspec.open(url, "wb") as stream:
        stream.write(content)


def test_s3_in_and_out(s3: str) -> None:
    for name in ("a", "b"):
        write(f"{s3}/in/{name}.jsonl.gz", gzip.compress(ROWS.encode()))
    files = open_files([f"{s3}/in/*.jsonl.gz"])
    assert [file.name for file in files] == ["s3://bucket/in/a.jsonl.gz", "s3://bucket/in/b.jsonl.gz"]
    result = run(files, [dedup()], f"{s3}/out/")
    assert gzip.decompress(read(f"{s3}/out/a.jsonl.gz")).decode().count("\n") == 2
    assert gzip.decompress(read(f"{s3}/out/b.jsonl.gz")) == b""
    assert result.sidecar == f"{s3}/out.dropped.jsonl"
    rows = [json.loads(line) for line in read(result.sidecar).splitlines()]
    assert len(rows) == result.dropped.total() == 4
    assert rows[0]["origin"] == "s3://bucket/in/a.jsonl.gz:3"


def test_s3_parquet_and_what_is_not_there(s3: str, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(ROWS)
    done = CliRunner().invoke(root, ["convert", str(tmp_path / "a.jsonl"), "--to", "parquet", "-o", f"{s3}/a.parquet"])
    assert done.exit_code == 0, done.output
    run(open_files([f"{s3}/a.parquet"]), [dedup()], f"{s3}/b.parquet")
    import pyarrow.parquet as pq

    with fsspec.open(f"{s3}/b.parquet", "rb") as stream:
        assert pq.read_table(stream).num_rows == 2
    with pytest.raises(DatakitError, match=r"no such file|no file"):
        open_files([f"{s3}/nothing.jsonl"])
    with pytest.raises(DatakitError, match="s3://nobucket"):
        run(open_files([str(tmp_path / "a.jsonl")]), [dedup()], "s3://nobucket/x/a.jsonl")


@pytest.mark.parametrize("scheme", ["memory://plain-test", "file://{folder}"])
def test_other_urls(scheme: str, tmp_path: Path) -> None:
    place = scheme.format(folder=tmp_path)
    write(f"{place}/a.jsonl", ROWS.encode())
    run(open_files([f"{place}/a.jsonl"]), [dedup()], f"{place}/b.jsonl")
    assert read(f"{place}/b.jsonl").decode() == "".join(ROWS.splitlines(keepends=True)[:2])


def shell(line: str, folder: Path, **more: Any) -> subprocess.CompletedProcess[bytes]:
    code = f"{shlex.quote(sys.executable)} -m datakit"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    line = line.replace("datakit", code)
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line], cwd=folder, env=environment, capture_output=True, **more
    )


def test_a_chain_of_pipes(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text('def check(example):\n    return "else" if "else" in example.text else None\n')
    done = shell("datakit filter - --use mine:check | datakit dedup - | datakit convert - --to csv", tmp_path,
                 input=ROWS.encode())  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.decode() == "text\nthe parcel never came and I want my money back\n"
    assert b"1 filter: else" in done.stderr
    assert b"1 dedup: exact_duplicate" in done.stderr
    nothing = shell("datakit filter - -q --use mine:check | datakit dedup - --json", tmp_path, input=b"")
    assert (nothing.returncode, nothing.stdout) == (0, b"")
    assert json.loads(nothing.stderr)["rows_in"] == 0
    broken = shell("datakit filter - --use mine:check | datakit dedup -", tmp_path, input=b'{"text": \n')
    assert broken.returncode == 1
    assert broken.stdout == b""
    assert b"stdin:1" in broken.stderr
    assert b"Traceback" not in broken.stderr


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(root, list(arguments), catch_exceptions=True)


def test_commands_take_the_steps_own_parameters(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jsonl").write_text(
        '{"body": "one two three four five six seven", "score": 1}\n'
        '{"body": "one two three four five six eight", "score": 2}\n'
    )
    same = invoke("dedup", "a.jsonl", "-o", "b.jsonl", "--column", "text=body", "--json")
    assert json.loads(same.output)["rows_out"] == 2
    near = invoke("dedup", "a.jsonl", "-o", "b.jsonl", "--on", "body", "--threshold", "0.3", "--ngram", "2",
                  "--keep", "best", "--by", "score", "--json")  # fmt: skip
    assert json.loads(near.output)["dropped"] == {"dedup: near_duplicate": 1}
    assert json.loads(Path("b.jsonl").read_text())["score"] == 2
    for wrong, message in (
        (["--threshold", "7"], "--threshold"),
        (["--keep", "best"], "by"),
        (["--shard", "1/2"], "--shard"),
    ):
        refused = invoke("dedup", "a.jsonl", "-o", "b.jsonl", *wrong)
        assert refused.exit_code == 2
        assert message in refused.output
    unclear = invoke("dedup", "a.jsonl", "-o", "a.jsonl")
    assert "is the input" in str(unclear.exception)
    assert "another format" in str(invoke("dedup", "a.jsonl", "-o", "b.csv").exception)


def test_split_writes_every_row_once_and_does_not_look_at_the_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = [f"message {n} about something,{'ab'[n % 2]},{n // 5}\n" for n in range(100)]
    for name, rows in (("one", lines), ("two", lines[::-1])):
        Path(f"{name}.csv").write_text("text,label,customer\n" + "".join(rows))
        done = invoke("split", f"{name}.csv", "-o", name, "--test", "0.2", "--validation", "0", "--group", "customer",
                      "--stratify", "label", "--json")  # fmt: skip
        assert done.exit_code == 0, done.output
        assert json.loads(done.output)["rows"] == {"test": 20, "train": 80}
    again = invoke("split", "one.csv", "-o", "one", "--test", "0", "--validation", "0.2")
    assert "test.csv' is there" in str(again.exception)
    sides = {side: sorted(Path(f"one/{side}.csv").read_text().splitlines()[1:]) for side in ("train", "test")}
    assert sorted(sides["train"] + sides["test"]) == sorted(line.rstrip() for line in lines)
    assert sides == {side: sorted(Path(f"two/{side}.csv").read_text().splitlines()[1:]) for side in sides}
    customers = [{line.rpartition(",")[2] for line in rows} for rows in sides.values()]
    assert not customers[0] & customers[1]


@pytest.mark.parametrize("missing", ["credentials", "server"])
def test_a_store_that_does_not_answer_is_one_line(
    missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("s3fs")
    (tmp_path / "a.jsonl").write_text(ROWS)
    settings = {"AWS_EC2_METADATA_DISABLED": "true", "AWS_MAX_ATTEMPTS": "1", "AWS_DEFAULT_REGION": "x",
                "AWS_ENDPOINT_URL": "http://127.0.0.1:9", "FSSPEC_S3_ENDPOINT_URL": "http://127.0.0.1:9",
                "AWS_CONFIG_FILE": str(tmp_path / "none"), "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
                "HOME": str(tmp_path)}  # fmt: skip
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name, raising=False)
        settings |= {} if missing == "credentials" else {name: "x"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    fsspec.get_filesystem_class("s3").clear_instance_cache()
    with pytest.raises(DatakitError, match=r"^s3://bucket/b.jsonl: cannot be written"):
        run(open_files([str(tmp_path / "a.jsonl")]), [dedup()], "s3://bucket/b.jsonl")
    with pytest.raises(DatakitError, match=r"^s3://bucket/a.jsonl: cannot be read"):
        open_files(["s3://bucket/a.jsonl"])
    fsspec.get_filesystem_class("s3").clear_instance_cache()
