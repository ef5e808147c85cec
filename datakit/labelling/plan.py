"""What will be asked: a question per row, model and vote, which are answered already, and what the rest costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa

from datakit.core.errors import DatakitError, Unreachable
from datakit.core.hashing import digest
from datakit.labelling.inputs import flipped, shown
from datakit.labelling.labeller import Labeller
from datakit.labelling.models import ModelSpec
from datakit.labelling.prices import Price, PriceTable, estimated_tokens
from datakit.labelling.prompt import Prompt
from datakit.labelling.redaction import Hidden, Redact, hide
from datakit.labelling.store import Answer, AnswerStore

__all__ = ["Asked", "Estimate", "Plan", "Question", "answers_can_come", "prepare"]

# About how many tokens an answer has.
_ANSWER_TOKENS = {"classify": 12, "multilabel": 20, "spans": 60, "answer": 150, "preference": 8, "rating": 8}


@dataclass(frozen=True, slots=True)
class Question:
    """One call that is needed.

    Attributes:
        key: Hash of everything that determines the answer.
        row: Position in the table.
        model: Position in the plan's models.
        vote: Number of the vote.
        flip: The answers of a preference are shown in the other order.
    """

    key: str
    row: int
    model: int
    vote: int
    flip: bool


@dataclass(frozen=True, slots=True)
class Asked:
    """One model of a plan.

    Attributes:
        spec: Who is asked and how.
        prompt: What is put around every row.
        price: Per million tokens; zero on this machine.
    """

    spec: ModelSpec
    prompt: Prompt
    price: Price


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a plan will take.

    Attributes:
        rows: Rows with something to show.
        calls: Calls that are still to be made; each different question once.
        cached: Questions that are answered already.
        tokens_in: About.
        tokens_out: About.
        cost: About, in the table's currency.
        worst: More than this cannot be spent if every call succeeds at once.
        currency: Of the price table.
    """

    rows: int
    calls: int
    cached: int
    tokens_in: int
    tokens_out: int
    cost: float
    worst: float
    currency: str


@dataclass(slots=True)
class Plan:
    """All questions about the rows of a table.

    Attributes:
        labeller: With its options.
        models: Who is asked.
        ids: Example ids in the order of the table.
        inputs: What is sent for each row; None where there is nothing to show.
        flips: The same with the two answers of a preference exchanged.
        sources: The row's text as it stands, for spans.
        questions: One per row, model and vote.
        answers: By key; filled by :func:`datakit.labelling.run.execute`.
        currency: Of the price table.
    """

    labeller: Labeller
    models: Sequence[Asked]
    ids: list[str]
    inputs: list[Hidden | None]
    flips: list[Hidden | None]
    sources: list[str | None]
    questions: list[Question] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    currency: str = "USD"
    cached: frozenset[str] = frozenset()

    def input(self, question: Question) -> Hidden:
        """What is sent for a question."""
        found = (self.flips if question.flip else self.inputs)[question.row]
        assert found is not None  # a row with nothing to show has no question
        return found

    def open(self) -> dict[str, Question]:
        """Questions without an answer, by key: the same question about two rows is asked once."""
        return {one.key: one for one in self.questions if one.key not in self.answers}

    def worst(self, question: Question) -> float:
        """Price of a call at most: no tokenizer makes more tokens than there are bytes."""
        asked = self.models[question.model]
        return asked.price.of(asked.prompt.bytes(self.input(question).text), asked.spec.max_tokens)

    def estimate(self) -> Estimate:
        """Rows, calls, tokens and money."""
        constant = [
            estimated_tokens(asked.prompt.system + "".join(turn["content"] for turn in asked.prompt.turns))
            for asked in self.models
        ]
        tokens_in = tokens_out = 0
        cost = worst = 0.0
        waiting = self.open()
        for question in waiting.values():
            asked = self.models[question.model]
            if asked.spec.local is not None:
                continue
            into = constant[question.model] + estimated_tokens(self.input(question).text)
            out = min(asked.spec.max_tokens, _ANSWER_TOKENS[self.labeller.kind])
            tokens_in, tokens_out = tokens_in + into, tokens_out + out
            cost += asked.price.of(into, out)
            worst += self.worst(question)
        rows = sum(text is not None for text in self.inputs)
        known = len({one.key for one in self.questions}) - len(waiting)
        return Estimate(rows, len(waiting), known, tokens_in, tokens_out, cost, worst, self.currency)


def prepare(
    table: pa.Table,
    labeller: Labeller,
    models: Sequence[ModelSpec],
    *,
    store: AnswerStore,
    prices: PriceTable,
    redact: Redact | None,
    digests: Mapping[str, str] | None = None,
    offline: bool = False,
) -> Plan:
    """Makes the questions and looks up which of them are answered.

    Args:
        table: Rows of the schema.
        labeller: With its options.
        models: At least one.
        store: Of answers.
        prices: For models that name no price of their own.
        redact: Hides personal data from servers; None sends rows as they are.
        digests: Local model to the hash of its weights.
        offline: No server outside this machine.

    Raises:
        DatakitError: A model without a price, twice, or not allowed; a column that no row has.
    """
    names = [spec.identity() for spec in models]
    if len(set(names)) < len(names):
        raise DatakitError("the same model is named twice with the same settings", hint="For more votes say votes: N")
    asked = [_asked(spec, labeller, prices, redacted=redact is not None, offline=offline) for spec in models]
    plain = list(shown(table, labeller))
    as_they_are = [(_or_none(one), _or_none(other)) for one, other in plain]
    hidden = as_they_are
    if redact is not None and any(spec.local is None for spec in models):
        hidden = _hidden(plain, redact, store)
    plan = Plan(
        labeller,
        asked,
        table.column("id").to_pylist(),
        [one for one, _ in hidden],
        [other for _, other in hidden],
        [text if text is not None else one for text, (one, _) in zip(table["text"].to_pylist(), plain, strict=True)],
        currency=prices.currency,
    )
    for number, (one, name) in enumerate(zip(asked, names, strict=True)):
        identity = digest(name, one.prompt.digest, (digests or {}).get(one.spec.name, ""))
        plan.questions += _questions(plan, number, identity)
    plan.answers = store.get(question.key for question in plan.questions)
    plan.cached = frozenset(plan.answers)
    return plan


def _or_none(text: str | None) -> Hidden | None:
    return None if text is None else Hidden(text)


def _hidden(
    plain: Sequence[tuple[str | None, str | None]], redact: Redact, store: AnswerStore
) -> list[tuple[Hidden | None, Hidden | None]]:
    there = [text for pair in plain for text in pair if text is not None]
    done = iter(hide(there, redact, store))
    return [(None if one is None else next(done), None if other is None else next(done)) for one, other in plain]


def answers_can_come(spec: ModelSpec, labeller: Labeller) -> None:
    """Refuses a model that cannot answer a labeller of this kind.

    Raises:
        DatakitError: A local model, which scores options, and nothing to choose one from.
    """
    if spec.local is not None and labeller.kind not in ("classify", "rating", "preference"):
        raise DatakitError(
            f"a local model scores options and chooses one; the labeller '{labeller.name}' is of kind "
            f"'{labeller.kind}'",
            where=f"model '{spec.name}'",
            hint="Serve the model (transformers serve, vLLM, Ollama) and name it with model and server",
        )


def _asked(spec: ModelSpec, labeller: Labeller, prices: PriceTable, *, redacted: bool, offline: bool) -> Asked:
    if spec.local is not None:
        answers_can_come(spec, labeller)
        return Asked(spec, Prompt(labeller, alone=True), Price(input=0, output=0))
    if offline and not spec.is_here:
        raise Unreachable(f"the model '{spec.name}' is at {spec.server}, and the recipe says network: never")
    price = spec.price or (Price(input=0, output=0) if spec.is_here else prices.find(str(spec.model)))
    if price is None:
        raise DatakitError(
            f"no price is known for the model '{spec.name}', so no budget could be kept",
            hint="Say it: price: {input: 0.1, output: 0.4} per million tokens, in the model's entry or a price table",
        )
    return Asked(spec, Prompt(labeller, redacted=redacted), price)


def _questions(plan: Plan, number: int, identity: str) -> list[Question]:
    spec = plan.models[number].spec
    made = []
    for row, (id, text) in enumerate(zip(plan.ids, plan.inputs, strict=True)):
        if text is None:
            continue
        for vote in range(spec.votes):
            flip = plan.flips[row] is not None and flipped(id, vote)
            sent = plan.flips[row] if flip else text
            made.append(Question(digest(identity, sent.text if sent else "", vote), row, number, vote, flip))
    return made
