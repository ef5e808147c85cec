"""Open answers scored by a model at a server, which is a real HTTP server on loopback here."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "labelling"))

from stub import Stub

from datakit.core.errors import DatakitError, RecipeError, Unreachable
from datakit.core.example import Example, Message, to_table
from datakit.core.storage import read_table, write_table
from datakit.experiment.judge import JudgeSpec, check_written, make_judge
from datakit.experiment.layout import Layout
from datakit.experiment.needs import check_needs
from datakit.experiment.plan import _judged
from datakit.experiment.recipe import read_recipe
from datakit.experiment.run import run
from evalkit.compare import compare
from evalkit.errors import EvalError, NotComparable
from evalkit.evaluate import Session
from evalkit.judge import judge_samples
from evalkit.owntask import data_task

SECRET = "sk-loopback-4711-not-to-be-found"


def by_length(text: str, body: dict) -> str:
    """Right is what has exactly the reference's first letter: nothing that exact match would say."""
    reference = text.split("Reference answer:\n")[1].split("\n\nAnswer:\n")[0]
    answer = text.split("\n\nAnswer:\n")[1]
    return json.dumps({"rating": int(answer.strip()[0] == reference[0])})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setenv("JUDGE_KEY", SECRET)
    with Stub() as stub:
        stub.answer, stub.key = by_length, SECRET
        yield stub


def spec(server: Stub, **more: object) -> JudgeSpec:
    return JudgeSpec(model="stub", url=server.url, key="env:JUDGE_KEY", **more)


def rows(path: Path, *, count: int = 6, choices: int = 0) -> Path:
    """Questions whose answers begin with letters; the first few have options."""
    made = [
        Example(
            id=f"{at:032x}",
            group=f"{at:032x}",
            source="s",
            origin=f"f:{at}",
            messages=(Message("user", f"question {at}"), Message("assistant", "yes" if at < choices else f"abc {at}")),
            choices=("yes", "no") if at < choices else None,
        )
        for at in range(count)
    ]
    write_table(path, to_table(made))
    return path


def test_verdicts_are_the_score_and_each_is_asked_for_once(server: Stub, tmp_path: Path) -> None:
    judge = make_judge(spec(server), tmp_path)
    task = data_task(rows(tmp_path / "test.parquet"), judge=judge)
    right, wrong = (Session(name).evaluate(task) for name in ("mock:right", "mock:wrong"))
    assert right.header.tasks["task"].metric == "judge"
    assert right.primary()["score"].to_pylist() == [1.0] * 6
    assert wrong.primary()["score"].to_pylist() == [0.0] * 6
    # what the judge was shown, and what exact match says, stand beside it
    assert "question 0" in server.bodies[0]["messages"][-1]["content"]
    assert set(right.items["metric"].to_pylist()) == {"judge", "accuracy"}
    asked = server.calls
    Session("mock:right").evaluate(task)
    Session("mock:right").evaluate(task, store=False)
    assert server.calls == asked
    with Stub() as other:  # the same judge at another address
        other.answer, other.key = by_length, SECRET
        again = data_task(tmp_path / "test.parquet", judge=make_judge(spec(other), tmp_path))
        assert Session("mock:right").evaluate(again).header.key == right.header.key
        assert other.calls == 0


def test_key_and_address_stand_in_no_log_and_no_key_in_the_cache(server: Stub, tmp_path: Path, cache: Path) -> None:
    task = data_task(rows(tmp_path / "test.parquet"), judge=make_judge(spec(server), tmp_path))
    log = Session("mock:right").evaluate(task)
    header = log.write(tmp_path / "log").read_text()
    assert '"judge": {' in header
    assert '"stub"' in header
    assert str(server.port) not in header
    for file in [*cache.rglob("*"), *(tmp_path / "log").rglob("*")]:
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file


def test_another_prompt_is_another_measurement_of_the_same_answers(server: Stub, tmp_path: Path, cache: Path) -> None:
    path, session = rows(tmp_path / "test.parquet"), Session(_pocket())
    first = session.evaluate(data_task(path, judge=make_judge(spec(server), tmp_path)))
    journals = {file: file.read_bytes() for file in cache.rglob("partial.jsonl")}
    assert len(journals) == 1
    second = session.evaluate(data_task(path, judge=make_judge(spec(server, prompt="Is it polite?"), tmp_path)))
    assert {file: file.read_bytes() for file in cache.rglob("partial.jsonl")} == journals  # no answer was generated
    assert first.header.key != second.header.key
    with pytest.raises(NotComparable, match="judge"):
        compare(first, second)
    plain = session.evaluate(data_task(path))
    with pytest.raises(NotComparable, match="judge"):
        compare(plain, first)


def _pocket() -> Path:
    from datakit import pocket

    return pocket.model_path()


def test_private_answers_are_judged_and_stay_hidden(server: Stub, tmp_path: Path, cache: Path) -> None:
    task = data_task(rows(tmp_path / "test.parquet"), judge=make_judge(spec(server), tmp_path), private=True)
    log = Session("mock:right").evaluate(task)
    assert log.primary()["score"].to_pylist() == [1.0] * 6
    assert "question 3" in "".join(str(body) for body in server.bodies)
    for file in [log.write(tmp_path / "log").with_suffix(".parquet"), *cache.rglob("*")]:
        assert not file.is_file() or b"question 3" not in file.read_bytes(), file
    assert not [row for row in log.items.to_pylist() if "abc" in f"{row['answer']}{row['target']}{row['prompt']}"]


def test_an_unreadable_verdict_is_marked_and_told(server: Stub, tmp_path: Path) -> None:
    def says(text: str, body: dict) -> str:
        return "I would rather not say" if "question 2" in text else by_length(text, body)

    server.answer = says
    task = data_task(rows(tmp_path / "test.parquet"), judge=make_judge(spec(server), tmp_path))
    log = Session("mock:right").evaluate(task, label="after")
    assert log.primary()["status"].to_pylist() == ["ok", "ok", "unjudged", "ok", "ok", "ok"]
    assert log.primary()["score"].to_pylist() == [1, 1, 0, 1, 1, 1]
    found = compare(Session("mock:wrong").evaluate(task), log)
    assert any("verdicts on 6 answers of 'after' 1 could not be read" in note for note in found.notes)
    assert any("the judge 'stub'" in note for note in found.notes)


def test_a_scale_of_ones_own(server: Stub, tmp_path: Path) -> None:
    (tmp_path / "scale.yaml").write_text(
        "format: 1\nname: s\nkind: rating\ninstruction: How good?\ninput: '{prompt} {reference} {answer}'\n"
        "options: {1: bad, 3: fair, 5: good}\n"
    )
    server.answer = lambda text, body: json.dumps({"rating": 3})
    task = data_task(rows(tmp_path / "t.parquet"), judge=make_judge(spec(server, prompt="scale.yaml"), tmp_path))
    assert Session("mock:right").evaluate(task).primary()["score"].to_pylist() == [0.5] * 6
    (tmp_path / "scale.yaml").write_text("name: s\nkind: classify\ninstruction: x\noptions: [a, b]\n")
    with pytest.raises(RecipeError, match="of kind 'rating'"):
        make_judge(spec(server, prompt="scale.yaml"), tmp_path)


def test_items_with_options_need_no_judge(server: Stub, tmp_path: Path) -> None:
    judge = make_judge(spec(server), tmp_path)
    mixed = Session("mock:right").evaluate(data_task(rows(tmp_path / "a.parquet", choices=2), judge=judge))
    assert mixed.primary()["score"].to_pylist() == [1.0] * 6
    assert server.calls == 4
    only = rows(tmp_path / "b.parquet", choices=6)
    with pytest.raises(EvalError, match="no written answer to judge"):
        Session("mock:right").evaluate(data_task(only, judge=judge))
    with pytest.raises(DatakitError, match=r"evaluate\.judge reads written answers"):
        check_written([only])
    check_written([tmp_path / "a.parquet"])


def test_empty_answers_score_nothing_and_are_not_asked_about(server: Stub, tmp_path: Path) -> None:
    class Task:
        def doc_to_target(self, doc: dict) -> str:
            return "abc"

    doc = {"datakit_id": "1", "messages": [{"role": "user", "content": "q"}]}
    samples = [{"doc": doc, "resps": [["  \n"]], "metrics": ["accuracy"], "accuracy": 0.0}]
    made, counts = judge_samples(make_judge(spec(server), tmp_path), Task(), samples, lambda count: None)
    assert (made[0]["judge"], made[0]["statuses"], counts) == (0.0, {}, {"judged": 0, "unjudged": 0})
    assert server.calls == 0


def test_a_judge_that_is_down_loses_no_answer(server: Stub, tmp_path: Path, cache: Path) -> None:
    task = data_task(rows(tmp_path / "test.parquet"), judge=make_judge(spec(server), tmp_path))
    server.key = "another"
    with pytest.raises(DatakitError, match="does not accept the key from env:JUDGE_KEY") as error:
        Session("mock:right").evaluate(task)
    assert SECRET not in str(error.value)
    server.key = SECRET
    assert Session("mock:right").evaluate(task).primary()["score"].to_pylist() == [1.0] * 6


RECIPE = """\
format: 1
name: judged
data:
  sources:
    pairs: {{path: pairs.jsonl, columns: {{prompt: q, answer: a}}}}
  steps:
    - split: {{validation: 0.15, test: 0.2}}
model: pocket
arms: {{lora: {{adapter: lora, rank: 4, steps: 3}}}}
evaluate: {{task: test, limit: 4, judge: {judge}}}
"""


def recipe(folder: Path, judge: str, more: str = "") -> Path:
    lines = [json.dumps({"q": f"Name a thing, number {at}.", "a": f"a lamp {at}"}) for at in range(60)]
    (folder / "pairs.jsonl").write_text("\n".join(lines))
    (folder / "judged.yaml").write_text(RECIPE.format(judge=judge) + more)
    return folder / "judged.yaml"


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        (f"{{model: m, key: {SECRET}}}", "never stands in a recipe"),
        (f"{{model: m, url: 'http://u:{SECRET}@h/v1'}}", "no user, password or query"),
        ("{model: m, temperature: 1}", "unknown key 'temperature'"),
        ("{url: 'http://127.0.0.1:1/v1'}", "'model' is missing"),
    ],
)
def test_what_cannot_be_a_judge_is_said_without_its_secret(tmp_path: Path, judge: str, words: str) -> None:
    with pytest.raises(RecipeError, match=words) as error:
        read_recipe(recipe(tmp_path, judge))
    assert SECRET not in str(error.value)
    assert "judged.yaml:" in str(error.value)


def test_a_judge_that_cannot_be_asked_stops_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with pytest.raises(DatakitError, match="'NO_SUCH_KEY' is not set"):
        run(recipe(tmp_path, "{model: m, key: env:NO_SUCH_KEY}"), output=tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(Unreachable, match="network: never"):
        check_needs(read_recipe(recipe(tmp_path, "{model: m}", "network: never\n")))
    text = recipe(tmp_path, "{model: m}")
    text.write_text(text.read_text().replace("task: test", "task: gsm8k"))
    with pytest.raises(RecipeError, match="built test split"):
        read_recipe(text)


@pytest.mark.slow
def test_a_run_is_judged_and_no_file_of_it_holds_the_key(server: Stub, tmp_path: Path, cache: Path) -> None:
    judge = f"{{model: stub, url: '{server.url}', key: 'env:JUDGE_KEY'}}"
    path = recipe(tmp_path, judge)
    found = run(path, output=tmp_path / "out")
    answers = 2 * sum(read_table(file).num_rows for file in Layout(found.folder).split("test"))
    # what `datakit check` tells beforehand is what is then asked at most
    assert _judged(read_recipe(path), [Layout(found.folder)], 2) == (answers, f"stub at {server.url}")
    assert 0 < server.calls <= answers
    row = found.report.arms[0].comparison.gains[0]
    assert row.metric == "judge"
    assert "the judge 'stub'" in (tmp_path / "out" / "report.md").read_text()
    assert "the judge &#x27;stub&#x27;" in (tmp_path / "out" / "report.html").read_text().replace("&#39;", "&#x27;")
    for file in [*cache.rglob("*"), *(tmp_path / "out").rglob("*")]:
        assert not file.is_file() or SECRET.encode() not in file.read_bytes(), file
