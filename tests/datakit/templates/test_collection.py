import io
import json
import os
import tarfile
from pathlib import Path

import pytest

from datakit.core.errors import TemplateError
from datakit.templates import load_collection, select
from datakit.templates.collection import library_names, load_library

PROMPTSOURCE = """\
dataset: toy
templates:
  1a: !Template
    answer_choices: ham ||| spam
    id: 1a
    jinja: 'Spam? {{text}} ||| {{ answer_choices[label] }}'
    metadata: !TemplateMetadata
      choices_in_prompt: false
      metrics: [Accuracy]
      original_task: true
    name: is it spam
    reference: ''
  2b: !Template
    answer_choices: null
    id: 2b
    jinja: '{{text}}'
    metadata: !TemplateMetadata {}
    name: no:answer
    reference: ''
"""

OURS = """\
task: sort
language: en
templates:
  - name: plain
    input: "{{ text }} ->"
    target: "{{ label }}"
    choices: [ham, "{{ 'spam' }}"]
    system: Be brief.
  - name: other
    input: |
      {% for part in parts %}
      - {{ part }}
      {% endfor %}
    target: "{{ label }}"
"""


@pytest.fixture
def folder(tmp_path):
    for name in ("toy", "glue/mini"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "templates.yaml").write_text(PROMPTSOURCE)
    (tmp_path / "ours.yaml").write_text(OURS)
    return tmp_path


def test_a_file_of_promptsource(folder):
    found = load_collection(folder / "data/toy/templates.yaml")
    assert list(found) == ["is it spam", "no:answer"]
    template = found["is it spam"]
    assert (template.id, template.answer_choices, template.task) == ("1a", "ham ||| spam", "toy")
    assert template.metadata == {"choices_in_prompt": False, "metrics": ["Accuracy"], "original_task": True}
    assert template.origin.endswith("toy/templates.yaml:3")
    assert template.apply({"text": "win", "label": 1}) == ["Spam? win", "spam"]
    (folder / "letters.yaml").write_text(PROMPTSOURCE.replace("name: is it spam", "name: y"))
    assert "y" in load_collection(folder / "letters.yaml")
    assert found["no:answer"].apply({"text": "a"}) == ["a"]


def test_a_folder_and_an_archive_have_the_dataset_in_the_name(folder):
    names = {"toy/is it spam", "toy/no:answer", "glue/mini/is it spam", "glue/mini/no:answer"}
    assert set(load_collection(folder / "data")) == names
    assert set(load_collection(str(folder / "data" / "toy"))) == {"is it spam", "no:answer"}
    with tarfile.open(folder / "set.tar.gz", "w:gz") as archive:
        for name in ("toy", "glue/mini"):
            archive.add(folder / "data" / name / "templates.yaml", f"p-1/p/templates/{name}/templates.yaml")
        link = tarfile.TarInfo("p-1/p/templates/evil/templates.yaml")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
    assert set(load_collection(folder / "set.tar.gz")) == names


def test_promptsource_by_name(folder, monkeypatch):
    monkeypatch.setenv("DATAKIT_PROMPTSOURCE", str(folder / "data"))
    assert list(load_collection("promptsource:glue/mini")) == ["is it spam", "no:answer"]
    assert list(load_collection("promptsource:glue")) == ["mini/is it spam", "mini/no:answer"]
    assert [t.key for t in select("promptsource:toy:no:answer")] == ["promptsource:toy:no:answer"]
    with pytest.raises(TemplateError, match=r"no dataset 'toys'.*Did you mean 'toy'"):
        load_collection("promptsource:toys")
    for name in ("../data/toy", "", "/etc", "toy/../toy"):
        with pytest.raises(TemplateError, match="no dataset"):
            load_collection(f"promptsource:{name}")


def test_promptsource_that_is_not_installed_says_how_to(tmp_path, monkeypatch):
    monkeypatch.delenv("DATAKIT_PROMPTSOURCE", raising=False)
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path))
    with pytest.raises(TemplateError, match="datakit templates install"):
        load_collection("promptsource:ag_news")


def test_our_format(folder):
    found = load_collection(folder / "ours.yaml")
    row = {"text": "a|||b", "label": "spam", "parts": ["x", "y"]}
    assert found["plain"].apply(row) == ["a|||b ->", "spam"]
    assert found["plain"].get_answer_choices_list(row) == ["ham", "spam"]
    assert found["plain"].render([row])[0].system == "Be brief."
    assert found["other"].apply(row) == ["- x\n- y", "spam"]


def test_our_format_names_the_missing_column_and_those_there(folder):
    with pytest.raises(TemplateError, match=r"'label' is undefined.*the row has the columns body, text"):
        load_collection(folder / "ours.yaml")["plain"].apply({"text": "a", "body": "b"})


def test_our_format_does_not_fit_where_a_printed_column_is_null(folder):
    template = load_collection(folder / "ours.yaml")["plain"]
    assert template.apply({"text": None, "label": "x"}) == [""]
    assert template.render([{"text": "a", "label": ""}])[0].misfit == "empty_answer"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('    input: "{{ text', '    imput: "{{ text', r"ours.yaml:\d: templates.0.*(field required|unknown key)"),
        ("task: sort", "task: 7", r"ours.yaml:1: task: input should be a valid string"),
        ("language: en", "language: English", r"ours.yaml:2: language"),
        ("name: other", "name: plain", r"ours.yaml:9: templates.1.name: a second template named 'plain'"),
        ("system: Be brief.", "sistem: x", r"ours.yaml:8: templates.0.sistem: unknown key; known are name, input"),
        ("choices: [ham, \"{{ 'spam' }}\"]", "choices: 3", r"ours.yaml:7: templates.0.choices"),
        ("task: sort", "task: [", r"ours.yaml:\d+: not valid YAML"),
        ("task: sort\n", "", r"ours.yaml:1: task: field required"),
    ],
)
def test_mistakes_in_our_format_are_placed(folder, old, new, message):
    assert old in OURS
    (folder / "ours.yaml").write_text(OURS.replace(old, new))
    with pytest.raises(TemplateError, match=message) as caught:
        load_collection(folder / "ours.yaml")
    assert "\n" not in str(caught.value)


def test_a_syntax_error_names_file_line_template_and_key(folder):
    (folder / "ours.yaml").write_text(OURS.replace("{{ label }}", "{{ label }", 1))
    with pytest.raises(TemplateError, match=r"ours.yaml:4: template 'plain' does not compile: .*line 1 of its target"):
        load_collection(folder / "ours.yaml")["plain"].facts()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("templates:\n  a: !!python/object/apply:os.system [exit 9]\n  b: !Template {}\n", "not valid YAML"),
        ("templates:\n  a: !Template {name: x}\n", "x:2: templates.a.jinja: a string"),
        ("templates:\n  a: !Template {name: x, jinja: y, answer_choices: [a]}\n", "answer_choices"),
        ("templates:\n  a: {name: x, jinja: y}\n  b: !Template {name: x, jinja: y}\n", "not tagged"),
        ("templates: !Template {}\n", "no mapping 'templates'"),
        ("templates:\n  a: !Template [\n", r"x:\d: not valid YAML"),
    ],
)
def test_a_bad_promptsource_file(tmp_path, text, message):
    (tmp_path / "x").write_text(text)
    with pytest.raises(TemplateError, match=message):
        load_collection(tmp_path / "x")
    assert not os.environ.get("PWNED")


def test_bad_paths(tmp_path):
    (tmp_path / "bytes.yaml").write_bytes(b"task: \xff")
    (tmp_path / "bad.tar.gz").write_bytes(b"no archive")
    with tarfile.open(tmp_path / "empty.tar.gz", "w:gz") as archive:
        archive.addfile(tarfile.TarInfo("x"), io.BytesIO())
    (tmp_path / "empty").mkdir()
    for name, message in {
        "bytes.yaml": "not valid UTF-8",
        "bad.tar.gz": "not a readable archive",
        "empty.tar.gz": "no templates.yaml",
        "empty": "no template file",
        "gone.yaml": "no such file",
    }.items():
        with pytest.raises(TemplateError, match=message):
            load_collection(tmp_path / name)
    with pytest.raises(TemplateError, match="Did you mean 'classify'"):
        load_collection("clasify")


def test_select_understands_what_a_recipe_writes(folder):
    assert {t.collection for t in select("classify")} == {"classify.en"}
    assert {t.collection for t in select("classify", language="ko")} == {"classify.ko"}
    assert [t.key for t in select("classify.ko/short")] == ["classify.ko/short"]
    assert next(t.key for t in select(["classify/short", "classify"])) == "classify.en/short"
    assert len(select(["classify/short", "classify"])) == len(select("classify"))
    assert [t.key for t in select("ours.yaml", folder=folder)] == ["ours.yaml/plain", "ours.yaml/other"]
    assert [t.key for t in select("ours.yaml:other", folder=folder)] == ["ours.yaml/other"]
    below = select("data/toy/templates.yaml:no:answer", folder=folder)
    assert [t.key for t in below] == ["data/toy/templates.yaml:no:answer"]
    for use, message in {
        "classify/shirt": "Did you mean 'short'",
        "classify.fr": "no templates named",
        "gone.yaml:x": "no such file",
        "ours.yaml:nosuch": "no template 'nosuch'",
    }.items():
        with pytest.raises(TemplateError, match=message):
            select(use, folder=folder)
    with pytest.raises(TemplateError, match="There are"):
        select("classify", language="de")


ROWS = {
    "classify": {"text": "T", "label": "a", "labels": ["a", "b"]},
    "choose": {"question": "Q", "choices": ["a", "b"], "answer": "b"},
    "ner": {"text": "T", "entities": [{"text": "Seoul", "type": "place"}, {"text": "Kim", "type": "person"}]},
    "nli": {"premise": "P", "hypothesis": "H", "label": "a", "labels": ["a", "b"]},
    "qa": {"context": "C", "question": "Q", "answer": "A"},
    "summarise": {"text": "T", "summary": "S"},
}


@pytest.mark.parametrize("name", library_names())
def test_the_library_renders(name):
    task = name.partition(".")[0]
    found = load_library(name)
    assert len(found) >= 3
    prompts = set()
    for template in found.values():
        made = template.render([ROWS[task]])[0]
        assert made.error is None
        assert made.misfit is None
        assert made.choices is None or made.parts[1] in made.choices
        assert not template.facts().random
        assert "\n\n\n" not in made.parts[0]
        prompts.add(made.parts[0])
    assert len(prompts) == len(found)


def test_the_library_is_the_same_in_both_languages():
    names = library_names()
    for task in ROWS:
        assert {f"{task}.en", f"{task}.ko"} <= set(names)
        assert list(load_library(f"{task}.en")) == list(load_library(f"{task}.ko"))
        for template in load_library(f"{task}.ko").values():
            assert any("가" <= sign <= "힣" for sign in template.body["input"])


def test_entities_none_and_json():
    made = load_library("ner.en")
    assert made["list"].apply({"text": "T", "entities": []})[1] == "none"
    for found in (made, load_library("ner.ko")):
        entities = [{"text": 'a"b<서울', "type": "x"}, {"text": "b", "type": "y"}]
        assert json.loads(found["json"].apply({"text": "T", "entities": entities})[1]) == entities
        assert "서울" in found["json"].apply({"text": "T", "entities": entities})[1]


@pytest.mark.real
def test_real_files():
    root = Path(os.environ.get("DATAKIT_REAL_DATA", "../shared/data"))
    folder = root / "promptsource_templates"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder}: set DATAKIT_REAL_DATA")
    found = load_collection(folder)
    assert len({template.collection for template in found.values()}) == 21
    for template in found.values():
        template.facts()
    made = load_collection(folder / "imdb")["Movie Expressed Sentiment 2"].apply({"text": "Fine.", "label": 1})
    assert made == ["The following movie review expresses what sentiment? Fine.", "positive"]
