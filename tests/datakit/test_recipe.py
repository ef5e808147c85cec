from __future__ import annotations

import pytest

from datakit.core.errors import DatakitError, NewerFormat, RecipeError
from datakit.recipe import DataRecipe, StepSpec, check_steps, read_data_recipe

WHOLE = """\
format: 1
name: support
seeds: [1]
data:
  sources:
    intents:
      path: data/intents.csv.gz
      columns: {text: message, label: intent}
      labels: {column: intent, names: [refund, no]}
      on_bad_row: skip
    chats: {path: ["chats/*.jsonl.zst"], columns: {messages: turns}, use: text}
  steps:
    - filter: {use: "mine:check", options: {low: 1e-5}}
    - split: {validation: 0.1, test: 0.15, stratify: label, group: customer_id}
model: Qwen/Qwen3-8B
chat: {template: auto}
arms: {lora: {adapter: lora}}
evaluate: {task: test}
hub: null
network: auto
"""


def write(tmp_path, text):
    (tmp_path / "r.yaml").write_text(text)
    return tmp_path / "r.yaml"


def test_the_data_part_of_a_whole_recipe(tmp_path):
    recipe, document = read_data_recipe(write(tmp_path, WHOLE))
    assert list(recipe.sources) == ["intents", "chats"]
    assert recipe.sources["intents"].labels.names == ("refund", "no")
    assert [step.name for step in recipe.steps] == ["filter", "split"]
    assert recipe.steps[0].params["options"] == {"low": 1e-5}
    assert document.value["model"] == "Qwen/Qwen3-8B"


def test_a_recipe_survives_being_written_down(tmp_path):
    recipe, _ = read_data_recipe(write(tmp_path, WHOLE))
    assert DataRecipe.model_validate(recipe.model_dump(mode="json")) == recipe
    assert DataRecipe.model_validate(recipe.model_dump(mode="json", exclude_defaults=True)) == recipe


@pytest.mark.parametrize("name", ["../out", "a/b", ".", "[a]", "3", '"a\\n"', "<script>"])
def test_a_name_that_would_lead_out_of_runs_is_refused(tmp_path, name):
    with pytest.raises(RecipeError, match=r"r\.yaml:2: name: .* cannot name a run"):
        read_data_recipe(write(tmp_path, WHOLE.replace("name: support", f"name: {name}")))


def test_steps_without_parameters():
    assert StepSpec.model_validate("split") == StepSpec.model_validate({"split": None}) == StepSpec(name="split")


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("model:", "modle:", 15, "modle", "Did you mean 'model'"),
        ("      path:", "      pth:", 7, "data.sources.intents.pth", "unknown key 'pth'. Did you mean 'path'"),
        ("on_bad_row: skip", "on_bad_row: drop", 10, "data.sources.intents.on_bad_row", "'fail' or 'skip', not 'drop'"),
        ("{text: message", "{txt: message", 8, "data.sources.intents.columns", "Did you mean 'text'"),
        ("column: intent,", "colum: intent,", 9, "data.sources.intents.labels.colum", "Did you mean 'column'"),
        ("column: intent,", "column: other,", 6, "data.sources.intents", "columns.label is 'intent'"),
        ("use: text}", "use: [text]}", 11, "data.sources.chats.use", "'train', 'text' or 'replay'"),
        ("- split:", "- spilt:", 14, "data.steps.1", "no step named 'spilt'. Did you mean 'split'"),
        ("stratify: label", "strat: label", 14, "data.steps.1.split.strat", "Did you mean 'stratify'"),
        ("test: 0.15", "test: 0.95", 14, "data.steps.1.split", "leave nothing for train"),
        ("test: 0.15", "test: lots", 14, "data.steps.1.split.test", "valid number"),
        ("    - split:", "    - split: {}\n    - split:", 15, "data.steps.2.split", "stands there twice"),
        ("    - split:", "    - 3\n    - split:", 14, "data.steps.1", "one name with its parameters"),
        ("    - split: {", "    - split: [", 14, "", "YAML"),
        ("data:", "dat:", 4, "dat", "Did you mean 'data'"),
        ("format: 1", "format: one", 1, "format", "is a number"),
        ("format: 1", "format: 0", 1, "format", "is a number"),
        ("name: support", "name: !!python/object/apply:os.system [ls]", 2, "", "YAML"),
    ],
)
def test_errors_name_file_line_key_and_way_out(tmp_path, old, new, line, path, words):
    assert old in WHOLE
    file = write(tmp_path, WHOLE.replace(old, new, 1))
    with pytest.raises(RecipeError) as caught:
        read_data_recipe(file)
    text = str(caught.value)
    assert text.startswith(f"{file}:{line}" + (f": {path}: " if path else "")) or (not path and str(file) in text)
    assert words in text
    assert "\n" not in text


def test_the_way_from_the_issue_of_a_wrong_type_of_the_whole(tmp_path):
    for text, words in (
        ("[]", "mapping"),
        ("", "mapping"),
        ("model: x", "missing"),
        ("data: {sources: {}}", "least 1"),
    ):
        with pytest.raises(RecipeError, match=words):
            read_data_recipe(write(tmp_path, text))


def test_a_newer_format(tmp_path):
    with pytest.raises(NewerFormat, match=r"r\.yaml:1: format: .*up to 1\. Update datakit"):
        read_data_recipe(write(tmp_path, WHOLE.replace("format: 1", "format: 2")))


def test_no_such_file(tmp_path):
    with pytest.raises(DatakitError, match="no such file"):
        read_data_recipe(tmp_path / "none.yaml")


def test_a_recipe_made_in_python_is_checked_too():
    recipe = DataRecipe.model_validate({"sources": {"a": {"path": "a.csv"}}, "steps": [{"split": {"tset": 0.1}}]})
    with pytest.raises(RecipeError, match=r"data\.steps\.0\.split\.tset: unknown key 'tset'\. Did you mean 'test'"):
        check_steps(recipe)


@pytest.mark.parametrize("name", ["../evil", "a/b", "", ".hidden"])
def test_source_names_are_file_names(name):
    with pytest.raises(ValueError, match="becomes a file name"):
        DataRecipe.model_validate({"sources": {name: {"path": "a.csv"}}})


def test_few_shot_templates_before_the_split_are_refused(tmp_path):
    """Their examples would come from the rows that are to be test rows."""
    steps = "    - template: {use: classify, shots: 2}\n    - split: {validation: 0.1, test: 0.15}\n"
    start = WHOLE.index("    - filter:")
    wrong = WHOLE[:start] + steps + WHOLE[WHOLE.index("model:") :]
    with pytest.raises(RecipeError, match=r"r.yaml:13.*few-shot examples would come from the test split"):
        read_data_recipe(write(tmp_path, wrong))
    read_data_recipe(write(tmp_path, wrong.replace(", shots: 2", "")))
    first, second = steps.splitlines(keepends=True)
    read_data_recipe(write(tmp_path, wrong.replace(steps, second + first)))
