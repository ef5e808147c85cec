"""compare: what is refused and how it says so, the verdicts of a suite, flips, and gain rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import t
from sklearn.metrics import f1_score
from statsmodels.stats.multitest import multipletests

import evalkit
from evalkit import combine_logs, compare, paired
from evalkit.errors import EvalError, NotComparable
from evalkit.log import ITEMS, EvalLog, TaskInfo


def change(log: EvalLog, number: int, **changes: object) -> EvalLog:
    """The log with one row changed."""
    rows = log.items.to_pylist()
    rows[number] |= changes
    return EvalLog(log.header, pa.Table.from_pylist(rows, schema=ITEMS))


@pytest.fixture
def pair(make_log, make_scores):
    before, after = make_scores(45, 20, 300, 135)
    return make_log({"sums": before}), make_log({"sums": after}, model="tuned")


def test_a_row_is_what_paired_says(pair, make_scores):
    row = compare(*pair).row("sums")
    assert row.paired == paired(*make_scores(45, 20, 300, 135))
    assert (row.n, row.verdict, row.beyond_margin, row.statuses) == (500, "regressed", "possible", {"wrong": 45})
    assert row.adjusted_p == row.paired.p_value


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"prompt_hash": "x"}, "item '00007' of task 'sums': the prompt differs"),
        ({"doc_hash": "x"}, "item '00007' of task 'sums': the document differs"),
        ({"target_hash": "x"}, "item '00007' of task 'sums': the target differs"),
        ({"metric": "f1"}, "the metric differs .*'acc' before, 'f1' after"),
        ({"filter": "strict"}, "the filter differs"),
        ({"cluster": "c"}, "the cluster differs"),
        ({"item_id": "new"}, "item '00007' of task 'sums' is in the log of 'base' and not in that of 'tuned'"),
    ],
)
def test_items_that_do_not_pair_are_refused(pair, changes, said):
    with pytest.raises(NotComparable, match=said):
        compare(pair[0], change(pair[1], 7, **changes))


def test_the_first_differing_item_is_named(pair):
    after = change(change(pair[1], 400, doc_hash="x"), 12, prompt_hash="x")
    with pytest.raises(NotComparable, match=r"'00012'.*prompt"):
        compare(pair[0], after)


def test_settings_must_agree(make_log):
    one, other = make_log({"a": [1]}), make_log({"a": [1]}, settings={"chat": {"thinking": True}, "limit": None})
    with pytest.raises(NotComparable, match=r"chat\.template is 'auto' before and not set after"):
        compare(one, other)
    found = compare(one, other, prompts="differ")
    assert "chat.thinking is False before and True after" in found.settings


def test_the_task_itself_must_agree(make_log):
    one = make_log({"a": [1]}, infos={"a": TaskInfo(chance=0.25)})
    with pytest.raises(NotComparable, match=r"task 'a': chance is 0\.25 before and 0\.5 after"):
        compare(one, make_log({"a": [1]}, infos={"a": TaskInfo(chance=0.5)}))


def test_different_prompts_are_labelled_and_out_of_the_gate(pair):
    after = change(pair[1], 7, prompt_hash="x")
    found = compare(pair[0], after, prompts="differ")
    assert found.row("sums").note == "different prompts"
    assert not found.row("sums").in_gate
    assert evalkit.gate(found).exit_code == 4
    with pytest.raises(NotComparable, match="target"):
        compare(pair[0], change(after, 7, target_hash="x"), prompts="differ")


def test_intersection_counts_what_it_drops(make_log):
    before, after = make_log({"a": [1, 1, 0, 1], "b": [1]}), make_log({"a": [1, 0]}, model="tuned")
    with pytest.raises(NotComparable, match="'00002'"):
        compare(make_log({"a": [1, 1, 0, 1]}), after)
    with pytest.raises(NotComparable, match="task 'b' is not in the log of 'tuned'"):
        compare(make_log({"a": [1, 0], "b": [1]}), after)
    found = compare(before, after, join="intersection")
    assert found.row("a").n == 2
    assert found.dropped == {"a": 2, "b": 1}


def test_intersection_allows_another_limit(make_log):
    one = make_log({"a": [1, 0]}, settings={"limit": 2, "chat": "x"})
    other = make_log({"a": [1]}, settings={"limit": 1, "chat": "x"})
    assert compare(one, other, join="intersection").dropped == {"a": 1}
    with pytest.raises(NotComparable, match="limit is 2 before and 1 after"):
        compare(one, other)


def test_order_of_rows_does_not_matter(pair):
    shuffled = pair[1].items.take(np.random.default_rng(0).permutation(500))
    assert compare(pair[0], EvalLog(pair[1].header, shuffled)).general == compare(*pair).general


@pytest.mark.parametrize("score", [float("nan"), None, float("inf")])
def test_a_score_that_is_no_number_is_refused(pair, score):
    with pytest.raises(EvalError, match=r"of 'tuned' has the score .* for item '00003' of task 'sums'"):
        compare(pair[0], change(pair[1], 3, score=score))


def test_a_score_off_the_scale_is_refused(pair):
    with pytest.raises(EvalError, match=r"item '00003'.*score 34\.2, outside \[0, 1\]"):
        compare(pair[0], change(pair[1], 3, score=34.2))


def test_a_duplicated_item_is_refused(pair):
    with pytest.raises(EvalError, match="of 'base' has item '00004' of task 'sums' twice"):
        compare(change(pair[0], 3, item_id="00004"), pair[1])


def test_lower_may_be_better(make_log, make_scores):
    before, after = make_scores(0, 60, 300, 140)
    info = {"a": TaskInfo(metric="error_rate", higher_is_better=False)}
    row = compare(make_log({"a": before}, infos=info), make_log({"a": after}, infos=info)).row("a")
    assert row.verdict == "regressed"
    assert row.paired.lost == 60
    assert "1 - error_rate" in row.note


def test_holm_over_the_suite_may_undo_a_verdict(make_log, make_scores):
    """One task that alone would be regressed is unsure among eight (p = .012 becomes .09)."""
    lost, same = make_scores(28, 12, 300, 160), make_scores(5, 5, 300, 190)
    alone = compare(make_log({"t": lost[0]}), make_log({"t": lost[1]}))
    assert alone.row("t").verdict == "regressed"
    names = [f"s{number}" for number in range(7)]
    before = make_log({"t": lost[0]} | dict.fromkeys(names, same[0]))
    after = make_log({"t": lost[1]} | dict.fromkeys(names, same[1]))
    found = compare(before, after)
    assert found.row("t").paired.verdict == "regressed"
    assert found.row("t").verdict == "unsure"
    expected = multipletests([row.paired.p_value for row in found.general], method="holm")[1]
    assert [row.adjusted_p for row in found.general] == pytest.approx(list(expected))


def test_gain_rows_stand_outside_holm_and_the_mean(suite_logs):
    logs = suite_logs()
    found = compare(logs["base"], logs["full"])
    assert [row.task for row in found.gains] == ["support"]
    assert found.gains[0].adjusted_p is None
    assert found.suite_mean is not None
    assert found.suite_mean.difference == pytest.approx(np.mean([row.difference for row in found.general]))
    errors = [row.paired.standard_error for row in found.general]
    assert found.suite_mean.standard_error == pytest.approx(np.sqrt(np.sum(np.square(errors))) / 8)
    half = (found.suite_mean.interval[1] - found.suite_mean.interval[0]) / 2
    assert half == pytest.approx(1.96 * found.suite_mean.standard_error, rel=0.02)


def test_suite_mean_of_a_suite_without_flips_is_not_certain(make_log):
    log = make_log({"a": [1.0] * 20, "b": [1.0] * 20})
    found = compare(log, log)
    assert found.suite_mean is not None
    assert found.suite_mean.interval[0] < -0.05
    assert found.identical


def test_flips_are_the_discordant_items(pair):
    flips = compare(*pair).flips.to_pylist()
    assert [row["direction"] for row in flips] == ["lost"] * 45 + ["gained"] * 20
    assert flips[0] == {
        "task": "sums",
        "item_id": "00000",
        "direction": "lost",
        "status": "wrong",
        "prompt": "Question 0 of sums?",
        "target": "answer 0",
        "before": "answer 0",
        "after": "something else",
        "score_before": 1.0,
        "score_after": 0.0,
    }


def test_answers_that_are_labels_of_the_new_task_are_format_loss(suite_logs):
    logs = suite_logs({"full": 0.4})
    row = compare(logs["base"], logs["full"]).row("format")
    assert row.statuses == {"format": row.paired.lost}


def test_a_label_that_is_also_an_answer_of_the_task_is_merely_wrong(make_log):
    def rows(row):
        return row | {"target": "yes" if int(row["item_id"]) % 2 else "no", "answer": "no" if row["score"] else "yes"}

    before, after = make_log({"a": [1] * 10}, rows=rows), make_log({"a": [0] * 10}, rows=rows)
    assert compare(before, after, labels=["yes", "no"]).row("a").statuses == {"wrong": 10}
    assert compare(before, after, labels=["Yes."]).row("a").statuses == {"wrong": 10}


def test_statuses_say_how_answers_failed(make_log):
    kinds = ["ok", "unreadable", "refused", "truncated", "empty", "empty"]
    before = make_log({"a": [1.0] * 6})
    after = make_log({"a": [0.0] * 6}, rows=lambda row: row | {"status": kinds[int(row["item_id"])]})
    found = compare(before, after).row("a")
    assert found.statuses == {"empty": 2, "refused": 1, "truncated": 1, "unreadable": 1, "wrong": 1}


def test_chance_is_that_of_each_item(make_log, make_scores):
    before, after = make_scores(0, 0, 5, 5)

    def rows(row):
        return row | {"n_choices": 2 if int(row["item_id"]) % 2 else 4}

    info = {"a": TaskInfo(chance=0.3)}
    row = compare(make_log({"a": before}, infos=info, rows=rows), make_log({"a": after}, infos=info, rows=rows)).row(
        "a"
    )
    choices = [2 if number % 2 else 4 for number in range(10)]
    luck = np.mean([(1 - b) * (1 - a) / (k - 1) for b, a, k in zip(before, after, choices, strict=True)])
    assert row.paired.forgetting is not None
    assert row.paired.forgetting.unclipped == pytest.approx(-luck)


def test_clusters_reach_the_statistics(make_log, make_scores):
    before, after = make_scores(20, 10, 60, 10)

    def rows(row):
        return row | {"cluster": f"passage {int(row['item_id']) // 5}"}

    row = compare(make_log({"a": before}, rows=rows), make_log({"a": after}, rows=rows)).row("a")
    assert row.paired == paired(before, after, clusters=np.arange(100) // 5)


def test_macro_f1_of_a_gain_row_is_that_of_scikit_learn(suite_logs):
    logs = suite_logs()
    row = compare(logs["base"], logs["full"]).gains[0]
    for log, value in ((logs["base"], row.metrics[0].before), (logs["full"], row.metrics[0].after)):
        own = [entry for entry in log.items.to_pylist() if entry["task"] == "support"]
        targets, answers = [entry["target"] for entry in own], [entry["answer"] for entry in own]
        expected = f1_score(targets, answers, labels=sorted(set(targets)), average="macro", zero_division=0)
        assert value == pytest.approx(expected)
    assert row.metrics[0].interval[0] < row.metrics[0].difference < row.metrics[0].interval[1]


def test_drift_is_a_ratio_clustered_by_document(make_log):
    random = np.random.default_rng(1)
    tokens, base = random.integers(50, 200, size=30), random.normal(3, 0.2, size=30)
    info = {"wiki": TaskInfo(kind="drift", metric="nll_per_token", higher_is_better=False)}

    def text(rise):
        def rows(row):
            at = int(row["item_id"])
            nll = (base[at] + rise + 0.01 * (at % 3)) * tokens[at]
            return row | {"sum_logprob": -nll, "n_tokens": int(tokens[at]), "n_bytes": int(4 * tokens[at])}

        return rows

    logs = [make_log({"wiki": [3.0] * 30}, infos=info, rows=text(rise)) for rise in (0.0, 0.1)]
    found = compare(*logs)
    drift = found.drift[0]
    assert found.general == ()
    assert drift.per_token is not None
    assert drift.per_token.difference == pytest.approx(0.1)
    assert drift.bits_per_byte is not None
    assert drift.bits_per_byte.difference == pytest.approx(0.1 / np.log(2) / 4)
    assert (drift.documents, drift.tokens) == (30, int(tokens.sum()))
    assert evalkit.gate(found).status == "unsure"


@pytest.mark.parametrize("kind", ["gain", "drift"])
def test_kl_has_an_interval_clustered_as_the_items_are(make_log, kind):
    """A regression on a constant with errors by cluster, weighted by tokens for texts, is the same thing."""
    import statsmodels.api as sm

    random = np.random.default_rng(2)
    kl, tokens = random.gamma(1.0, 0.1, size=40), random.integers(20, 90, size=40)
    groups = [at // 3 for at in range(40)]
    info = {"t": TaskInfo(kind=kind, metric="acc", higher_is_better=kind == "gain")}

    def rows(row):
        at = int(row["item_id"])
        facts = {"sum_logprob": -100.0, "n_tokens": int(tokens[at]), "n_bytes": 400}
        return row | facts | {"kl_to_base": float(kl[at]), "cluster": str(groups[at])}

    log = make_log({"t": [1.0] * 40}, infos=info, rows=rows)
    found = compare(log, log)
    measured = found.row("t") if kind == "gain" else found.drift[0]
    weights = np.ones(40) if kind == "gain" else tokens
    fit = sm.WLS(kl, np.ones(40), weights=weights).fit(
        cov_type="cluster", cov_kwds={"groups": groups, "use_correction": False}, use_t=True
    )
    count = len(set(groups))
    half = t.ppf(0.975, count - 1) * fit.bse[0] * (count / (count - 1)) ** 0.5
    assert measured.kl == pytest.approx(fit.params[0])
    assert measured.kl_interval == pytest.approx((max(0, fit.params[0] - half), fit.params[0] + half))


def test_kl_of_one_document_has_no_interval(make_log):
    info = {"wiki": TaskInfo(kind="drift", metric="nll_per_token", higher_is_better=False)}
    facts = {"sum_logprob": -100.0, "n_tokens": 30, "n_bytes": 400, "kl_to_base": 0.5}
    log = make_log({"wiki": [3.0]}, infos=info, rows=lambda row: row | facts)
    assert (compare(log, log).drift[0].kl, compare(log, log).drift[0].kl_interval) == (0.5, None)


def test_other_tokens_leave_bits_per_byte(make_log):
    info = {"wiki": TaskInfo(kind="drift", metric="nll_per_token", higher_is_better=False)}

    def text(tokens):
        return lambda row: row | {"sum_logprob": -300.0, "n_tokens": tokens, "n_bytes": 400}

    logs = [make_log({"wiki": [3.0] * 4}, infos=info, rows=text(tokens)) for tokens in (100, 90)]
    drift = compare(*logs).drift[0]
    assert drift.per_token is None
    assert drift.bits_per_byte is not None
    assert drift.bits_per_byte.difference == 0


def test_logs_of_several_suites_are_compared_together(make_log):
    suite = make_log({"a": [1, 0]}, suite="core")
    own = make_log({"t": [1, 0]}, infos={"t": TaskInfo(kind="gain")}, suite="task")
    both = combine_logs([own, suite])
    assert both.header.suite == "core+task"
    assert [row.task for row in compare(both, both).rows] == ["t", "a"]
    with pytest.raises(EvalError, match="task 'a' stands in two"):
        combine_logs([suite, replace(suite, header=replace(suite.header, suite="other"))])


def test_logs_are_read_from_files(pair, tmp_path):
    paths = [log.write(tmp_path / name) for log, name in zip(pair, ("one", "two"), strict=True)]
    assert compare(*paths).general == compare(*pair).general
