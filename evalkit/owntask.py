"""The user's own task: the built test rows, asked exactly as they were trained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datakit.core.chat import ChatSettings
from datakit.core.example import Example, from_table
from datakit.core.hashing import file_digest
from datakit.core.storage import read_table
from evalkit.errors import EvalError
from evalkit.judge import METRIC, Judge
from evalkit.source import Setup
from evalkit.suite import SuiteTask

__all__ = ["METRICS", "RowsSource", "data_task", "gold_of", "turns_of"]

#: What may be asked of a task's own rows; all are computed from the same items.
METRICS = ("accuracy", "macro_f1", "mcc", "pearson", "entity_f1", "token_f1", "rouge_l")


@dataclass(frozen=True, slots=True)
class RowsSource:
    """Rows of ``datakit.core.example.SCHEMA``, their last turn being the answer.

    Attributes:
        path: Parquet file of the test split.
        chat: Rendering, the same as in training; None takes the session's.
        examples: Parquet file that few-shot examples come from.
        metrics: Asked for by the user.
        judge: Scores open answers; None compares them with the gold ones.
    """

    path: Path
    chat: ChatSettings | None = None
    examples: Path | None = None
    metrics: tuple[str, ...] = METRICS[:1]
    judge: Judge | None = None

    rendered = True
    local = True

    def identity(self) -> Any:
        """Bytes of the rows and of the examples, the rendering, and who judges."""
        parts = {
            "rows": file_digest(self.path),
            "examples": self.examples and file_digest(self.examples),
            "chat": self.chat and self.chat.model_dump(),
        }
        return parts if self.judge is None else parts | {"judge": dict(self.judge.identity)}

    def build(self, setup: Setup) -> Any:
        """A task of lm-eval over the rows."""
        from evalkit.rowstask import RowsTask

        if self.chat is not None and self.chat != setup.chat:
            raise EvalError(
                "the task's chat settings are not the session's",
                where=self.path,
                hint="Give both the same ChatSettings",
            )
        examples = _read(self.examples) if self.examples and setup.num_fewshot else []
        return RowsTask(_read(self.path), examples, tokenizer=setup.tokenizer, chat=setup.chat, seed=setup.seed)


def _read(path: Path) -> list[Example]:
    table = read_table(path)
    if "messages" not in table.column_names or "id" not in table.column_names:
        raise EvalError("not a built dataset: it has no columns `id` and `messages`", where=path)
    rows = list(from_table(table))
    if not rows:
        raise EvalError("no rows", where=path)
    for row in rows:
        if row.answer is None or len(row.messages or ()) < 2:
            raise EvalError(
                "a test row needs a prompt and an answer as its last turn",
                where=f"{path}: row {row.id}",
                hint="Put a `template` step into the recipe, or map the columns prompt and answer",
            )
        if row.choices and gold_of(row) is None:
            raise EvalError(
                f"neither label nor answer is one of the choices {list(row.choices)}", where=f"row {row.id}"
            )
    return rows


def gold_of(row: Example) -> int | None:
    """Position of the right option: the answer's, else the label's; None for an open answer."""
    if not row.choices:
        return None
    for text in (row.answer, row.label):
        if text in row.choices:
            return row.choices.index(text)
    return None


def data_task(
    test_parquet: Path,
    *,
    name: str = "task",
    chat: ChatSettings | None = None,
    metrics: Sequence[str] = METRICS[:1],
    margin: float = 0.02,
    limit: int | None = None,
    private: bool = False,
    examples: Path | None = None,
    num_fewshot: int = 0,
    judge: Judge | None = None,
) -> SuiteTask:
    """The user's own task from a built test split.

    Rows with choices are scored by the log-likelihood of each option, others by generating an answer that must equal
    the gold one up to white space, or satisfy a judge. Prompts are rendered by ``datakit.core.chat`` as in training.

    Args:
        test_parquet: File of ``SCHEMA`` rows.
        name: In reports.
        chat: As in training; the session must have the same. None takes the session's.
        metrics: From :data:`METRICS`; ``accuracy`` is always the primary one, the others come from the same items.
        margin: Loss called tolerable.
        limit: Number of items.
        private: Texts of rows are replaced by hashes in the log.
        examples: Split that few-shot examples come from (train); never from the item's own group.
        num_fewshot: Examples before each item.
        judge: Scores open answers; its verdict is then the primary metric, ``judge``.

    Raises:
        EvalError: Unknown metric, no such file, or examples asked for without a file.
    """
    for metric in metrics:
        if metric not in METRICS:
            raise EvalError(
                f"the metric '{metric}' is not known for a dataset's own task", hint=f"Known: {', '.join(METRICS)}"
            )
    if num_fewshot and examples is None:
        raise EvalError("few-shot needs a file that examples come from", hint="Give the train split as `examples`")
    if not Path(test_parquet).is_file():
        raise EvalError("no such file", where=test_parquet, hint="The test split of a run: RUN/data/test-*.parquet")
    source = RowsSource(Path(test_parquet), chat, examples, tuple(metrics), judge)
    return SuiteTask(
        name=name,
        source=source,
        kind="gain",
        metric="accuracy" if judge is None else METRIC,
        filter="none",
        margin=margin,
        limit=limit,
        num_fewshot=num_fewshot,
        private=private,
        description="the dataset's own test rows",
    )


def turns_of(row: Example) -> list[Mapping[str, str]]:
    """The turns before the answer."""
    return [{"role": turn.role, "content": turn.content} for turn in (row.messages or ())[:-1]]
