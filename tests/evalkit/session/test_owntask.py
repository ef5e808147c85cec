"""The dataset's own test rows: asked as they were trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from datakit.core.chat import ChatSettings, encode, render_answer, render_prompt
from datakit.core.example import from_table
from datakit.core.storage import read_table
from evalkit.errors import EvalError
from evalkit.evaluate import Session
from evalkit.items import export_items
from evalkit.owntask import data_task
from evalkit.suite import Suite, load_suite


@pytest.mark.parametrize("folder", ["model_folder", "chat_folder"])
def test_prompts_and_tokens_are_those_of_training(
    folder: str, request: pytest.FixtureRequest, test_rows: Callable[..., Path]
) -> None:
    import torch

    chat = ChatSettings(system="Answer." if folder == "chat_folder" else None)
    path = test_rows()
    session = Session(request.getfixturevalue(folder), chat=chat)
    log = session.evaluate(data_task(path, chat=chat))
    model, tokenizer = session.load()
    found = {row["item_id"]: row for row in log.items.to_pylist()}
    for example in from_table(read_table(path)):
        prompt = render_prompt((example.messages or ())[:-1], tokenizer, chat)
        assert found[example.id]["prompt"] == prompt
        for option, value in zip(example.choices or (), found[example.id]["choice_logprobs"], strict=True):
            before, after = encode(prompt, render_answer(option, tokenizer, chat), tokenizer, end="")
            with torch.no_grad():
                logits = model(torch.tensor([before + after])).logits[0].log_softmax(-1)
            own = sum(logits[len(before) - 1 + at, token].item() for at, token in enumerate(after))
            assert value == pytest.approx(own, abs=1e-4)
    info = log.header.tasks["task"]
    assert (info.kind, info.metric) == ("gain", "accuracy")
    assert info.chance == pytest.approx(1 / 3)


def test_clusters_are_groups_and_targets_are_answers(model_folder: Path, test_rows: Callable[..., Path]) -> None:
    log = Session(model_folder).evaluate(data_task(test_rows(group=lambda number: f"g{number // 4}")))
    rows = log.items.to_pylist()
    assert {row["cluster"] for row in rows} == {"g0", "g1", "g2"}
    assert [row["target"] for row in rows] == ["yes", "no", "maybe"] * 4
    assert all((row["answer"] == row["target"]) == (row["score"] == 1.0) for row in rows)


def test_open_rows_are_generated_and_compared_up_to_white_space(test_rows: Callable[..., Path]) -> None:
    path = test_rows(count=3, open_rows=4)
    right = Session("mock:right").evaluate(data_task(path)).items.to_pylist()
    wrong = Session("mock:wrong").evaluate(data_task(path)).items.to_pylist()
    assert [row["score"] for row in right] == [1.0] * 7
    assert [row["score"] for row in wrong] == [0.0] * 7
    assert sum(row["n_choices"] is None for row in right) == 4


def test_examples_come_before_and_never_from_the_same_group(
    model_folder: Path, chat_folder: Path, test_rows: Callable[..., Path]
) -> None:
    path, examples = test_rows(), test_rows(count=5, name="train", group=lambda number: str(number))
    task = data_task(path, examples=examples, num_fewshot=3)
    rows = Session(model_folder).evaluate(task).items.to_pylist()
    shots = {row["item_id"]: row["prompt"].split("\n\n") for row in rows}
    texts = [row.messages[0].content for row in from_table(read_table(examples)) if row.messages]
    for at, row in enumerate(from_table(read_table(path))):
        assert len(shots[row.id]) == 4
        assert not any(at < 5 and part.startswith(texts[at] + " ") for part in shots[row.id][:-1])
    alone = data_task(path, examples=examples, num_fewshot=3, limit=2)
    assert [row["prompt"] for row in Session(model_folder).evaluate(alone).items.to_pylist()] == [
        row["prompt"] for row in rows[:2]
    ]
    chat = Session(chat_folder).evaluate(task).items.to_pylist()
    assert chat[0]["prompt"].count("<|assistant|>") == 4
    assert [row["doc_hash"] for row in chat] == [row["doc_hash"] for row in rows]


def test_private_rows_leave_no_text(test_rows: Callable[..., Path], tmp_path: Path) -> None:
    path = test_rows(count=3, open_rows=3)
    log = Session("mock:right").evaluate(data_task(path, private=True))
    assert log.header.settings["private"] is True
    folder = log.write(tmp_path / "log").parent
    rows = [row for table in folder.glob("*.parquet") for row in pq.read_table(table).to_pylist()]
    shown = "\n".join(str(value) for row in rows for value in row.values())
    examples = list(from_table(read_table(path)))
    assert not [row.messages for row in examples if row.messages and row.messages[0].content in shown]
    assert not {row.answer for row in examples if not row.choices} & {str(v) for row in rows for v in row.values()}
    assert {row["answer"] for row in rows if row["n_choices"]} == {"yes", "no", "maybe"}
    rows = log.items.to_pylist()
    assert [row["answer"] == row["target"] for row in rows] == [True] * 6
    shown = Session("mock:right").evaluate(data_task(path))
    assert shown.header.recorded["stored"] == 0


def test_bad_rows_and_metrics_are_one_line(test_rows: Callable[..., Path], tmp_path: Path) -> None:
    from datakit.core.example import Example, Message, to_table
    from datakit.core.storage import write_table

    with pytest.raises(EvalError, match=r"metric 'bleu' is not known.*accuracy"):
        data_task(test_rows(), metrics=["bleu"])
    with pytest.raises(EvalError, match="needs a file that examples come from"):
        data_task(test_rows(), num_fewshot=2)
    turns = (Message("user", "q"), Message("assistant", "perhaps"))
    bad = [
        (Example("a", "a", "s", "s:1", text="only text"), "needs a prompt and an answer"),
        (Example("a", "a", "s", "s:1", messages=turns, choices=("yes", "no")), "neither label nor answer"),
    ]
    for number, (row, message) in enumerate(bad):
        write_table(tmp_path / f"{number}.parquet", to_table([row]))
        with pytest.raises(EvalError, match=message):
            Session("mock").evaluate(data_task(tmp_path / f"{number}.parquet"))


def test_items_are_exported_for_decontamination(
    suite_file: Path, test_rows: Callable[..., Path], tmp_path: Path, model_folder: Path
) -> None:
    suite = load_suite(suite_file)
    whole = Suite("all", (*suite.tasks, data_task(test_rows(count=2, open_rows=1))))
    table = read_table(export_items(whole, tmp_path / "items.parquet")).to_pylist()
    assert table[0]["prompt"].startswith("Q: ")
    assert [row["answer"].split("\n")[0] for row in table if row["task"] == "task"][:2] == ["yes", "no"]
    assert {row["task"] for row in table} == {"choice", "open", "prose", "task"}
    log = Session(model_folder).evaluate(whole)
    assert {(row["task"], row["item_id"]) for row in table} == {
        (row["task"], row["item_id"]) for row in log.primary().to_pylist()
    }
    targets = {row["item_id"]: row["target"] for row in log.primary().to_pylist() if row["task"] == "choice"}
    assert all(row["answer"].split("\n")[0] == targets[row["item_id"]] for row in table if row["task"] == "choice")
