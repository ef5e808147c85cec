from __future__ import annotations

import json
import sys

import pytest
from pydantic import ValidationError

from datakit.core.errors import MissingDependency, StepError
from datakit.core.example import Example, from_table, to_table
from datakit.pii import redact, scan
from datakit.pii.engine import load_engine
from datakit.pii.step import PiiStep
from datakit.pii.surrogates import canonical


@pytest.fixture(scope="module")
def spacy_folder(tmp_path_factory):
    """A real pipeline, trained on a few sentences: who says something is a person."""
    import spacy
    from spacy.training import Example as Pair
    from spacy.util import fix_random_seed

    nlp = spacy.blank("en")
    nlp.add_pipe("ner").add_label("PERSON")
    names = ["Runa Oakley", "Falk Ashby", "Mira Holt", "Jonas Reed", "Orla Thorn", "Bram Heath"]
    pairs = []
    for name in names:
        for text in (f"{name} says hello to all", f"Yesterday {name} says no"):
            start = text.index(name)
            pairs.append(Pair.from_dict(nlp.make_doc(text), {"entities": [(start, start + len(name), "PERSON")]}))
        pairs.append(Pair.from_dict(nlp.make_doc("The parcel came late today"), {"entities": []}))
    fix_random_seed(0)
    optimizer = nlp.initialize(lambda: pairs)
    for _ in range(30):
        nlp.update(pairs, sgd=optimizer)
    folder = tmp_path_factory.mktemp("engine") / "names"
    nlp.to_disk(folder)
    return folder


@pytest.mark.slow
def test_names_by_a_spacy_pipeline_are_replaced_in_every_column_and_row(spacy_folder):
    rows = [
        Example(id="1", group="1", source="s", origin="f:1", text="Runa Oakley says hello to all"),
        Example(id="2", group="2", source="s", origin="f:2", text="x", fields={"by": "Runa Oakley"}),
        Example(id="3", group="3", source="s", origin="f:3", text="Yesterday Falk Ashby says no to a@example.org"),
    ]
    step = PiiStep(PiiStep.Params(engine=f"spacy:{spacy_folder}", replace="surrogate"))
    new = list(from_table(step.apply(to_table(rows)).table))
    fake = new[0].text.removesuffix(" says hello to all")
    assert fake != "Runa Oakley"
    assert len(fake.split()) == 2
    assert new[1].fields == {"by": fake}
    assert "Falk" not in new[2].text
    assert "a@example.org" not in new[2].text
    assert step.notes() == ["names, places and organisations were looked for by spacy:names"]
    changed = PiiStep(PiiStep.Params(engine=f"spacy:{spacy_folder}"))
    before = changed.fingerprint()
    (spacy_folder / "meta.json").write_text((spacy_folder / "meta.json").read_text() + "\n")
    assert changed.fingerprint() != before


def test_engines_that_cannot_be(tmp_path):
    with pytest.raises(ValidationError, match=r"spacy:MODEL, hf:MODEL or gliner:MODEL"):
        PiiStep.Params(engine="en_core_web_sm")
    with pytest.raises(StepError, match="engine 'spacy:no_such_model' does not load"):
        load_engine("spacy:no_such_model")
    with pytest.raises(MissingDependency, match="gliner"):
        load_engine("gliner:any")


GLINER = """\
import re


class GLiNER:
    def __init__(self, names):
        self.names = names

    @classmethod
    def from_pretrained(cls, place):
        with open(f"{place}/names.txt") as stream:
            return cls(stream.read().split())

    def predict_entities(self, text, labels):
        assert len(text) <= 1200
        return [
            {"start": found.start(), "end": found.end(), "text": found[0], "label": labels[0], "score": 0.75}
            for name in self.names for found in re.finditer(name, text)
        ]
"""


def test_what_gliner_answers_is_put_in_its_place(tmp_path, monkeypatch):
    (tmp_path / "gliner.py").write_text(GLINER)  # the library's form; benchmarks/pii_gliner.py runs the real one
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "names.txt").write_text("Runa Oakl")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "gliner", raising=False)
    find = load_engine("gliner:model", tmp_path)
    text = "x " * 1100 + "Runa met Oakley's friend. " + "y " * 900 + "Runa"
    (spans,) = find([text])
    monkeypatch.delitem(sys.modules, "gliner")
    assert [(text[span.start : span.end], span.entity, span.score) for span in spans] == [
        (name, "PERSON", 0.75) for name in ("Runa", "Oakley", "Runa")
    ]


def test_surrogates_of_names_speak_the_language_of_the_name():
    from datakit.pii.key import Key
    from datakit.pii.surrogates import surrogate

    def fake(kind, value):
        return surrogate(kind, value, Key(b"k"), taken=lambda form: False)

    korean = fake("PERSON", "김철수")
    assert len(korean) == 3
    assert all("가" <= letter <= "힣" for letter in korean)
    assert fake("PERSON", "Runa Oakley").isascii()
    assert canonical("PERSON", "김철수") != canonical("PERSON", "이영희")
    assert fake("LOCATION", "부산") != fake("LOCATION", "대구")
    assert fake("ORGANIZATION", "Oak Ltd").endswith(" Ltd")
    assert fake("ORGANIZATION", "가나다상사").endswith("상사")


@pytest.mark.parametrize("value", ["Falk Ashby", "Falk", "Fernwood", "김가람", "가람", "Oak Reed Ltd"])
def test_a_fake_name_holds_no_word_of_the_real_one(value):
    from datakit.pii.key import Key
    from datakit.pii.surrogates import surrogate

    kind = "ORGANIZATION" if "Ltd" in value else "PERSON"
    for seed in range(300):
        fake = surrogate(kind, value, Key(str(seed).encode()), taken=lambda form: False)
        assert not set(value.split()) & set(fake.split()) - {"Ltd"}
        assert "가람" not in fake


def test_plain_texts_in_an_arrow_array():
    import pyarrow as pa

    assert redact(pa.array(["a@example.org", None]))[0] == ["<EMAIL_ADDRESS>", None]
    assert json.dumps([span.entity for span in scan(pa.array(["a@example.org"]))[0]]) == '["EMAIL_ADDRESS"]'
    with pytest.raises(StepError, match="text 0 is a int"):
        scan([3])
