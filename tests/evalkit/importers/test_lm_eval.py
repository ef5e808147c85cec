"""lm-eval's own files, written by lm-eval on its dummy model: scores, answers, hashes and settings arrive."""

from __future__ import annotations

import json
import shutil

import pytest

from evalkit import compare, gate
from evalkit.errors import LogError, NotComparable
from evalkit.importers import importer_of, read_foreign


def results(folder):
    return json.loads(next(folder.rglob("results_*.json")).read_text())


def test_scores_are_lm_evals_own(lm_eval_logs):
    folder = lm_eval_logs("before")
    log, said = read_foreign(folder), results(folder)["results"]
    assert log.header.model == "org/before"
    for task, metric, filter_name in (
        ("pick", "acc", "none"),
        ("pick", "acc_norm", "none"),
        ("words", "exact_match", "strict"),
    ):
        rows = [
            row
            for row in log.items.to_pylist()
            if (row["task"], row["metric"], row["filter"]) == (task, metric, filter_name)
        ]
        assert len(rows) == 24
        assert sum(row["score"] for row in rows) / 24 == pytest.approx(said[task][f"{metric},{filter_name}"])
    bits = [row for row in log.items.to_pylist() if row["task"] == "prose" and row["is_primary"]]
    total = sum(row["score"] * row["n_bytes"] for row in bits) / sum(row["n_bytes"] for row in bits)
    assert total == pytest.approx(said["prose"]["bits_per_byte,none"])


def test_answers_and_hashes(lm_eval_logs):
    rows = read_foreign(lm_eval_logs("before")).primary().to_pylist()
    pick = [row for row in rows if row["task"] == "pick"]
    for row in pick:
        assert (row["answer"] == row["target"]) == (row["score"] == 1)
        assert row["n_choices"] == 3
        assert len(row["choice_logprobs"]) == 3
        assert all(row[name] for name in ("doc_hash", "prompt_hash", "target_hash"))
    assert {row["target"] for row in pick} == {"red", "blue", "green"}
    assert {row["answer"] for row in rows if row["task"] == "words"} == {"lol"}
    assert all(row["n_tokens"] is None for row in rows)  # lm-eval does not log them


def test_two_runs_are_compared(lm_eval_logs):
    found = compare(read_foreign(lm_eval_logs("before")), read_foreign(lm_eval_logs("after")))
    assert {row.task for row in found.general} == {"pick", "words"}
    assert found.row("pick").paired.forgetting is not None
    assert found.row("words").difference == 0
    assert found.drift[0].bits_per_byte is not None
    assert found.drift[0].per_token is None
    assert any("which weights" in note for note in found.notes)
    assert not any("not known" in note for note in found.notes)
    assert gate(found).status == "unsure"  # 24 items


def test_other_settings_are_refused(lm_eval_logs, tmp_path):
    changed = tmp_path / "changed"
    shutil.copytree(lm_eval_logs("after"), changed)
    file = next(changed.rglob("results_*.json"))
    said = json.loads(file.read_text())
    file.write_text(json.dumps(said | {"chat_template_sha": "other"}))
    with pytest.raises(NotComparable, match="chat_template_sha"):
        compare(read_foreign(lm_eval_logs("before")), read_foreign(changed))


def test_without_results_the_log_says_what_it_lacks(lm_eval_logs, tmp_path):
    file = next(lm_eval_logs("before").rglob("samples_pick_*.jsonl"))
    alone = shutil.copy(file, tmp_path / file.name)
    assert importer_of(alone) == "lm-eval"
    log = read_foreign(alone)
    assert log.header.settings == {"tasks": {"pick": {}}}
    assert any("chat template" in note and "not known" in note for note in log.header.notes)
    # Beside a log that has them it is not taken for equal.
    with pytest.raises(NotComparable, match="not set"):
        compare(log, read_foreign(next(lm_eval_logs("after").rglob("samples_pick_*.jsonl"))))


def test_one_file_and_results_file_name_the_same_run(lm_eval_logs):
    whole = read_foreign(lm_eval_logs("before"))
    by_results = read_foreign(next(lm_eval_logs("before").rglob("results_*.json")))
    assert by_results.items.equals(whole.items)


def test_the_newest_run_of_a_folder_is_read(lm_eval_logs, tmp_path):
    folder = tmp_path / "org__before"
    shutil.copytree(next(lm_eval_logs("before").glob("*")), folder)
    for file in list(folder.iterdir()):
        date = file.stem.rpartition("_")[2]
        shutil.copy(file, folder / file.name.replace(date, "2001-01-01T00-00-00.000000"))
    log = read_foreign(folder)
    assert log.items.equals(read_foreign(lm_eval_logs("before")).items)
    assert any("newest of 2 runs" in note for note in log.header.notes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda text: text[: len(text) // 2], "may be cut off"),
        (lambda text: '{"doc_id": 0}\n', "not a sample of lm-eval"),
        (lambda text: "", "no samples"),
        (lambda text: "[1]\n", "not a JSON object"),
    ],
)
def test_damaged_files_are_named(lm_eval_logs, tmp_path, change, said):
    file = next(lm_eval_logs("before").rglob("samples_pick_*.jsonl"))
    damaged = tmp_path / file.name
    damaged.write_text(change(file.read_text()))
    with pytest.raises(LogError, match=said) as raised:
        read_foreign(damaged)
    assert file.name in str(raised.value)


def test_what_no_tool_wrote_is_refused(tmp_path):
    (tmp_path / "notes.txt").write_text("hello")
    assert importer_of(tmp_path) is None
    assert importer_of(tmp_path / "missing") is None
    with pytest.raises(LogError, match="no evaluation log that is known"):
        read_foreign(tmp_path / "notes.txt")
