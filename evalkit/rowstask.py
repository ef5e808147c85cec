"""lm-eval's task over a dataset's own rows. Import it inside functions: lm-eval is imported here.

Prompts come from ``datakit.core.chat``, so nothing of lm-eval's prompt building is used; its evaluator runs the
requests. Rows with options and rows with open answers may stand in one file.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance

from datakit.core.chat import ChatSettings, is_chat, render_answer, render_prompt
from datakit.core.example import Example
from datakit.core.hashing import digest
from evalkit.doctask import DocTask
from evalkit.owntask import gold_of, turns_of

__all__ = ["RowsTask"]

#: Room for an open answer beyond the longest gold one, in tokens, and the most that is ever generated.
_ROOM, _MOST = 16, 512


class RowsTask(DocTask):
    """A task whose documents are rows of a built dataset.

    Args:
        rows: Test rows; the last turn is the answer.
        examples: Rows that few-shot examples come from.
        tokenizer: Renders prompts; None for a model without one.
        chat: As in training.
        seed: Of the choice of examples; each row's choice depends on nothing but the row.
    """

    OUTPUT_TYPE = "rows"
    metric = "accuracy"

    def __init__(
        self, rows: Sequence[Example], examples: Sequence[Example], *, tokenizer: Any, chat: ChatSettings, seed: int
    ) -> None:
        self.examples = examples
        self.tokenizer = tokenizer
        self.chat = chat
        self.seed = seed
        self.rows = {row.id: row for row in rows}
        docs = [self._doc(row) for row in rows]
        super().__init__(docs, self._generation(docs))

    def _doc(self, row: Example) -> dict[str, Any]:
        return {
            "datakit_id": row.id,
            "group": row.group,
            "messages": turns_of(row),
            "choices": list(row.choices or ()),
            "answer": row.answer,
        }

    def _generation(self, docs: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Greedy; room for the longest gold answer; a newline ends an answer where no gold one has any."""
        answers = [doc["answer"] for doc in docs if not doc["choices"]]
        sizes = [len(self.tokenizer(answer)["input_ids"]) if self.tokenizer else len(answer) for answer in answers]
        plain = not is_chat(self.tokenizer, self.chat) and not any("\n" in answer for answer in answers)
        return {
            "do_sample": False,
            "until": ["\n"] if plain else [],
            "max_gen_toks": min(max(sizes, default=0) + _ROOM, _MOST),
        }

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        """The rendered prompt without examples."""
        return render_prompt(doc["messages"], self.tokenizer, self.chat)

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        """The gold answer; of an item with options the right one."""
        gold = gold_of(self.rows[doc["datakit_id"]])
        target: str = doc["answer"] if gold is None else doc["choices"][gold]
        return target

    def fewshot_context(self, doc: dict[str, Any], num_fewshot: int = 0, **_: Any) -> str:
        """The rendered prompt after its examples: earlier turns in a chat template, else paragraphs."""
        shots = self._shots(doc, num_fewshot)
        if is_chat(self.tokenizer, self.chat):
            turns = [turn for shot in shots for turn in shot.messages or ()]
            return render_prompt([*turns, *doc["messages"]], self.tokenizer, self.chat)
        done = [
            self._plain(turns_of(shot)) + render_answer(shot.answer or "", self.tokenizer, self.chat) for shot in shots
        ]
        return "\n\n".join([*done, self._plain(doc["messages"])])

    def _plain(self, turns: Any) -> str:
        return render_prompt(turns, self.tokenizer, self.chat)

    def _shots(self, doc: dict[str, Any], count: int) -> list[Example]:
        if not count:
            return []
        draw = random.Random(digest("examples", self.seed, doc["datakit_id"]))
        order = draw.sample(range(len(self.examples)), len(self.examples))
        allowed = (self.examples[at] for at in order if self.examples[at].group != doc["group"])
        return [shot for shot, _ in zip(allowed, range(count), strict=False)]

    def construct_requests(self, doc: dict[str, Any], ctx: str, **kwargs: Any) -> list[Any]:
        """One log-likelihood per option, or one generation."""
        kwargs = {"metadata": kwargs["metadata"], "doc": doc}
        if not doc["choices"]:
            return [Instance(request_type="generate_until", arguments=(ctx, dict(self.generation)), idx=0, **kwargs)]
        options = [render_answer(choice, self.tokenizer, self.chat) for choice in doc["choices"]]
        return [
            Instance(request_type="loglikelihood", arguments=(ctx, option), idx=at, **kwargs)
            for at, option in enumerate(options)
        ]

    def process_results(self, doc: dict[str, Any], results: Sequence[Any]) -> dict[str, float]:
        """Whether the likeliest option, or the generated text up to white space, is the gold one."""
        target = self.doc_to_target(doc)
        if not doc["choices"]:
            return {"accuracy": float(results[0].split() == target.split())}
        values = [value for value, _ in results]
        return {"accuracy": float(doc["choices"][values.index(max(values))] == target)}
