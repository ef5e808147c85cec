"""The commands report, gate and compare on runs of synthetic logs: output, exit codes, one-line errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from datakit.cli import main
from evalkit.log import ITEMS, EvalLog, LogHeader, TaskInfo


def make_log(model: str, right: dict[str, int], items: int = 600) -> EvalLog:
    rows = [
        {
            "task": task,
            "item_id": f"{number:04d}",
            "doc_hash": f"{task}{number}",
            "prompt_hash": f"{task}{number}",
            "target_hash": f"{task}{number}",
            "metric": "acc",
            "filter": "none",
            "is_primary": True,
            "score": float(number < count),
            "prompt": f"Question {number}",
            "answer": "yes" if number < count else "no",
            "target": "yes",
            "status": "ok",
        }
        for task, count in right.items()
        for number in range(items)
    ]
    header = LogHeader(suite="core", model=model, tasks={task: TaskInfo() for task in right})
    return EvalLog(header, pa.Table.from_pylist(rows, schema=ITEMS))


@pytest.fixture
def run(tmp_path: Path, monkeypatch) -> Path:
    folder = tmp_path / "runs" / "support"
    for name, right in {"base": 540, "full-1": 400, "lora-1": 541}.items():
        make_log(name, {"sums": right, "facts": 540}).write(folder / "evals" / name)
    monkeypatch.chdir(tmp_path)
    return folder


def call(capsys, *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return int(ended.value.code or 0), out, err


def test_gate_exit_codes(run, capsys):
    assert call(capsys, "gate", run, "--arm", "lora")[0] == 0
    code, out, _ = call(capsys, "gate", run)
    assert code == 3
    assert out.splitlines()[0].startswith("REGRESSED full: sums lost 23.3 points")
    assert call(capsys, "gate", run, "--arm", "full", "--quiet") == (3, "", "")


def test_gate_unsure(tmp_path, capsys):
    for name, right in {"base": 18, "lora-1": 17}.items():
        make_log(name, {"sums": right}, items=20).write(tmp_path / "evals" / name)
    assert call(capsys, "gate", tmp_path)[0] == 4
    code, out, _ = call(capsys, "gate", tmp_path, "--allow-unsure", "--json")
    assert code == 0
    assert json.loads(out)["arms"][0]["status"] == "unsure"


def test_report_writes_three_files(run, capsys):
    code, out, _ = call(capsys, "report", run)
    assert code == 0
    assert "GENERAL   lora - base" in out
    assert {path.name for path in run.glob("report.*")} == {"report.html", "report.json", "report.md"}
    code, out, _ = call(capsys, "report", run, "--json", "-o", run / "elsewhere")
    assert json.loads(out)["title"] == "support"
    assert (run / "elsewhere" / "report.html").exists()


def test_report_needs_no_torch(run):
    """Nor transformers, nor statsmodels; and it is done in a few seconds."""
    code = (
        "import sys\nfrom datakit.cli import main\n"
        f"try: main(['report', {str(run)!r}, '--quiet'])\n"
        "except SystemExit as end: code = end.code\n"
        "print(code, {'torch', 'transformers', 'statsmodels', 'lm_eval'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert found.stdout.strip() == "0 set()"


def test_compare_two_folders_of_logs(run, capsys, tmp_path):
    code, out, _ = call(capsys, "compare", run / "evals" / "base", run / "evals" / "full-1", "-o", tmp_path / "c")
    assert code == 0
    assert "REGRESSED" in out
    assert call(capsys, "gate", tmp_path / "c")[0] == 3
    assert call(capsys, "report", tmp_path / "c", "--quiet")[0] == 0
    value = json.loads((tmp_path / "c" / "report.json").read_text())
    assert value["arms"][0]["name"] == "full-1"
    assert value["reproduce"][0].startswith("datakit compare ")


def test_compare_single_log_files(run, capsys, tmp_path):
    paths = (run / "evals" / "base" / "core.parquet", run / "evals" / "lora-1" / "core.json")
    code, out, _ = call(capsys, "compare", *paths, "-o", tmp_path / "c", "--json")
    assert code == 0
    assert json.loads(out)["arms"][0]["suite_mean"]["tasks"] == 2


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["gate", "{run}", "--arm", "lra"], 1, "no arm 'lra'"),
        (["gate", "nowhere"], 1, "no run at 'nowhere'"),
        (["report", "."], 1, "no run at '.'"),
        (["compare", "{run}/evals/base", "some/model"], 2, "'some/model' is no evaluation log. Say what"),
        (["compare", "{run}/evals/base/core.json", "{run}/nothing.json"], 1, "nothing.json: no such file"),
    ],
)
def test_errors_are_one_line(run, capsys, arguments, code, said):
    found, out, err = call(capsys, *[argument.format(run=run) for argument in arguments])
    assert found == code
    assert said in err
    assert out == ""
    assert "Traceback" not in err


def test_logs_that_do_not_pair(run, capsys, tmp_path):
    log = make_log("other", {"sums": 300, "facts": 300}, items=500)
    log.write(tmp_path / "other")
    code, _, err = call(capsys, "compare", run / "evals" / "base", tmp_path / "other", "-o", tmp_path / "c")
    assert code == 1
    assert "item '0500' of task 'facts' is in the log of 'base' and not in that of 'other'" in err or "'0500'" in err
    assert not (tmp_path / "c").exists()
    code, _, _ = call(
        capsys, "compare", run / "evals" / "base", tmp_path / "other", "-o", tmp_path / "c", "--join", "intersection"
    )
    assert code == 0


def test_the_figures_of_measures_md_from_the_command_line(tmp_path, capsys):
    """45 lost, 20 gained of 500: -5.0 points, regressed."""
    before, after = make_log("base", {"t": 345}, items=500), make_log("tuned", {"t": 345}, items=500)
    scores = after.items.column("score").to_numpy().copy()
    scores[:45], scores[480:] = 0.0, 1.0
    changed = after.items.set_column(after.items.column_names.index("score"), "score", pa.array(scores))
    before.write(tmp_path / "b")
    EvalLog(after.header, changed).write(tmp_path / "a")
    _, out, _ = call(capsys, "compare", tmp_path / "b", tmp_path / "a", "-o", tmp_path / "c")
    assert "-5.0 [-8.3, -1.9]  REGRESSED" in out


def test_a_folder_holds_one_comparison(run, capsys, tmp_path):
    """The gate must not look at the model of an earlier comparison."""
    for arm in ("full-1", "lora-1"):
        assert call(capsys, "compare", run / "evals/base", run / "evals" / arm, "-o", tmp_path / "c", "-q")[0] == 0
    assert sorted(path.name for path in (tmp_path / "c" / "evals").iterdir()) == ["base", "lora-1"]
    assert call(capsys, "gate", tmp_path / "c", "--json")[0] == call(capsys, "gate", run, "--arm", "lora")[0]


def test_a_comparison_is_never_written_over_a_run(run, capsys):
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    (run / "manifest.json").write_text('{"format": 1}')
    before[run / "manifest.json"] = b'{"format": 1}'
    code, _, err = call(capsys, "compare", run / "evals/base", run / "evals/full-1", "-o", run)
    assert code == 2
    assert "this folder is a run" in err
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before
