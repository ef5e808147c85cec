"""Commands on plain files with files as people have them: gzipped csv, Latin-1 dust, Korean, chat, preference pairs."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from datakit.cli import root

pytestmark = pytest.mark.real


def call(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(root, [*arguments, "--json"])
    assert done.exit_code == 0, (done.output, done.exception)
    found: dict[str, Any] = json.loads(done.output)
    return found


def only(folder: Path, pattern: str) -> Path:
    (path,) = sorted(folder.glob(pattern))
    return path


def test_banking77_without_its_duplicates_is_a_part_of_the_file(real_data: Path, tmp_path: Path) -> None:
    source = only(real_data / "classification" / "banking77", "train.csv*")
    target = tmp_path / "out.csv"
    found = call("dedup", str(source), "-o", str(target), "--threshold", "1", "--on-conflict", "keep")
    before = gzip.decompress(source.read_bytes()) if source.suffix == ".gz" else source.read_bytes()
    lines, kept = before.splitlines(keepends=True), target.read_bytes().splitlines(keepends=True)
    assert found["rows_in"] == found["rows_out"] + sum(found["dropped"].values())
    assert kept[0] == lines[0]
    assert not Counter(kept) - Counter(lines)
    assert len(kept) < len(lines)


def test_korean_chat_goes_through_every_format(real_data: Path, tmp_path: Path) -> None:
    source = only(real_data / "instruction" / "korean_chatbot", "*.csv*")
    rows = call("convert", str(source), "--to", "parquet", "-o", str(tmp_path / "a.parquet"))["rows_out"]
    call("convert", str(tmp_path / "a.parquet"), "--to", "jsonl", "-o", str(tmp_path / "a.jsonl.zst"))
    call("convert", str(tmp_path / "a.jsonl.zst"), "--to", "csv", "-o", str(tmp_path / "a.csv"))
    call("convert", str(source), "--to", "csv", "-o", str(tmp_path / "b.csv"))
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes()
    exported = call("convert", str(source), "--to", "alpaca", "-o", str(tmp_path / "alpaca.json"))
    assert exported["rows"] == {"train": rows}
    assert len(json.loads((tmp_path / "alpaca.json").read_text())) == rows


def test_instructions_keep_their_input(real_data: Path, tmp_path: Path) -> None:
    source = only(real_data / "instruction" / "gpteacher", "roleplay*.json*")
    rows = json.loads(gzip.decompress(source.read_bytes()))
    call("convert", str(source), "--to", "trl", "-o", str(tmp_path / "trl.jsonl"))
    made = [json.loads(line) for line in (tmp_path / "trl.jsonl").read_text().splitlines()]
    assert len(made) == len(rows)
    for row, one in zip(rows, made, strict=True):
        asked = row["instruction"] + (f"\n\n{row['input']}" if row["input"].strip() else "")
        assert one["prompt"][-1]["content"] == asked
        assert one["completion"] == [
            {"role": "assistant", "content": row["response" if "response" in row else "output"]}
        ]


def test_pairs_come_back_as_they_went(real_data: Path, tmp_path: Path) -> None:
    """LLaMA-Factory's own demonstration file, read and written in its own format."""
    source = only(real_data / "instruction" / "dpo_preference_demo", "*.json*")
    call("convert", str(source), "--to", "llamafactory", "-o", str(tmp_path / "out"))
    rows = json.loads(gzip.decompress(source.read_bytes()))
    made = json.loads((tmp_path / "out" / "train.json").read_text())
    for was, row in zip(rows, made, strict=True):
        system = [{"from": "system", "value": row["system"]}] if row["system"] else []  # there a column of its own
        talk = [*system, *row["conversations"]]
        assert was == {"conversations": talk, "chosen": row["chosen"], "rejected": row["rejected"]}


def test_personal_data_in_spam(real_data: Path, tmp_path: Path) -> None:
    whole = gzip.decompress((real_data / "classification" / "sms_spam" / "SMSSpamCollection.gz").read_bytes())
    source = tmp_path / "sms.tsv"
    source.write_bytes(b"".join(whole.splitlines(keepends=True)[:1000]))
    target = tmp_path / "out.tsv"
    said = ("--no-header", "--encoding", "latin-1")
    found = call("pii", str(source), "-o", str(target), *said, "--regions", "GB", "--entities", "EMAIL_ADDRESS,URL")
    old, new = source.read_bytes().splitlines(), target.read_bytes().splitlines()
    assert len(old) == len(new)
    changed = [after for was, after in zip(old, new, strict=True) if was != after]
    assert len(changed) == found["changed"] > 0
    assert all(b"<EMAIL_ADDRESS>" in line or b"<URL>" in line for line in changed)
