"""The generator: same seed, same bytes; held-out combinations stay out of every kind of training text."""

from __future__ import annotations

import itertools
import json
import os
import random
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from datakit.pocket import model_path, suite_path, write_general, write_multitask
from datakit.pocket.corpus import SEPARATOR, documents, pieces
from datakit.pocket.families import FAMILIES
from datakit.pocket.items import draw, is_held_out
from datakit.pocket.suite import items, write_suite
from datakit.pocket.world import ATTRIBUTES, TOWNS, facts

SAMPLE = 6_000
ROOT = Path(__file__).resolve().parents[3]


def _python(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh interpreter prints."""
    variables = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=variables).stdout


@pytest.fixture(scope="module")
def corpus() -> list[str]:
    return list(itertools.islice(documents(1), SAMPLE))


def test_importing_the_package_loads_no_generator():
    code = "import sys, datakit.pocket as p; p.model_path(); print([m for m in sys.modules if 'datakit.pocket.' in m])"
    assert _python(code).strip() == "[]"


def test_one_seed_gives_one_stream_of_documents(corpus):
    assert list(itertools.islice(documents(1), 200)) == corpus[:200]
    assert list(itertools.islice(documents(2), 200)) != corpus[:200]


def test_bytes_do_not_depend_on_the_hash_seed(tmp_path):
    code = "import sys, pathlib, datakit.pocket as pocket; pocket.write_task(pathlib.Path(sys.argv[1]), seed=3)"
    texts = []
    for salt in ("0", "77"):
        folder = tmp_path / salt
        _python(code, str(folder), PYTHONHASHSEED=salt)
        texts.append((folder / "tickets.csv").read_bytes())
    assert texts[0] == texts[1]


def test_every_town_has_one_value_per_attribute():
    seen = Counter((fact.town, fact.attribute) for fact in facts())
    assert set(seen.values()) == {1}
    assert len(seen) == len(TOWNS) * len(ATTRIBUTES)


@pytest.mark.parametrize("family", FAMILIES)
def test_items_are_well_formed(family):
    rng = random.Random(5)
    for _ in range(200):
        item = draw(FAMILIES[family], rng, held_out=True)
        assert is_held_out(item.combinations[0])
        assert not item.choices or item.choices.count(item.answer) == 1
        assert len(set(item.choices)) == len(item.choices)


def test_choices_do_not_give_the_answer_away():
    """The right answer stands in no place, and has no wording, more often than chance allows."""
    for family in FAMILIES:
        found = items(family)
        if not found[0].choices:
            continue
        share = 1 / len(found[0].choices)
        places = Counter(item.choices.index(item.answer) for item in found)
        assert max(places.values()) / len(found) < share + 0.08, family


def test_pretraining_has_no_held_out_combination():
    rng = random.Random(9)
    made = [piece.item for _ in range(SAMPLE) for piece in pieces(rng) if piece.item is not None]
    assert len(made) > SAMPLE
    assert not [item for item in made if any(is_held_out(combination) for combination in item.combinations)]


def test_no_pretraining_piece_begins_with_a_suite_prompt(corpus):
    begun = set()
    for piece in itertools.chain.from_iterable(text.split(SEPARATOR) for text in corpus):
        begun.update(itertools.accumulate(piece.split(" "), "{} {}".format))
    for family in FAMILIES:
        assert not [item.prompt for item in items(family) if item.prompt in begun]


def test_sums_and_comparisons_read_from_the_text_are_not_held_out(corpus):
    """Read back from the text itself, without the generator's own bookkeeping."""
    text = "\n".join(corpus)
    sums = re.findall(r"(\d+) (?:plus|\+) (\d+)", text)
    compared = re.findall(r"(?:more|less|Of) ?,? ?(\d+) (?:or|and) (\d+)", text)
    assert len(sums) > 500
    assert len(compared) > 500
    for name, pairs in (("sums", sums), ("comparison", compared)):
        for left, right in pairs:
            low, high = sorted((int(left), int(right)))
            assert not is_held_out((name, str(low), str(high)))


def test_queues_are_never_named_where_a_wish_is(corpus):
    """The base model knows the words of the new task, but no piece of text joins a message with its queue."""
    for piece in itertools.chain.from_iterable(text.split(SEPARATOR) for text in corpus):
        assert not re.search(r"^Message: .*\nQueue:", piece)
        if re.search(r"\b(I want|I would like|All I want)\b", piece):
            assert not re.search(r"\b(refund|exchange|delivery|repair|account)\b", piece)


def test_the_committed_suite_is_what_the_generator_writes(tmp_path):
    write_suite(tmp_path)
    committed = sorted(path.name for path in suite_path().parent.iterdir())
    assert committed == sorted(path.name for path in tmp_path.iterdir())
    for name in committed:
        assert (tmp_path / name).read_bytes() == (suite_path().parent / name).read_bytes(), name


def test_replay_files_hold_training_text_only(tmp_path):
    write_general(tmp_path / "general.jsonl", seed=4, rows=300)
    write_multitask(tmp_path / "multitask.jsonl", seed=4, rows=90)
    general = [json.loads(line) for line in (tmp_path / "general.jsonl").read_text().splitlines()]
    multitask = [json.loads(line) for line in (tmp_path / "multitask.jsonl").read_text().splitlines()]
    assert (len(general), len(multitask)) == (300, 90)
    assert Counter(row["family"] for row in multitask) == dict.fromkeys(FAMILIES, 10)
    prompts = {item.prompt for family in FAMILIES for item in items(family)}
    assert not [row for row in multitask if row["prompt"] in prompts]
    assert not [row for row in general if any(piece in prompts for piece in row["text"].split("\n\n"))]


def test_package_data_stays_small():
    files = [path for folder in (model_path(), suite_path().parent) for path in folder.rglob("*") if path.is_file()]
    assert (model_path() / "model.safetensors").stat().st_size <= 12_000_000
    assert sum(path.stat().st_size for path in files) <= 13_000_000
    assert not [path for path in files if path.suffix in {".bin", ".pt", ".pkl"}]
