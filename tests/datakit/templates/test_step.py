import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

import datakit
from datakit.core.errors import TemplateError
from datakit.core.example import SCHEMA, Example, Message, derived_id, from_table, to_table
from datakit.core.step import StepContext
from datakit.templates.choose import preference
from datakit.templates.step import TemplateParams, TemplateStep

PROMPTSOURCE = """\
dataset: toy
templates:
  1a: !Template
    answer_choices: ham ||| junk
    id: 1a
    jinja: 'Junk? {{sms}} ||| {{ answer_choices[verdict] }}'
    name: by number
  1b: !Template
    answer_choices: yes ||| no
    id: 1b
    jinja: '{% if label == "spam" %}{{text}} is spam? ||| yes{% endif %}'
    name: only spam
  1c: !Template
    answer_choices: null
    id: 1c
    jinja: '{{ ["Say", "Tell"] | choice }} {{sms}}. ||| {{verdict}} from {{customer}}'
    name: random
  1d: !Template
    answer_choices: a ||| b
    id: 1d
    jinja: '{{text}} ||| none of these'
    name: foreign
"""
COLUMNS = {"s": {"text": "sms", "label": "verdict"}}
LABELS = {"s": ("ham", "spam")}


def rows(count=6):
    return [
        Example(
            id=f"{k:032x}",
            group=f"{k:032x}",
            source="s",
            origin=f"sms.tsv:{k + 1}",
            text=f"message {k} ||| end",
            label=("ham", "spam")[k % 2],
            fields={"customer": f"c{k % 3}"},
        )
        for k in range(count)
    ]


@pytest.fixture
def make(tmp_path):
    (tmp_path / "sms.yaml").write_text(PROMPTSOURCE)

    def build(use, *, seed=0, labels=LABELS, **params):
        context = StepContext(seed=seed, folder=tmp_path, labels=labels, columns=COLUMNS)
        return TemplateStep(TemplateParams(use=use, **params), context)

    return build


def run(step, examples):
    table = to_table(examples)
    output = step.apply(table)
    output.balance("template", table.num_rows)
    return list(from_table(output.table)), output


def test_library_wordings(make):
    examples = rows()
    made, output = run(make("classify/short"), examples)
    assert [one.id for one in made] == [one.id for one in examples]
    assert made[1].messages == (
        Message("user", "message 1 ||| end\nCategory:"),
        Message("assistant", "spam"),
    )
    assert (made[1].choices, made[1].label, made[1].template) == (("ham", "spam"), "spam", "classify.en/short")
    assert output.ledger.column("reason").to_pylist() == ["rendered"] * 6
    assert output.table.schema == SCHEMA


def test_a_promptsource_file_gets_both_names_and_integers(make):
    made, _ = run(make("sms.yaml:by number"), rows())
    assert made[3].messages == (Message("user", "Junk? message 3 ||| end"), Message("assistant", "junk"))
    assert (made[3].choices, made[3].label) == (("ham", "junk"), "junk")


def test_a_word_is_given_where_the_template_compares_or_prints_it(make):
    made, output = run(make("sms.yaml:only spam"), rows())
    assert [one.messages[1].content for one in made] == ["yes"] * 3
    assert {one.label for one in made} == {"yes"}
    dropped = [row for row in output.ledger.to_pylist() if row["action"] == "dropped"]
    assert [row["reason"] for row in dropped] == ["no_template"] * 3
    assert json.loads(dropped[0]["evidence"]) == {"misfits": {"no_answer": 1}, "tried": 1}


def test_a_row_falls_to_the_next_template_that_fits(make):
    made, output = run(make(["sms.yaml:only spam", "sms.yaml:by number"], per_row=2), rows())
    assert len(made) == 9
    assert output.count("created") == 3
    assert output.count("dropped") == 0


def test_several_wordings_are_distinct_and_of_one_group(make):
    step = make(["classify", "sms.yaml"], per_row=3)
    made, output = run(step, rows())
    ledger = {row["example_id"]: row for row in output.ledger.to_pylist()}
    for parent in rows():
        own = [one for one in made if one.group == parent.group]
        assert len({one.template for one in own}) == len(own) == 3
        assert [one.id for one in own] == [parent.id, *(derived_id(parent.id, "template", k) for k in (1, 2))]
        assert [one.parent for one in own] == [None, parent.id, parent.id]
        assert [ledger[one.id]["action"] for one in own] == ["changed", "created", "created"]
    assert sum(step._rendered.values()) == len(made)
    assert any(note.startswith("`classify.en/") and "rendered" in note for note in step.notes())


def test_an_answer_outside_the_choices_leaves_no_choices(make):
    step = make("sms.yaml:foreign")
    made, output = run(step, rows(1))
    assert (made[0].choices, made[0].label) == (None, "ham")
    assert json.loads(output.ledger.to_pylist()[0]["evidence"])["choices"] == "answer is none of them"
    assert any("none of its choices" in note for note in step.notes())


def test_a_template_that_numbers_fewer_answers_than_there_are_labels_is_doubted(make):
    step = make("sms.yaml:by number", labels={"s": ("ham", "spam", "other")})
    run(step, rows(2))
    assert any("2 answers by number and source 's' has 3 labels" in note for note in step.notes())


def test_extra_columns_travel(make):
    table = to_table(rows(3)).append_column("split", pa.array(["train", "test", "train"]))
    made = make("classify", per_row=2).apply(table).table
    assert made.column("split").to_pylist() == ["train"] * 2 + ["test"] * 2 + ["train"] * 2


def test_system_prompt(make):
    made, _ = run(make("classify/short", system="Sort."), rows(1))
    assert made[0].messages[0] == Message("system", "Sort.")


def test_messages_are_columns_too(make, tmp_path):
    (tmp_path / "chat.yaml").write_text(
        "task: chat\nlanguage: en\ntemplates:\n  - {name: a, input: 'Q {{ prompt }}', target: '{{ answer }}!'}\n"
    )
    one = Example(
        id="1", group="1", source="s", origin="f:1", messages=(Message("user", "hi"), Message("assistant", "yo"))
    )
    made, _ = run(make("chat.yaml"), [one])
    assert made[0].messages == (Message("user", "Q hi"), Message("assistant", "yo!"))


def test_a_preference_pair_has_both_answers(make, tmp_path):
    (tmp_path / "judge.yaml").write_text(
        "task: judge\nlanguage: en\ntemplates:\n"
        "  - {name: a, input: '{{ prompt }} A {{ rejected }} B {{ chosen }}', target: B}\n"
    )
    one = Example(
        id="1", group="1", source="s", origin="f:1",
        messages=(Message("user", "hi"), Message("assistant", "good")),
        rejected=(Message("assistant", "bad"),),
    )  # fmt: skip
    made, _ = run(make("judge.yaml"), [one])
    assert made[0].messages[0].content == "hi A bad B good"


def test_empty_table(make):
    output = make("classify").apply(to_table([]))
    assert output.table.num_rows == 0
    assert output.table.schema == SCHEMA
    assert output.ledger.num_rows == 0


def test_a_null_column_fits_no_template(make):
    made, output = run(make("classify"), [Example(id="1", group="1", source="s", origin="f:1", text="a")])
    assert made == []
    assert output.ledger.to_pylist()[0]["reason"] == "no_template"


def test_a_missing_column_is_an_error_with_place_and_columns(make):
    with pytest.raises(TemplateError, match=r"sms.tsv:1: template '.*' failed on row 0+: .*has the columns customer"):
        run(make("nli"), rows(2))
    made, output = run(make("nli", on_error="skip"), rows(2))
    assert made == []
    assert json.loads(output.ledger.to_pylist()[0]["evidence"])["misfits"] == {"error": 5}


def test_a_number_that_no_label_has_is_an_error(make):
    with pytest.raises(TemplateError, match="needs the label's number, and the source 's' has no label 'ham'"):
        run(make("sms.yaml:by number", labels={}), rows(1))


def test_a_template_that_does_not_compile_is_told_before_any_row(make, tmp_path):
    (tmp_path / "bad.yaml").write_text(PROMPTSOURCE.replace("{{sms}}", "{{sms | nosuch}}"))
    with pytest.raises(TemplateError, match=r"bad.yaml:3: template 'by number' does not compile"):
        make("bad.yaml")


def test_parameters_are_strict():
    for wrong in ({"use": "classify", "perrow": 2}, {"use": "classify", "per_row": 0}, {}):
        with pytest.raises(ValidationError):
            TemplateParams(**wrong)


def test_the_fingerprint_is_that_of_the_texts(make, tmp_path):
    first = make("sms.yaml").fingerprint()
    assert make("sms.yaml").fingerprint() == first
    (tmp_path / "sms.yaml").write_text(PROMPTSOURCE.replace("Junk?", "Rubbish?"))
    assert make("sms.yaml").fingerprint() != first


def test_other_code_renders_again(tmp_path):
    here = Path(datakit.__file__).parent
    shutil.copytree(here, tmp_path / "datakit", ignore=shutil.ignore_patterns("__pycache__", "pocket"))
    ask = "from datakit.templates.step import *; from datakit.core.step import StepContext as C; "
    ask += "print(TemplateStep(TemplateParams(use='nli'), C()).fingerprint())"

    def asked():
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", ask], env=environment, cwd=tmp_path, check=True, capture_output=True
        ).stdout.decode()

    first = asked()
    assert first.strip() == TemplateStep(TemplateParams(use="nli"), StepContext()).fingerprint()
    with (tmp_path / "datakit/templates/context.py").open("a") as stream:
        stream.write("# mended\n")
    assert asked() != first


def test_random_templates_and_choices_depend_on_seed_and_row_alone(make):
    def all_of(order, seed=0):
        made, _ = run(make(["sms.yaml", "classify"], seed=seed, per_row=2), [rows(40)[k] for k in order])
        return {one.id: one for one in made}

    forward = all_of(range(40))
    assert forward == all_of(reversed(range(40)))
    assert {key: forward[key] for key in all_of(range(0, 40, 3))} == all_of(range(0, 40, 3))
    assert forward != all_of(range(40), seed=1)
    said = {one.messages[0].content.split()[0] for one in forward.values() if one.template.endswith("random")}
    assert said == {"Say", "Tell"}


@settings(max_examples=50, deadline=None)
@given(
    row=st.text(max_size=20),
    names=st.lists(st.text(min_size=1, max_size=8), unique=True, min_size=1, max_size=6),
    seed=st.integers(0, 9),
)
def test_removing_a_template_only_moves_its_own_rows(row, names, seed):
    order = [names[k] for k in preference(seed, row, names)]
    assert sorted(order) == sorted(names)
    fewer = [name for name in names if name != order[-1]]
    assert [fewer[k] for k in preference(seed, row, fewer)] == order[:-1]


def test_templates_share_the_rows_evenly():
    firsts = [preference(0, f"row {k}", ["a", "b", "c", "d"])[0] for k in range(4000)]
    assert all(900 < firsts.count(k) < 1100 for k in range(4))


def split_table(count=40):
    """Rows in groups of two and clusters of three; every fourth group is test, every fourth validation."""
    examples = [replace(row, group=f"g{k // 2}") for k, row in enumerate(rows(count))]
    sides = [("test", "validation", "train", "train")[k // 2 % 4] for k in range(count)]
    table = to_table(examples).append_column("split", pa.array(sides))
    return table.append_column("cluster", pa.array([f"c{k // 3}" for k in range(count)]))


def shots_of(output):
    """Row id to the ids of its examples, from the ledger."""
    return {line["example_id"]: json.loads(line["evidence"])["shots"] for line in output.ledger.to_pylist()}


def test_examples_come_from_the_train_side_and_never_from_group_or_cluster(make):
    table = split_table()
    output = make(["classify/short", "classify/plain"], shots=3, per_row=2).apply(table)
    output.balance("template", table.num_rows)
    facts = {row["id"]: row for row in table.to_pylist()}
    parents = {row["id"]: row["parent"] or row["id"] for row in output.table.to_pylist()}
    found = shots_of(output)
    assert len(found) == 80
    for id, shots in found.items():
        own = facts[parents[id]]
        assert len(set(shots)) == 3
        for other in shots:
            assert facts[other]["split"] == "train"
            assert facts[other]["group"] != own["group"]
            assert facts[other]["cluster"] != own["cluster"]
    assert len({shot for shots in found.values() for shot in shots}) > 12


def test_examples_are_turns_in_the_rows_own_wording_before_its_question(make):
    table = split_table()
    output = make(["classify/short", "classify/plain"], shots=2, system="Sort.").apply(table)
    texts = dict(zip(table.column("id").to_pylist(), table.column("text").to_pylist(), strict=True))
    labels = dict(zip(table.column("id").to_pylist(), table.column("label").to_pylist(), strict=True))
    found = shots_of(output)
    for row in output.table.to_pylist():
        assert [turn["role"] for turn in row["messages"]] == ["system", *["user", "assistant"] * 3]
        ends = "Category:" if row["template"].endswith("short") else texts[row["id"]]
        asked = [turn["content"] for turn in row["messages"] if turn["role"] == "user"]
        assert texts[row["id"]] in asked[-1]
        assert asked[-1].endswith(ends)
        for turn, other in zip(asked[:-1], found[row["id"]], strict=True):
            assert texts[other] in turn
            assert turn.endswith("Category:") == asked[-1].endswith("Category:")
        answers = [turn["content"] for turn in row["messages"] if turn["role"] == "assistant"]
        assert answers == [labels[id] for id in (*found[row["id"]], row["id"])]


def test_the_order_of_rows_changes_no_examples(make):
    table = split_table()
    backwards = table.take(list(range(table.num_rows))[::-1])
    step = lambda: make("classify/short", shots=3)  # noqa: E731
    assert shots_of(step().apply(table)) == shots_of(step().apply(backwards))
    assert shots_of(step().apply(table)) != shots_of(make("classify/short", shots=3, seed=1).apply(table))


def test_too_few_examples_are_said(make):
    step = make("classify/short", shots=60)
    output = step.apply(split_table(16))
    assert max(len(shots) for shots in shots_of(output).values()) < 8
    assert any("16 rows with fewer than 60 examples" in note for note in step.notes())


def test_one_of_several_system_prompts_by_row(make):
    made, _ = run(make("classify/short", system=["Sort.", "Be brief."]), rows(40))
    said = {one.id: one.messages[0].content for one in made}
    assert set(said.values()) == {"Sort.", "Be brief."}
    assert said == {
        one.id: one.messages[0].content
        for one in run(make("classify/short", system=["Be brief.", "Sort."]), rows(40)[::-1])[0]
    }


def test_rows_that_no_template_fits_are_named_in_the_card(make):
    step = make("sms.yaml:only spam")
    run(step, rows(20))
    assert "no template fits sms.tsv:1, sms.tsv:3, sms.tsv:5, sms.tsv:7, sms.tsv:9 and 5 more, all in the ledger" in (
        step.notes()
    )
    assert "`sms.yaml:only spam` rendered 10 rows" in step.notes()
