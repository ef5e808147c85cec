"""Filters as steps of a recipe: order, counts, ledger, card."""

import json

import pytest

from datakit.build import build
from datakit.core.errors import RecipeError
from datakit.core.storage import read_table
from datakit.ledger import read_ledger

RECIPE = """\
data:
  sources:
    chats: {path: chats.jsonl}
    pages: {path: pages.jsonl, use: text}
  steps:
    - length: {min_chars: 8}
    - refusals
    - overlap
    - quality: {use: [c4]}
    - language: {keep: en}
    - chunk: {tokens: 20, tokenizer: pocket}
    - split: {validation: 0.2, test: 0.2}
    - balance: {by: kind, max_rows: 15}
    - select: {by: diversity, rows: 20}
"""


@pytest.fixture
def folder(tmp_path):
    rows = [
        {
            "prompt": f"Where can I find article {k} of the winter catalogue?",
            "answer": f"On page {k} of it.",
            "kind": k % 2,
        }
        for k in range(80)
    ]
    rows += [{"prompt": "Hm?", "answer": "No.", "kind": 0}]
    rows += [{"prompt": "Write me a poem about rain.", "answer": "I'm sorry, but I can't help with that.", "kind": 0}]
    rows += [{"prompt": "Où est ma commande, s'il vous plaît ?", "answer": "Elle est en route vers vous.", "kind": 0}]
    (tmp_path / "chats.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    pages = ["The cat sat on the hill. The dog ran away. They met again later. " * 4, "Lorem ipsum. Dolor sit. Amet."]
    (tmp_path / "pages.jsonl").write_text("\n".join(json.dumps({"text": text}) for text in pages))
    (tmp_path / "recipe.yaml").write_text(RECIPE)
    return tmp_path


def test_every_step_leaves_its_reasons(folder):
    made = build(folder / "recipe.yaml", output=folder / "out")
    found = {count.name: count for count in made.steps}
    assert found["length"].dropped == {"too_short": 1}
    assert found["refusals"].dropped == {"refusal": 1}
    assert found["language"].dropped == {"language": 1}
    assert found["quality"].dropped == {"c4_lorem_ipsum": 1}
    assert found["chunk"].created > 0
    assert found["balance"].dropped["over_cap"] > 0
    assert made.splits["train"] == 20
    assert made.splits["test"] == made.splits["validation"] == 16
    pieces = read_table(made.replay["pages"])
    assert pieces.num_rows == 1 + found["chunk"].created
    assert set(pieces.column("group").to_pylist()) == {pieces.column("id")[0].as_py()}
    ledger = read_ledger(folder / "out").to_pylist()
    assert {json.loads(row["evidence"])["max_rows"] for row in ledger if row["step"] == "balance"} == {15}
    card = (folder / "out/data/README.md").read_text()
    assert "20 of 30 rows selected by diversity" in card
    again = build(folder / "recipe.yaml", output=folder / "other")
    same = [read_table(next((run / "data").glob("train-*.parquet"))) for run in (folder / "out", folder / "other")]
    assert same[0].equals(same[1])
    assert again.splits == made.splits


def test_wrong_parameters_name_the_line(folder):
    (folder / "recipe.yaml").write_text(RECIPE.replace("min_chars: 8", "min_char: 8"))
    with pytest.raises(RecipeError, match=r"recipe.yaml:6.*min_char"):
        build(folder / "recipe.yaml", output=folder / "out")
    (folder / "recipe.yaml").write_text(RECIPE.replace("{min_chars: 8}", "{}"))
    with pytest.raises(RecipeError, match="at least one bound"):
        build(folder / "recipe.yaml", output=folder / "out")
