import sys

import pytest

from datakit.core.errors import TemplateError
from datakit.templates.lm_eval_shim import DatasetTemplates, promptsource_for_lm_eval

FILE = """\
dataset: json
templates:
  a: !Template {name: plain, answer_choices: no ||| yes, jinja: "{{text}}? ||| {{ answer_choices[label] }}"}
  b: !Template {name: drawn, jinja: '{{ ["x", "y"] | choice }} {{text}} ||| {{ ["x", "y"] | choice }}'}
"""


@pytest.fixture(autouse=True)
def installed(tmp_path, monkeypatch):
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "templates.yaml").write_text(FILE)
    monkeypatch.setenv("DATAKIT_PROMPTSOURCE", str(tmp_path))


def test_values_are_cut_as_promptsource_cuts_them():
    prompt = DatasetTemplates("json")["plain"]
    cut, answer = prompt.apply({"text": "word " * 1000, "label": 1})
    assert answer == "yes"
    # Jinja's truncate gives back whole words and an ellipsis, 2,048 characters at most; then comes the question mark.
    assert 2000 < len(cut) <= 2049
    assert cut.endswith("word...?")
    assert prompt.apply({"text": "word " * 1000, "label": 1}, truncate=False)[0] == "word " * 1000 + "?"
    assert prompt.get_answer_choices_list({"text": "", "label": 0}) == ["no", "yes"]


def test_prompt_and_answer_of_an_item_draw_the_same():
    prompt = DatasetTemplates("json")["drawn"]
    rows = [{"text": str(k)} for k in range(20)]
    assert [prompt.apply(row) for row in rows] == [prompt.apply(row) for row in rows]
    assert len({prompt.apply(row)[1] for row in rows}) == 2


def test_the_module_is_there_inside_only():
    with promptsource_for_lm_eval():
        from promptsource.templates import DatasetTemplates as Found

        assert Found is DatasetTemplates
        with pytest.raises(TemplateError, match="no dataset 'glue/mrpc'"):
            Found("glue", "mrpc")
    assert "promptsource" not in sys.modules


@pytest.mark.slow
def test_an_lm_eval_task_uses_it(tmp_path):
    from lm_eval.api.task import ConfigurableTask

    (tmp_path / "data.jsonl").write_text('{"text": "Is it", "label": 1}\n{"text": "Was it", "label": 0}\n')
    config = {
        "task": "toy",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
        "test_split": "test",
        "output_type": "generate_until",
        "use_prompt": "promptsource:plain",
    }
    with promptsource_for_lm_eval():
        task = ConfigurableTask(config=config)
    docs = list(task.test_docs())
    assert [task.doc_to_text(doc) for doc in docs] == ["Is it?", "Was it?"]
    assert [task.doc_to_target(doc) for doc in docs] == ["yes", "no"]
