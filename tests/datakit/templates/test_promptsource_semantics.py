"""promptsource's rendering, with expected texts worked out by hand from its documented rules.

All 279 of its files are compared with the real class by benchmarks/promptsource_reference.py.
"""

import random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datakit.core.errors import TemplateError
from datakit.templates import Template


def make(jinja, answer_choices=None, name="t"):
    return Template(name=name, format="promptsource", body={"jinja": jinja, "answer_choices": answer_choices})


def test_two_parts_are_split_and_stripped():
    assert make("  {{ text }} ?\n|||\n {{ answer }}  ").apply({"text": "a", "answer": "b"}) == ["a ?", "b"]


def test_bars_in_the_data_are_not_a_separator():
    made = make("{{ text }} ||| {{ label }}").apply({"text": "x ||| y|||", "label": "|||"})
    assert made == ["x ||| y|||", "|||"]


def test_bars_in_a_nested_value_are_a_separator_as_in_promptsource():
    assert make("{{ texts[0] }} ||| b").apply({"texts": ["x ||| y"]}) == ["x", "y", "b"]


def test_one_part_means_skip():
    assert make("{% if label == 1 %}{{ text }} ||| yes{% endif %}").apply({"text": "a", "label": 0}) == [""]


def test_answer_choices_are_rendered_split_and_seen_by_the_template():
    template = make("{{ text }} ||| {{ answer_choices[label] }}", "no ||| {{ word }} |||maybe ")
    assert template.apply({"text": "a", "label": 1, "word": "yes"}) == ["a", "yes"]
    assert template.get_answer_choices_list({"word": "y|||es"}) == ["no", "y|||es", "maybe"]
    # promptsource takes the protection off the choices before the template prints them.
    assert template.apply({"text": "a", "label": 1, "word": "y|||es"}) == ["a", "y", "es"]


def test_fixed_answer_choices_are_fresh_for_every_row():
    template = make("{{ answer_choices.pop() }} ||| {{ answer_choices | length }}", "a ||| b ||| c")
    assert [template.apply({}) for _ in range(3)] == [["c", "2"]] * 3
    assert template.get_answer_choices_list({}) == ["a", "b", "c"]
    assert [made.choices for made in template.render([{}, {}])] == [("a", "b", "c")] * 2


def test_no_answer_choices():
    assert make("{{ answer_choices }} ||| x").apply({}) == ["None", "x"]
    assert make("a ||| x").get_answer_choices_list({}) is None


def test_undefined_prints_nothing_but_its_attributes_raise():
    assert make("[{{ missing }}] ||| x").apply({}) == ["[]", "x"]
    with pytest.raises(TemplateError, match="'missing' is undefined"):
        make("{{ missing.part }} ||| x").apply({})


def test_own_filters_and_zip():
    row = {"a": ["x", "y"], "b": [1, 2], "items": ["u", "v", "u", "v", "w"]}
    jinja = "{% for k, v in zip(a, b) %}{{ k }}{{ v }}{% endfor %} ||| {{ items | most_frequent }}{{ 'h' | highlight }}"
    assert make(jinja).apply(row) == ["x1y2", "['u', 'v']<span style='color: #F08080'>h</span>"]


def test_lists_may_change_while_a_template_renders_and_the_row_does_not():
    row = {"words": ["a", "b"]}
    assert make("{{ words.append('c') }}{{ words | join }} ||| x").apply(row) == ["Noneabc", "x"]
    assert row == {"words": ["a", "b"]}


def test_a_column_named_answer_choices_or_self_is_refused():
    for name in ("answer_choices", "self"):
        with pytest.raises(TemplateError, match=name):
            make("a ||| b").apply({name: 1})


def test_choice_draws_from_the_global_generator_as_promptsource_does():
    template = make("{{ options | choice }}{{ options | choice }} ||| x")
    options = list("abcdefghij")
    random.seed(5)
    expected = random.choice(options) + random.choice(options)
    after = random.random()
    random.seed(5)
    assert template.apply({"options": options})[0] == expected
    assert random.random() == after


def test_hundreds_of_draws_and_odd_numbers_of_options():
    """More words of the generator than are handed over at once, and choices that take a second word."""
    template = make("{% for k in range(300) %}{{ options | choice }} {% endfor %} ||| x")
    for count in (1, 2, 3, 5, 8, 9, 64, 65):
        options = list(range(count))
        random.seed(count)
        expected = " ".join(str(random.choice(options)) for _ in range(300))
        after = random.random()
        random.seed(count)
        assert template.apply({"options": options})[0] == expected
        assert random.random() == after


def test_rows_of_a_batch_without_seeds_draw_one_after_another():
    template = make("{{ options | choice }} ||| x")
    options = list(range(7))
    random.seed(3)
    expected = [str(random.choice(options)) for _ in range(1000)]
    random.seed(3)
    assert [one.parts[0] for one in template.render([{"options": options}] * 1000)] == expected


def test_a_choice_among_constants_is_drawn_for_every_row():
    template = make("{{ ['a', 'b', 'c'] | choice }} ||| {{ [1, 2] | choice }}")
    for seed in range(30):
        random.seed(seed)
        expected = [random.choice(["a", "b", "c"]), str(random.choice([1, 2]))]
        random.seed(seed)
        assert template.apply({}) == expected
        assert template.apply({}, seed=seed) == expected


def test_a_seed_leaves_the_global_generator_alone():
    random.seed(1)
    expected = random.random()
    random.seed(1)
    make("{{ options | choice }} ||| x").apply({"options": [1, 2, 3]}, seed=9)
    assert random.random() == expected


@pytest.mark.parametrize(
    "value",
    [(1, "a"), {1: "a"}, 10**25, True, None, 1.5, float("inf"), b"x", [[1], {"a": (2,)}], "\x00", "\u202eabc", "🙂"],
)
def test_values_reach_the_template_as_they_are(value):
    assert make("{{ value }} ||| x").apply({"value": value}) == [str(value), "x"]


def test_a_lone_surrogate_is_kept():
    assert make("{{ a }} ||| {{ b }}").apply({"a": "\ud800", "b": "\ud83d\ude00"}) == ["\ud800", "\ud83d\ude00"]


def test_a_value_of_another_type_is_named():
    with pytest.raises(TemplateError, match="type object"):
        make("{{ value }} ||| x").apply({"value": object()})


def test_ten_megabytes_go_through():
    text = "가" * 10_000_000
    assert make("{{ text }} ||| x").apply({"text": text}) == [text, "x"]


@pytest.mark.parametrize(
    ("jinja", "message"),
    [
        ("{{ text", "'t' does not compile: .*line 1"),
        ("a\n{% for x in y %}", "does not compile"),
        ("{{ text | nosuch }}", "No filter named 'nosuch'"),
        ("{{ text.a.b }} ||| x", "line 1 of the template"),
        ("{{ 1 / 0 }} ||| x", "ZeroDivisionError"),
        ("{% include 'x' %} ||| y", "include|loader"),
    ],
)
def test_a_bad_template_is_one_clear_line(jinja, message):
    with pytest.raises(TemplateError, match=message) as caught:
        make(jinja).apply({"text": "secret"})
    assert "\n" not in str(caught.value)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=st.text(max_size=40), bars=st.lists(st.sampled_from(["|", "||", "|||", "||||", " "]), max_size=4))
def test_data_never_splits(text, bars):
    joined = text.join(bars) + "".join(bars)
    made = make("Q: {{ text }}. ||| A: {{ text }}.").apply({"text": joined})
    assert made == [f"Q: {joined}.".strip(), f"A: {joined}.".strip()]


def test_batches_equal_single_rows():
    template = make("{{ text }} {{ options | choice }} ||| {{ label }}", "a ||| b")
    rows = [{"text": f"t{k}", "label": k % 2, "options": ["x", "y"] if k % 3 else ("x", "y")} for k in range(700)]
    made = template.render(rows, seeds=list(range(700)))
    assert [list(one.parts) for one in made[::50]] == [template.apply(rows[k], seed=k) for k in range(0, 700, 50)]
