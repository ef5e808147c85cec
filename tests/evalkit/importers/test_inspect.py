"""Logs written by inspect itself on its mock model; the statuses and flips are those the mock was told to give."""

from __future__ import annotations

import subprocess
import sys
import zipfile

import pytest

from evalkit import compare, gate
from evalkit.errors import LogError, NotComparable
from evalkit.importers import importer_of, read_foreign


def test_answers_scores_and_statuses(inspect_logs):
    log = read_foreign(inspect_logs / "after")
    rows = {row["item_id"]: row for row in log.primary().to_pylist() if row["task"] == "sums"}
    assert len(rows) == 12
    assert [rows[f"q{at}"]["status"] for at in range(5)] == ["truncated"] * 3 + ["empty", "ok"]
    assert [rows[f"q{at}"]["score"] for at in range(12)] == [0.0] * 4 + [1.0] * 8
    assert rows["q5"]["prompt"] == "user: What is 5 + 5?"
    assert (rows["q5"]["answer"], rows["q5"]["target"]) == ("10", "10")
    assert {row["metric"] for row in log.items.to_pylist() if row["task"] == "sums"} == {"match", "includes"}


def test_two_models_are_compared(inspect_logs):
    found = compare(read_foreign(inspect_logs / "before"), read_foreign(inspect_logs / "after"))
    sums, pick = found.row("sums"), found.row("pick")
    assert (sums.paired.lost, sums.statuses) == (4, {"truncated": 3, "empty": 1})
    assert (pick.paired.lost, pick.paired.gained) == (4, 0)
    assert pick.metric == "choice"
    flip = next(row for row in found.flips.to_pylist() if row["task"] == "pick")
    assert (flip["before"], flip["after"]) == ("B", "A")
    assert "A) red" in flip["prompt"]
    assert any("chat template" in note for note in found.notes)
    assert gate(found).status == "regressed"  # a third of each task is lost


def test_chance_is_that_of_the_choices(inspect_logs):
    tasks = read_foreign(inspect_logs / "before").header.tasks
    assert tasks["pick"].chance == pytest.approx(1 / 3)
    assert tasks["sums"].chance == 0


def test_epochs_are_averaged_and_part_of_the_settings(inspect_logs):
    log = read_foreign(inspect_logs / "epochs")
    assert log.primary().num_rows == 24
    assert any("means over 2 epochs" in note for note in log.header.notes)
    with pytest.raises(NotComparable, match="epochs is 1 before and 2 after"):
        compare(read_foreign(inspect_logs / "before"), log)


def test_one_file_is_one_task(inspect_logs):
    file = next((inspect_logs / "before").glob("*sums*.eval"))
    assert importer_of(file) == "inspect"
    assert list(read_foreign(file).header.tasks) == ["sums"]


def test_a_cut_off_file_is_named(inspect_logs, tmp_path):
    file = next((inspect_logs / "before").glob("*sums*.eval"))
    cut = tmp_path / "cut.eval"
    cut.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(LogError, match="cut off") as raised:
        read_foreign(cut)
    assert "cut.eval" in str(raised.value)


def test_flipped_bytes_are_found(inspect_logs, tmp_path):
    file = next((inspect_logs / "before").glob("*sums*.eval"))
    with zipfile.ZipFile(file) as archive:
        info = archive.getinfo("header.json")
    data = bytearray(file.read_bytes())
    for at in range(200, 220):
        data[info.header_offset + at] ^= 0xFF
    broken = tmp_path / "broken.eval"
    broken.write_bytes(data)
    with pytest.raises(LogError, match=r"header\.json"):
        read_foreign(broken)


def _zip(path, **members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in members.items():
            archive.writestr(name.replace("__", "/") + ".json", text)
    return path


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ('{"version": 2, "status": "error", "eval": {}, "error": {"message": "no key"}}', "did not finish.*no key"),
        ('{"version": 9, "status": "success"}', "version 9"),
        ('{"version": 2, "status": "success", "eval": {}}', "no task and model"),
        ("[]", "no JSON object"),
        ("{", "is not JSON"),
    ],
)
def test_headers_that_say_too_little(tmp_path, header, said):
    with pytest.raises(LogError, match=said):
        read_foreign(_zip(tmp_path / "log.eval", header=header))


def test_unfinished_and_unscored(tmp_path):
    with pytest.raises(LogError, match=r"no header\.json"):
        read_foreign(_zip(tmp_path / "a.eval", summaries="[]"))
    header = '{"version": 2, "status": "success", "eval": {"task": "t", "model": "m"}}'
    with pytest.raises(LogError, match="no sample of task 't' has a score"):
        read_foreign(_zip(tmp_path / "b.eval", header=header, samples__1_epoch_1='{"id": 1}'))
    scored = '{"id": 1, "input": "q", "target": "x", "scores": {"s": {"value": "maybe"}}}'
    with pytest.raises(LogError, match="'maybe' is no number"):
        read_foreign(_zip(tmp_path / "c.eval", header=header, samples__1_epoch_1=scored))


def test_from_the_command_line(inspect_logs, tmp_path):
    start = [sys.executable, "-m", "datakit"]
    command = [*start, "compare", inspect_logs / "before", inspect_logs / "after", "-o", tmp_path / "out"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "NOTE" in ran.stdout
    answer = subprocess.run([*start, "gate", tmp_path / "out"], capture_output=True, text=True, check=False)
    assert answer.returncode == 3
