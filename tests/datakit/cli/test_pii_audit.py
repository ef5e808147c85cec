from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from datakit.cli import root
from datakit.plain import open_files
from datakit.plain.sample import sample_texts


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.csv"
    path.write_text("ticket,text\n" + "".join(f"T{n},The parcel number {n} came late\n" for n in range(50)))
    return path


def test_a_table_and_no_file(tickets: Path) -> None:
    before = tickets.read_bytes()
    done = CliRunner().invoke(root, ["pii", str(tickets), "--audit", "110", "--entities", "EMAIL_ADDRESS,US_SSN"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line.split()[:3] for line in lines[1:3]] == [["EMAIL_ADDRESS", "55", "55"], ["US_SSN", "55", "55"]]
    assert lines[3].startswith("canaries found 110 of 110 (95 % interval 0.96")
    assert lines[4] == "names, places and organisations were not looked for (no engine)"
    assert [path.name for path in tickets.parent.iterdir()] == ["tickets.csv"]
    assert tickets.read_bytes() == before


def test_json_and_what_does_not_go_together(tickets: Path) -> None:
    done = CliRunner().invoke(root, ["pii", str(tickets), "--audit", "20", "--min-score", "1", "--json"])
    facts = json.loads(done.stdout)
    assert facts["total"]["planted"] == 20
    assert facts["kinds"]["PHONE_NUMBER"]["found"] == 0, "no telephone number has the score 1"
    for more in (["-o", "x.csv"], ["--replace", "tag"], ["--shard", "1/2"]):
        refused = CliRunner().invoke(root, ["pii", str(tickets), "--audit", "20", *more])
        assert refused.exit_code == 2
        assert "--audit writes nothing" in refused.output


def test_texts_are_drawn_from_all_rows(tickets: Path) -> None:
    files = open_files([str(tickets)])
    every = sample_texts(files, {"text": "text"}, count=1000)
    assert every == [f"The parcel number {n} came late" for n in range(50)]
    some = [sample_texts(files, {"text": "text"}, count=5, seed=seed) for seed in range(40)]
    assert all(len(set(texts)) == 5 for texts in some)
    assert len(set().union(*some)) > 45
    assert len(sample_texts(files, {}, count=1000)) == 100, "without a text column every string"
