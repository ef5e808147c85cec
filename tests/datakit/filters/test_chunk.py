import json
import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.core.example import derived_id, from_table, to_table
from datakit.core.step import StepContext
from datakit.filters.chunk import ChunkParams, ChunkStep, chunks
from datakit.filters.tokens import Tokenizer

TOKENIZER = Tokenizer("pocket", StepContext())
PIECES = ["the cat ", "on a hill. ", "\n\n", "   ", "🙂🙂", "안녕하세요 ", "x" * 30, "12345", ", ", "\x00", "é"]


@settings(max_examples=150)
@given(
    text=st.lists(st.sampled_from(PIECES), max_size=60).map("".join),
    tokens=st.integers(4, 40),
    share=st.sampled_from([0, 0.2, 0.5]),
    whole_words=st.booleans(),
)
def test_pieces_cover_the_text_fit_and_overlap(text, tokens, share, whole_words):
    overlap = int(tokens * share)
    found = chunks(text, TOKENIZER, ChunkParams(tokens=tokens, overlap=overlap, tokenizer="x", whole_words=whole_words))
    assert found[0].start == 0
    assert found[-1].end == len(text)
    for chunk in found:
        assert chunk.tokens == len(TOKENIZER.offsets(text[chunk.start : chunk.end]))
        # One character can take more tokens than a small piece may have: then the piece is that character.
        assert chunk.tokens <= tokens or chunk.end - chunk.start == 1
    for before, after in pairwise(found):
        assert before.start < after.start <= before.end < after.end
        shared = len(TOKENIZER.offsets(text[after.start : before.end]))
        assert shared <= overlap + 2
        if not overlap:
            assert after.start == before.end


def test_words_stay_whole_and_overlap_is_there():
    rng = random.Random(0)
    text = " ".join(rng.choice(("cat", "hill", "river", "stone", "bird")) for _ in range(400))
    found = chunks(text, TOKENIZER, ChunkParams(tokens=32, overlap=8, tokenizer="x"))
    words = set(text.split())
    assert len(found) > 10
    assert all(set(text[chunk.start : chunk.end].split()) <= words for chunk in found)
    assert all(before.end - after.start > 0 for before, after in pairwise(found))
    assert all(chunk.tokens > 16 for chunk in found[:-1])


def test_rows_are_created_in_the_group_of_the_text(context, plain, chat):
    long = "the cat sat on the hill. " * 30
    rows = [plain(0, "short"), plain(1, long), chat(2, long, "yes"), plain(3, "", label="x")]
    table = to_table(rows)
    output = ChunkStep(ChunkParams(tokens=50, overlap=10, tokenizer="pocket"), context).apply(table)
    output.balance("chunk", 4)
    made = list(from_table(output.table))
    own = [one for one in made if one.group == rows[1].group]
    assert len(own) > 3
    assert [one.id for one in own] == [rows[1].id, *(derived_id(rows[1].id, "chunk", k) for k in range(1, len(own)))]
    assert [one.parent for one in own] == [None] + [rows[1].id] * (len(own) - 1)
    assert [one for one in made if one not in own] == [rows[0], rows[2], rows[3]]
    lines = output.ledger.to_pylist()
    assert [line["action"] for line in lines] == ["changed"] + ["created"] * (len(own) - 1)
    for one, line in zip(own, lines, strict=True):
        said = json.loads(line["evidence"])
        assert one.text == long[said["start"] : said["end"]]
        assert said["of"] == len(own)


def test_parameters():
    for wrong in ({"tokens": 10}, {"tokens": 10, "overlap": 6, "tokenizer": "x"}, {"tokens": 3, "tokenizer": "x"}):
        with pytest.raises(ValidationError):
            ChunkParams(**wrong)


def test_nasty_rows_go_through(nasty, context):
    table = to_table(nasty)
    output = ChunkStep(ChunkParams(tokens=64, overlap=8, tokenizer="pocket"), context).apply(table)
    output.balance("chunk", table.num_rows)
    assert set(output.table.column("group").to_pylist()) == set(table.column("group").to_pylist())
    assert sum(line["action"] == "created" for line in output.ledger.to_pylist()) > 100  # the word of 100,000 letters
