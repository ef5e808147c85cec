from __future__ import annotations

import json
import random

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datakit.build import build
from datakit.core.errors import DatakitError, StepError
from datakit.core.example import Example, Message, to_table
from datakit.core.step import StepContext
from datakit.decontaminate import decontaminate, read_items
from datakit.decontaminate.step import DecontaminateStep

LONG = (
    "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May. "
    "How many clips did Natalia sell altogether in April and May?"
)
ANSWER = "Natalia sold 48/2 = 24 clips in May. She sold 48 + 24 = 72 clips altogether."


def items(*rows):
    return pa.table(
        {name: [row[at] for row in rows] for at, name in enumerate(("task", "item_id", "prompt", "answer"))},
        schema=pa.schema([(name, pa.string()) for name in ("task", "item_id", "prompt", "answer")]),
    )


def found(texts, *rows, **settings):
    result = decontaminate(texts, items(*rows), **settings)
    return [(m["row"], m["item_id"], m["side"], m["covered"]) for m in result.matches.to_pylist()]


def leaks(prompts, rng):
    """Verbatim, re-cased, re-punctuated and cut copies, each inside other words."""
    for number, prompt in enumerate(prompts):
        words = prompt.split()
        start = rng.randrange(0, max(1, len(words) // 4))
        changed = (
            prompt,
            prompt.upper() if number % 8 < 4 else prompt.lower(),
            prompt.replace(",", " ;").replace(".", " !").replace(" ", "  "),
            " ".join(words[start : start + max(16, len(words) * 2 // 3)]),
        )
        yield f"Here is one more: {changed[number % 4]} (from a page)"


def test_a_hundred_planted_leaks_in_two_languages_are_all_found():
    rng = random.Random(2)
    english = [f"w{rng.randrange(10**6)}, " + " ".join(f"v{rng.randrange(3000)}" for _ in range(24)) for _ in range(50)]
    korean = [
        " ".join("".join(chr(rng.randrange(0xAC00, 0xD7A4)) for _ in range(3)) + "," for _ in range(24))
        for _ in range(50)
    ]
    prompts = [*english, *korean]
    clean = [" ".join(f"v{rng.randrange(3000)}" for _ in range(60)) for _ in range(100)]
    result = decontaminate(
        [*leaks(prompts, rng), *clean], items(*(("t", str(n), p, None) for n, p in enumerate(prompts)))
    )
    assert not result.keep[:100].any()
    assert result.keep[100:].all()
    assert {(match["row"], match["item_id"]) for match in result.matches.to_pylist()} == {
        (n, str(n)) for n in range(100)
    }


def test_the_covered_share_is_counted_in_words():
    words = [f"w{n}" for n in range(40)]
    half = " ".join(words[5:25])
    assert found([half], ("t", "1", " ".join(words), None)) == [(0, "1", "prompt", 0.5)]
    assert found([half], ("t", "1", " ".join(words), None), min_covered=0.6) == []
    assert found([" ".join(words[:12])], ("t", "1", " ".join(words), None)) == []


def test_a_long_answer_counts_by_itself_and_a_short_one_with_its_prompt_only():
    assert found([ANSWER.lower()], ("t", "1", "unseen " * 20, ANSWER)) == [(0, "1", "answer", 1.0)]
    short = ("t", "1", LONG, "72 clips")
    assert found(["There were 72 clips."], short) == []
    assert [match[2] for match in found([[LONG, "72 clips"]], short)] == ["prompt", "answer"]
    assert [match[2] for match in found([[LONG, "71 clips"]], short)] == ["prompt"]
    assert [match[2] for match in found([[LONG, "It is yes"]], ("t", "1", LONG, "yes\nno"))] == ["prompt", "answer"]


def test_a_short_prompt_counts_as_a_whole_turn_only():
    item = ("t", "1", "Is the sky blue?", "yes")
    assert found(["is the SKY blue"], item) == [(0, "1", "prompt", 1.0)]
    assert found(["Tell me: is the sky blue? I wonder"], item) == []
    assert [match[2] for match in found([["Is the sky blue!", "yes"]], item)] == ["prompt", "answer"]


def test_symbols_are_no_words_and_still_tell_short_prompts_apart():
    sums = "In May he sold 48/2 = <<48/2=24>>24 clips"
    other = "She gave 48/2 = <<48/2=24>>24 apples away and then " + " ".join(f"w{n}" for n in range(20))
    assert found([f"Today it is 48/2 = <<48/2=24>>24 as {sums} said"], ("t", "1", other, None)) == []
    shared = "48/2 = <<48/2=24>>24 apples away and then w0 w1 w2 w3"
    assert [match[2] for match in found([shared.replace("/", " / ")], ("t", "1", other, None))] == ["prompt"]
    assert found(["2 * 3 = ?"], ("t", "1", "2 + 3 = ?", "5")) == []
    assert [match[2] for match in found([["2+3=?", "5"]], ("t", "1", "2 + 3 = ?", "5"))] == ["prompt", "answer"]
    signs = [("t", "1", "👍 👎 👍", None), ("t", "2", "👍👍👍", None)]
    assert [match[1] for match in found(["👍👎👍"], *signs)] == ["1"]


def test_wording_that_a_task_repeats_is_no_evidence():
    wording = "The following is a multiple choice question about chemistry please choose the one right answer now"
    rows = [("t", str(n), f"{wording}: " + " ".join(f"q{n}x{k}" for k in range(20)), None) for n in range(40)]
    assert found([f"{wording}: something else"], *rows) == []
    assert [match[1] for match in found([rows[3][2]], *rows)] == ["3"]


def test_empty_and_strange_input():
    assert found([], ("t", "1", LONG, None)) == []
    assert found([None, "", [], ["", ""], "\x00", "👍" * 50], ("t", "1", LONG, ""), ("t", "2", None, None)) == []
    assert found(["x " * 3_000_000 + LONG], ("t", "1", LONG, None)) == [(0, "1", "prompt", 1.0)]
    with pytest.raises(StepError, match=r"short_ngram 9 is not between 1 and ngram 5"):
        found(["x"], ("t", "1", LONG, None), ngram=5, short_ngram=9)
    with pytest.raises(StepError, match=r"no column 'answer'"):
        decontaminate(["x"], pa.table({"task": ["t"], "item_id": ["1"], "prompt": ["p"]}))


@pytest.mark.parametrize("name", ["items.csv", "items.jsonl", "items.json", "items.parquet"])
def test_items_from_files(tmp_path, name):
    path, rows = tmp_path / name, [{"Question": LONG, "target": "72"}, {"Question": "other", "target": None}]
    if name.endswith("csv"):
        path.write_text(f'Question,target\n"{LONG}",72\nother,\n')
    elif name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text(json.dumps(rows) if name.endswith("json") else "\n".join(map(json.dumps, rows)))
    table = read_items(path)
    assert table.column("prompt").to_pylist() == [LONG, "other"]
    assert table.column("task").to_pylist() == ["items", "items"]
    assert table.column("item_id").to_pylist() == ["1", "2"]
    assert table.column("answer")[0].as_py() == "72"


def test_files_that_cannot_be_items(tmp_path):
    (tmp_path / "a.csv").write_text("foo,bar\n1,2\n")
    with pytest.raises(StepError, match=r"no column with prompts among 'foo', 'bar'"):
        read_items(tmp_path / "a.csv")
    (tmp_path / "b.jsonl").write_text("{broken")
    with pytest.raises(DatakitError, match=r"cannot read 'b.jsonl'"):
        read_items(tmp_path / "b.jsonl")


def example(number, *turns, text=None):
    messages = tuple(Message(role, content) for role, content in turns) or None
    return Example(id=f"id{number}", group=f"id{number}", source="s", origin="f", text=text, messages=messages)


def test_the_step_looks_into_turns_and_keeps_no_text_in_its_ledger(tmp_path):
    pq.write_table(items(("g", "7", LONG, ANSWER)), tmp_path / "suite.parquet")
    table = to_table([example(1, ("user", LONG), ("assistant", ANSWER)), example(2, text="clean"), example(3)])
    context = StepContext(resources={"suite": tmp_path / "suite.parquet"})
    step = DecontaminateStep(DecontaminateStep.Params(), context)
    output = step.apply(table)
    output.balance("decontaminate", 3)
    assert output.table.column("id").to_pylist() == ["id2", "id3"]
    row = output.ledger.to_pylist()[0]
    assert (row["action"], row["reason"]) == ("dropped", "contaminated")
    assert json.loads(row["evidence"]) == {
        "task": "g",
        "item_id": "7",
        "side": "prompt",
        "covered": 1.0,
        "items": 1,
        "matches": [["g", "7", "prompt", 1.0], ["g", "7", "answer", 1.0]],
    }
    assert step.notes() == ["1 rows hold 1 benchmark items of g"]
    kept = DecontaminateStep(DecontaminateStep.Params(action="report"), context).apply(table)
    assert kept.table.num_rows == 3
    with pytest.raises(StepError, match=r"no suite to compare with"):
        DecontaminateStep(DecontaminateStep.Params(), StepContext())
    with pytest.raises(StepError, match=r"no file 'gone.csv'"):
        DecontaminateStep(DecontaminateStep.Params(against="gone.csv"), StepContext())


def test_a_build_writes_what_it_found(tmp_path):
    (tmp_path / "rows.jsonl").write_text(
        "".join(json.dumps({"text": text}) + "\n" for text in (LONG, "clean one", "b"))
    )
    (tmp_path / "bench.csv").write_text(f'id,prompt,answer\nq1,"{LONG}",72\n')
    recipe = tmp_path / "r.yaml"
    steps = "  steps:\n    - decontaminate: {against: bench.csv}\n"
    recipe.write_text(f"format: 1\nname: r\ndata:\n  sources:\n    rows: {{path: rows.jsonl}}\n{steps}")
    result = build(recipe, output=tmp_path / "run")
    assert result.rows == 2
    record = pq.read_table(tmp_path / "run" / "contamination.parquet").to_pylist()
    assert [(row["task"], row["item_id"], row["side"], row["covered"]) for row in record] == [
        ("bench", "q1", "prompt", 1.0)
    ]
    recipe.write_text(recipe.read_text().replace(steps, ""))
    build(recipe, output=tmp_path / "run2")
    assert not (tmp_path / "run2" / "contamination.parquet").exists()
