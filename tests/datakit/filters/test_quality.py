"""The rules against definitions written once more, text by text, from the papers."""

import random
import re
from collections import Counter

import pyarrow as pa
import pytest

from datakit.core.errors import StepError
from datakit.filters.lines import split_pieces, top_ngram_share
from datakit.filters.quality import RULES, QualityParams, QualityStep, _Measured

WORDS = ["the", "of", "and", "to", "have", "cat", "Dog", "runs", "quickly", "over", "#", "...", "12", "3.5", "hello,"]
WORDS += ["world.", "river!", "물", "고기", "extraordinarily"]


def texts():
    rng = random.Random(3)
    made = []
    for _ in range(250):
        lines = []
        for _ in range(rng.randrange(1, 9)):
            line = " ".join(rng.choice(WORDS[: rng.randrange(2, len(WORDS))]) for _ in range(rng.randrange(1, 25)))
            lines.append(rng.choice(("", "", "• ", "- ")) + line + rng.choice(("", ".", "...", "!", " …")))
            lines += [lines[-1]] * rng.choice((0, 0, 0, 2)) + rng.choice(([], [""]))
        made.append("\n".join(lines))
    return [*made, "", "one", "Lorem ipsum dolor. Sit amet. Done here.", "if (a) { b(); }\nText here. Two. Three."]


def share(part, whole):
    return part / max(whole, 1)


def gopher(text):
    words = text.split()
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return {
        "gopher_words": len(words),
        "gopher_mean_word": share(sum(map(len, words)), len(words)),
        "gopher_symbols": share(text.count("#") + len(re.findall(r"\.\.\.|…", text)), len(words)),
        "gopher_bullets": share(sum(line[0] in "•‣▪●*-" for line in lines), len(lines)),
        "gopher_ellipsis": share(sum(line.endswith(("...", "…")) for line in lines), len(lines)),
        "gopher_alphabetic": share(sum(any(c.isalpha() for c in word) for word in words), len(words)),
        "gopher_stop_words": len(
            {word for word in re.findall(r"[a-z]+", text.lower())}
            & {"the", "be", "to", "of", "and", "that", "have", "with"}
        ),
    }


def repeated(pieces):
    seen, count, chars = set(), 0, 0
    for piece in pieces:
        if piece in seen:
            count, chars = count + 1, chars + len(piece)
        seen.add(piece)
    return share(count, len(pieces)), share(chars, sum(map(len, pieces)))


def top_ngram(text, n):
    words = text.split()
    counts = Counter(" ".join(words[k : k + n]) for k in range(len(words) - n + 1))
    if not counts or max(counts.values()) == 1:
        return 0.0
    most = max(counts.values())
    return min(max(len(gram) for gram, count in counts.items() if count == most) * most / len(text), 1.0)


def repeated_ngrams(text, n):
    """Characters marked one by one."""
    words = text.split()
    seen, marked = set(), set()
    for k in range(len(words) - n + 1):
        gram = tuple(words[k : k + n])
        if gram in seen:
            marked |= {(i, j) for i in range(k, k + n) for j in range(len(words[i]))}
        seen.add(gram)
    return share(len(marked), sum(map(len, words)))


def repetition(text):
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    paragraphs = [part.strip() for part in re.split(r"\n\s*\n", text) if part.strip()]
    found = dict(zip(("gopher_repeated_lines", "gopher_repeated_line_chars"), repeated(lines), strict=True))
    found |= zip(("gopher_repeated_paragraphs", "gopher_repeated_paragraph_chars"), repeated(paragraphs), strict=True)
    found |= {f"gopher_repeated_{n}_grams": repeated_ngrams(text, n) for n in range(5, 11)}
    return found | {f"gopher_top_{n}_gram": top_ngram(text, n) for n in (2, 3, 4)}


def fineweb(text):
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    return {
        "fineweb_line_ends": share(sum(line[-1] in ".!?…。？！\"'”’" for line in lines), len(lines)),
        "fineweb_repeated_line_chars": repeated(lines)[1],
        "fineweb_short_lines": share(sum(len(line) < 30 for line in lines), len(lines)),
    }


@pytest.mark.parametrize(
    ("name", "by_hand"), [("gopher", gopher), ("gopher_repetition", repetition), ("fineweb", fineweb)]
)
def test_measures_are_those_of_the_definition(name, by_hand):
    made = texts()
    expected = [by_hand(text) for text in made]
    measured = _Measured(pa.array(made))
    for rule in RULES[name]:
        found = [round(float(value), 9) for value in rule.measure(measured)]
        assert found == [round(float(values[rule.reason]), 9) for values in expected], rule.reason


def test_published_thresholds():
    bounds = {rule.reason: (rule.low, rule.high) for rules in RULES.values() for rule in rules}
    assert bounds["gopher_words"] == (50, 100_000)
    assert bounds["gopher_mean_word"] == (3, 10)
    assert (bounds["gopher_symbols"][1], bounds["gopher_bullets"][1], bounds["gopher_ellipsis"][1]) == (0.1, 0.9, 0.3)
    assert (bounds["gopher_alphabetic"][0], bounds["gopher_stop_words"][0]) == (0.8, 2)
    assert [bounds[f"gopher_top_{n}_gram"][1] for n in (2, 3, 4)] == [0.20, 0.18, 0.16]
    repeated = [bounds[f"gopher_repeated_{n}_grams"][1] for n in range(5, 11)]
    assert repeated == [0.15, 0.14, 0.13, 0.12, 0.11, 0.10]
    assert [bounds[f"fineweb_{name}"] for name in ("line_ends", "repeated_line_chars", "short_lines")] == [
        (0.12, None), (None, 0.1), (None, 0.67),
    ]  # fmt: skip


def test_rows_go_with_the_rule_the_value_and_the_bound(context, plain, run):
    good = "The keeper of the lamp climbed the stairs and looked out over the quiet sea with great care. " * 3
    good = good + "Nothing moved out there, and that was just what everybody had been hoping for. " * 2
    rows = [plain(0, good + "Two boats came home."), plain(1, "Too short."), plain(2, "spam eggs " * 200)]
    kept, reasons = run(QualityStep(QualityParams(use=("gopher",)), context), rows)
    assert kept == [0]
    assert reasons[1] == ("gopher_words", {"value": 2.0, "min": 50.0})
    assert reasons[2] == ("gopher_stop_words", {"value": 0.0, "min": 2.0})
    kept, reasons = run(QualityStep(QualityParams(without=("gopher_stop_words",)), context), [rows[2]])
    assert reasons[2][0] == "gopher_top_2_gram"


def test_c4(context, plain, run):
    rows = [plain(0, "One here. Two there. Three now."), plain(1, "a { b. c. d."), plain(2, "Lorem Ipsum. b. c."),
            plain(3, "No end at all")]  # fmt: skip
    kept, reasons = run(QualityStep(QualityParams(use=("c4",)), context), rows)
    assert kept == [0]
    assert [reasons[k][0] for k in (1, 2, 3)] == ["c4_curly_bracket", "c4_lorem_ipsum", "c4_sentences"]


def test_instructions_and_labelled_rows_are_left_alone_by_default(context, plain, chat, run):
    rows = [chat(0, "hi", "yo"), plain(1, "refund", label="money"), plain(2, "short")]
    step = QualityStep(QualityParams(), context)
    assert run(step, rows)[0] == [0, 1]
    assert step.notes() == [
        "1 rows of plain text were looked at (gopher, gopher_repetition); "
        "2 with a conversation or a label were left alone"
    ]
    assert run(QualityStep(QualityParams(rows="all"), context), rows)[0] == []


def test_an_unknown_rule_is_suggested(context):
    with pytest.raises(StepError, match="gopher_word"):
        QualityStep(QualityParams(without=("gopher_word",)), context)


def test_an_ngram_never_runs_into_the_next_text():
    words = split_pieces(pa.array(["a b", "a b", "c"]), r"\s+")
    assert top_ngram_share(words, 2, [3, 3, 1]).tolist() == [0, 0, 0]
