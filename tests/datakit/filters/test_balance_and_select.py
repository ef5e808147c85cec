import itertools
import math
import random
from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from datakit.core.errors import StepError
from datakit.core.example import to_table
from datakit.core.step import StepContext
from datakit.filters.balance import BalanceParams, BalanceStep
from datakit.filters.diversity import k_centres
from datakit.filters.features import importance
from datakit.filters.select import SelectParams, SelectStep


def labelled(plain, counts):
    labels = [label for label, count in counts.items() for _ in range(count)]
    return [plain(k, f"t{k}", label=label, fields={"shop": f"s{k % 2}"}) for k, label in enumerate(labels)]


def test_caps(context, plain, run):
    rows = labelled(plain, {"a": 40, "b": 9, "c": 3, None: 5})
    for params, left in (
        (BalanceParams(max_rows=9), {"a": 9, "b": 9, "c": 3, None: 5}),
        (BalanceParams(max_ratio=2), {"a": 6, "b": 6, "c": 3, None: 5}),
    ):
        kept, reasons = run(BalanceStep(params, context), rows)
        assert Counter(rows[k].label for k in kept) == left
        cap = params.max_rows or 6
        assert all(reason == "over_cap" and said["max_rows"] == cap for reason, said in reasons.values())
    kept, reasons = run(BalanceStep(BalanceParams(by="shop", max_rows=4), context), rows)
    assert Counter(rows[k].fields["shop"] for k in kept) == {"s0": 4, "s1": 4}
    with pytest.raises(StepError, match="no column 'shp'"):
        run(BalanceStep(BalanceParams(by="shp", max_rows=4), context), rows)
    for wrong in ({}, {"max_rows": 3, "max_ratio": 2}):
        with pytest.raises(ValidationError):
            BalanceParams(**wrong)


def test_the_seed_decides_and_other_rows_do_not(context, plain, run):
    rows = labelled(plain, {"a": 40, "b": 9})
    first = run(BalanceStep(BalanceParams(max_rows=9), context), rows)[0]
    assert first == run(BalanceStep(BalanceParams(max_rows=9, seed=1), context), rows)[0]
    assert first != run(BalanceStep(BalanceParams(max_rows=9, seed=2), context), rows)[0]
    # A row that is gone before makes room for one other, the rest stay as they were.
    fewer = [row for k, row in enumerate(rows) if k != first[0]]
    assert set(first[1:]) < set(run(BalanceStep(BalanceParams(max_rows=9), context), fewer)[0])


def test_only_the_train_side_is_touched(context, plain, run):
    sides = ["train", "test"] * 25
    table = to_table(labelled(plain, {"a": 50})).append_column("split", pa.array(sides))
    kept, _ = run(BalanceStep(BalanceParams(max_rows=3), context), table)
    assert Counter(sides[k] for k in kept) == {"train": 3, "test": 25}
    kept, _ = run(SelectStep(SelectParams(by="diversity", rows=3), context), table)
    assert Counter(sides[k] for k in kept) == {"train": 3, "test": 25}


def test_k_centres_are_those_of_brute_force_and_within_twice_the_best_radius():
    rng = np.random.default_rng(0)
    for count, k in itertools.product((9, 12), (2, 3, 4)):
        points = rng.normal(size=(count, 3)).astype(np.float32)
        found = list(itertools.islice(k_centres(points, 0), k))
        chosen = [0]
        for row, distance in found[1:]:
            nearest = [min(math.dist(point, points[other]) for other in chosen) for point in points]
            assert row == int(np.argmax(nearest))
            assert distance == pytest.approx(max(nearest), rel=1e-4)
            chosen.append(row)

        def radius(centres, points=points):
            return max(min(math.dist(point, points[other]) for other in centres) for point in points)

        best = min(radius(centres) for centres in itertools.combinations(range(count), k))
        assert radius(chosen) <= 2 * best + 1e-5
    assert sorted(row for row, _ in k_centres(np.zeros((4, 2)), 2)) == [0, 1, 2, 3]


def test_importance_is_that_of_counters():
    """The paper's formula over Counters; few words, so that no two n-grams share a bucket."""
    raw, target = ["wind and rain", "rain", "sun wind sun", ""], ["sun sun", "sun wind"]

    def grams(text):
        words = text.split()
        return Counter(words) + Counter(itertools.pairwise(words))

    def shares(texts):
        counts = sum((grams(text) for text in texts), Counter())
        return {gram: count / counts.total() for gram, count in counts.items()}

    p, q = shares(target), shares(raw)
    expected = [
        sum(count * math.log(0.5 + 0.5 * p.get(gram, 0) / q[gram]) for gram, count in grams(text).items())
        for text in raw
    ]
    assert importance(pa.array(raw), pa.array(target)).tolist() == pytest.approx(expected)


COOKING = ["stir the soup with salt", "bake the bread in the oven", "chop onions for the soup", "knead the bread dough"]
SAILING = ["hoist the sail on the mast", "steer the boat to port", "the mast bends in wind", "reef the sail in wind"]


def test_likeness_finds_the_targets_kind(context, plain, run):
    rng = random.Random(5)
    rows = []
    for k in range(200):
        kind = COOKING if k % 2 else SAILING
        rows.append(plain(k, " ".join(rng.choice(kind) for _ in range(4))))
    rows += [plain(1000 + k, text, source="good") for k, text in enumerate(COOKING)]
    kept, reasons = run(SelectStep(SelectParams(by="likeness", target="good", rows=50), context), rows)
    assert set(range(1000, 1004)) <= set(kept)
    assert len(kept) == 54
    assert sum(k % 2 for k in kept if k < 1000) >= 48
    worst = max(reasons.values(), key=lambda item: item[1]["rank"])
    assert worst[0] == "not_selected"
    assert worst[1]["rank"] == 200
    (context.folder / "wanted.txt").write_text("\n".join(SAILING))
    kept, _ = run(SelectStep(SelectParams(by="likeness", target="wanted.txt", rows=50), context), rows[:200])
    assert sum(k % 2 == 0 for k in kept) >= 48
    with pytest.raises(StepError, match="neither a source of the recipe nor a file"):
        run(SelectStep(SelectParams(by="likeness", target="bad", rows=5), context), rows)


def test_an_encoder_of_ones_own(context, plain, run, monkeypatch, tmp_path):
    (tmp_path / "my_encoder_for_select.py").write_text(
        "import numpy as np\n"
        "def encode(texts):\n    return np.array([[t.count('a'), t.count('b')] for t in texts], dtype=float)\n"
        "def bad(texts):\n    return np.array([[float('nan')]] * len(texts))\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    rows = [plain(k, text) for k, text in enumerate(("aa", "aab", "ab", "bba", "bbb"))]
    rows.append(plain(9, "aaa", source="good"))
    params = {"by": "likeness", "target": "good", "rows": 2}
    kept, _ = run(SelectStep(SelectParams(**params, encoder="my_encoder_for_select:encode"), context), rows)
    assert kept == [0, 1, 9]
    with pytest.raises(StepError, match="no finite vector"):
        run(SelectStep(SelectParams(**params, encoder="my_encoder_for_select:bad"), context), rows)
    with pytest.raises(StepError, match="cannot be loaded"):
        SelectStep(SelectParams(**params, encoder="no_such_module:encode"), context)


def test_diversity_takes_one_of_each_kind_first(context, plain, run):
    rows = [plain(k, f"{('red apple pie', 'blue boat mast', 'green hill top')[k % 3]} x") for k in range(30)]
    kept, _ = run(SelectStep(SelectParams(by="diversity", rows=3), context), rows)
    assert {k % 3 for k in kept} == {0, 1, 2}


def test_a_budget_in_tokens(context, plain, run):
    rows = [plain(k, "the cat sat " * (k + 1)) for k in range(20)]
    step = SelectStep(SelectParams(by="diversity", tokens=60, tokenizer="pocket"), context)
    kept, _ = run(step, rows)
    costs = step._tokenizer.counts(row.text for row in rows)
    assert 0 < sum(costs[k] for k in kept) <= 60
    everything = SelectStep(SelectParams(by="diversity", tokens=10**6, tokenizer="pocket"), context)
    assert run(everything, rows)[0] == list(range(20))


def test_parameters_that_do_not_go_together():
    for wrong in (
        {"by": "likeness", "rows": 3},
        {"by": "diversity"},
        {"by": "diversity", "rows": 3, "tokens": 4},
        {"by": "diversity", "tokens": 4},
        {"by": "diversity", "rows": 3, "target": "x"},
        {"by": "loss", "rows": 3},
        {"by": "loss", "rows": 3, "model": "pocket", "encoder": "a:b"},
    ):
        with pytest.raises(ValidationError):
            SelectParams(**wrong)


@pytest.mark.slow
def test_a_models_loss(context, plain, chat, run):
    torch = pytest.importorskip("torch")
    transformers = pytest.importorskip("transformers")
    from datakit.filters.loss import answer_losses
    from datakit.pocket import model_path

    rows = [
        chat(k, "the cat is", answer) for k, answer in enumerate(("a cat", "zq xj kw vv", "small", "red " * 30, "9"))
    ]
    rows += [plain(7, "the cat sat on the mat"), plain(8, "")]
    raw = to_table(rows).select(["messages", "text"]).to_pylist()
    found = answer_losses(raw, model_path(), batch_size=3)
    assert found[-1] is None
    assert found[:-1] == pytest.approx(answer_losses(raw, model_path(), batch_size=1)[:-1], abs=1e-4)
    # The plain text by transformers' own loss.
    tokenizer = transformers.AutoTokenizer.from_pretrained(model_path())
    model = transformers.AutoModelForCausalLM.from_pretrained(model_path(), dtype=torch.float32)
    ids = tokenizer("the cat sat on the mat", return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        assert found[-2] == pytest.approx(float(model(input_ids=ids, labels=ids).loss), abs=1e-4)
    order = sorted(range(6), key=lambda k: found[k])
    for prefer, expected in (("low", order[:2]), ("high", order[-2:]), ("middle", order[2:4])):
        step = SelectStep(SelectParams(by="loss", model="pocket", rows=2, prefer=prefer), context)
        kept, reasons = run(step, rows)
        assert {rows[k].id for k in expected} == {f"{k:032x}" for k in kept}
        assert all("score" in said or k == 8 for k, (_, said) in reasons.items())


def test_a_target_file_is_part_of_the_cache_key(tmp_path):
    (tmp_path / "wanted.txt").write_text("a")
    make = lambda: SelectStep(SelectParams(by="likeness", target="wanted.txt", rows=1), StepContext(folder=tmp_path))  # noqa: E731
    before = make().fingerprint()
    (tmp_path / "wanted.txt").write_text("b")
    assert make().fingerprint() != before
