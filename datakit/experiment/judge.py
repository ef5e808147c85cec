"""A judge for open answers: a model behind an OpenAI-compatible server, asked by the room that labels rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from datakit.core.errors import DatakitError, RecipeError, Unreachable
from datakit.core.example import Example, Message, to_table
from datakit.core.hashing import digest
from datakit.labelling.labeller import Labeller, load_labeller
from datakit.labelling.models import DEFAULT_SERVER, ModelSpec, read_key
from datakit.labelling.prompt import Prompt

if TYPE_CHECKING:
    from evalkit.judge import Answered

__all__ = ["JudgeSpec", "ServerJudge", "check_written", "make_judge"]


class JudgeSpec(BaseModel):
    """``evaluate.judge``.

    Attributes:
        model: Its name at the server.
        url: Base URL of the server, ending in ``/v1`` mostly.
        key: ``env:NAME`` or ``file:PATH``; never the key itself.
        prompt: What makes an answer right, in words; or a labeller file of kind ``rating`` with a scale of its own.
            None asks whether the answer says what the reference answer says.
        language: ``en`` or ``ko``: of the words put around it.
        redact: Hide personal data from a server that is not on this machine.
        timeout: Seconds for one call.
        concurrency: Calls in flight at most.
    """

    # An error message of pydantic would repeat the value, and that may be a key put in the wrong place.
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    model: str = Field(min_length=1)
    url: str = DEFAULT_SERVER
    key: str | None = None
    prompt: str | None = Field(default=None, min_length=1)
    language: Literal["en", "ko"] = "en"
    redact: bool = True
    timeout: float = Field(default=60.0, gt=0)
    concurrency: int = Field(default=16, ge=1, le=1000)

    @model_validator(mode="after")
    def _can_be_asked(self) -> JudgeSpec:
        self.server()
        return self

    def server(self) -> ModelSpec:
        """The model as the labelling room knows it."""
        return ModelSpec(
            model=self.model, server=self.url, key=self.key, timeout=self.timeout, concurrency=self.concurrency
        )

    def labeller(self, folder: Path) -> Labeller:
        """What is asked about each answer.

        Raises:
            RecipeError: The file is no labeller of kind ``rating``, or shows no answer.
        """
        if self.prompt is not None and self.prompt.endswith((".yaml", ".yml")):
            found = load_labeller(self.prompt, folder=folder)
            if found.kind != "rating":
                raise RecipeError(
                    f"the judge's prompt is a labeller of kind '{found.kind}', and a score needs one of kind 'rating'",
                    where=folder / self.prompt,
                )
            if found.input is None or "{answer}" not in found.input:
                raise RecipeError(
                    "the judge's prompt shows no answer",
                    where=folder / self.prompt,
                    hint='Write for example: input: "{prompt}\\n\\nReference: {reference}\\n\\nAnswer: {answer}"',
                )
            return found
        own = load_labeller("judge", language=self.language)
        return own if self.prompt is None else own.model_copy(update={"instruction": self.prompt})


class ServerJudge:
    """Gives verdicts by a model at a server; each is asked for once, ever, and kept with the answers of labelling.

    Args:
        spec: Who judges.
        folder: Where prompt and key files are looked for.
        offline: No server outside this machine.
    """

    def __init__(self, spec: JudgeSpec, folder: Path, *, offline: bool = False) -> None:
        self.spec, self.folder, self.offline = spec, folder, offline
        self.labeller = spec.labeller(folder)
        asked = digest(Prompt(self.labeller).digest, self.labeller.input or "")
        self.identity: Mapping[str, str] = {"model": spec.model, "prompt": asked}

    def __call__(self, answered: Sequence[Answered], done: Callable[[int], None]) -> list[float | None]:
        """Scores in [0, 1]: the verdict's place between the lowest and the highest option; None where it is unreadable.

        Raises:
            DatakitError: The server cannot be used, or some answers got no verdict; what was judged is kept.
        """
        from datakit.labelling.answers import read_answer
        from datakit.labelling.plan import prepare
        from datakit.labelling.prices import Price, read_prices
        from datakit.labelling.run import execute
        from datakit.labelling.spending import Limits
        from datakit.labelling.store import AnswerStore, answers_file
        from datakit.redactor import Redactor

        server = self.spec.server().model_copy(update={"price": Price(input=0, output=0)})
        hides = self.spec.redact and not server.is_here
        redact = Redactor(("en",) if self.labeller.language == "en" else ("en", "ko")) if hides else None
        with AnswerStore(answers_file()) as store:
            plan = prepare(
                to_table(map(_row, answered)),
                self.labeller,
                [server],
                store=store,
                prices=read_prices(),
                redact=redact,
                offline=self.offline,
            )
            execute(
                plan,
                store,
                Limits(digest("judge", *self.identity.values())),
                folder=self.folder,
                progress=lambda state: done(1),
            )
        lowest, highest = int(self.labeller.names[0]), int(self.labeller.names[-1])
        scores: list[float | None] = [None] * len(answered)
        for question in plan.questions:
            answer = plan.answers[question.key]
            vote = read_answer(self.labeller, answer.content, refused=answer.refused)
            if vote.status == "ok" and vote.value is not None:
                scores[question.row] = (int(vote.value) - lowest) / (highest - lowest)
        return scores


def _row(one: Answered) -> Example:
    turns = [*(Message(turn["role"], turn["content"]) for turn in one.turns), Message("assistant", one.answer)]
    return Example(
        id=one.id,
        group=one.id,
        source="answers",
        origin=one.id,
        messages=tuple(turns),
        fields={"reference": one.target},
    )


def make_judge(spec: JudgeSpec, folder: Path, *, offline: bool = False) -> ServerJudge:
    """A judge that can be asked: its prompt is read, its key is there, and its server may be reached.

    Raises:
        RecipeError: A prompt file that cannot be right.
        Unreachable: ``network: never``, and the server is elsewhere.
        DatakitError: No key.
        MissingDependency: The official client, or what hides personal data, is not installed.
    """
    from datakit.core.require import require

    judge, server = ServerJudge(spec, folder, offline=offline), spec.server()
    require("openai", extra="label")
    if offline and not server.is_here:
        raise Unreachable(f"the judge '{spec.model}' is at {spec.url}, and the recipe says network: never")
    read_key(server, folder)
    if spec.redact and not server.is_here:
        require("presidio_analyzer", extra="pii")
    return judge


def check_written(test: Sequence[Path]) -> None:
    """Whether the test rows have any answer that a judge could read, before anything is trained.

    Raises:
        DatakitError: All of them have options to choose from.
    """
    from datakit.core.storage import read_table

    choices = [row for path in test for row in read_table(path)["choices"].to_pylist()]
    if choices and all(choices):
        raise DatakitError(
            "evaluate.judge reads written answers, and every test row has options to choose from",
            where=test[0],
            hint="Leave evaluate.judge out: options are scored by their log-likelihood",
        )
