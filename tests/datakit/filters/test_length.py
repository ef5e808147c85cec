import re

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from datakit.core.errors import StepError
from datakit.filters.length import LengthParams, LengthStep


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), max_size=8), low=st.integers(0, 6)
)
def test_characters_and_words_are_pythons(texts, low, context, plain, run):
    rows = [plain(k, text) for k, text in enumerate(texts)]
    kept, reasons = run(LengthStep(LengthParams(min_chars=low, max_chars=20), context), rows)
    assert kept == [k for k, text in enumerate(texts) if low <= len(text) <= 20]
    for k, (reason, evidence) in reasons.items():
        assert reason == ("too_short" if len(texts[k]) < low else "too_long")
        assert evidence["chars"] == len(texts[k])
    spaces = r"[^ \t\n\r\f\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000]+"
    words = [len(re.findall(spaces, text)) for text in texts]
    kept, _ = run(LengthStep(LengthParams(min_words=low), context), rows)
    spaced = [k for k, text in enumerate(texts) if "\x0b" not in text and "\x85" not in text]
    assert [k for k in kept if k in spaced] == [k for k in spaced if words[k] >= low]


def test_the_part_that_is_measured(context, plain, chat, run):
    rows = [chat(0, "a long question", "no"), chat(1, "q", "a long answer"), plain(2, "x")]
    assert run(LengthStep(LengthParams(on="answer", min_chars=5), context), rows) == (
        [1, 2],
        {0: ("too_short", {"chars": 2, "min_chars": 5})},
    )
    assert run(LengthStep(LengthParams(on="prompt", max_words=2), context), rows)[0] == [1, 2]
    assert run(LengthStep(LengthParams(min_words=2), context), rows)[0] == [0, 1]


def test_tokens_are_the_models(context, plain, run):
    from tokenizers import Tokenizer

    from datakit.pocket import model_path

    tokenizer = Tokenizer.from_file(str(model_path() / "tokenizer.json"))
    texts = ["the cat", "", "a much longer sentence about the cat and the dog", "안녕하세요 🙂"]
    counts = [len(tokenizer.encode(text, add_special_tokens=False).ids) for text in texts]
    for bound in sorted(set(counts)):
        step = LengthStep(LengthParams(max_tokens=bound, tokenizer="pocket"), context)
        kept, reasons = run(step, [plain(k, text) for k, text in enumerate(texts)])
        assert kept == [k for k, count in enumerate(counts) if count <= bound]
        assert all(evidence == {"tokens": counts[k], "max_tokens": bound} for k, (_, evidence) in reasons.items())


def test_parameters_that_mean_nothing_are_refused(context):
    for wrong in ({}, {"min_chars": 5, "max_chars": 4}, {"min_tokens": 3}, {"tokenizer": "pocket", "min_chars": 1}):
        with pytest.raises(ValidationError):
            LengthParams(**wrong)
    (context.folder / "empty").mkdir()
    with pytest.raises(StepError, match=r"no tokenizer\.json"):
        LengthStep(LengthParams(min_tokens=1, tokenizer="empty"), context)
