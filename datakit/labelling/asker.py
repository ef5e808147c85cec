"""All questions for one model: places, attempts, money, and what is kept when something goes wrong."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from datakit.core.errors import DatakitError
from datakit.labelling.answers import Judged, read_answer
from datakit.labelling.logprobs import CHOICES, option_chances
from datakit.labelling.models import read_key
from datakit.labelling.pace import Pace
from datakit.labelling.plan import Asked, Plan, Question
from datakit.labelling.server import Again, Reply, Server, Unusable
from datakit.labelling.spending import BudgetSpent, Limits, Spending, State
from datakit.labelling.store import Answer, AnswerStore, Claim

__all__ = ["Asker", "Flight", "Outage", "Place"]

_MOMENT = 0.1
_FIRST = 3  # attempts for the first question, while the server has said nothing at all; and rows that may be refused
_QUICK = 4  # attempts of one row that follow each other closely: bad luck, while others are answered
_FEW = 3  # failures in a row that are chance, where a few calls fly only
_ROUNDS = 4  # round trips without an answer, at least, before a server is given up


class Flight:
    """Calls in flight for all models of a run: their money may come back."""

    def __init__(self) -> None:
        self.count = 0
        self.settled = asyncio.Event()

    async def wait(self) -> None:
        """Until a call ends, or a moment: another process tells nothing."""
        self.settled.clear()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self.settled.wait(), _MOMENT)


@dataclass(slots=True)
class Outage:
    """Failed calls since the last one that was answered, in round trips."""

    begun: float = 0.0
    calls: int = 0
    rounds: int = 0

    def failed(self, flying: int, now: float) -> bool:
        """Counts a failed call; whether a whole round trip, all calls that fly together, was in vain.

        Args:
            flying: Calls in flight, with this one.
            now: Seconds.
        """
        if not self.calls and not self.rounds:
            self.begun = now
        self.calls += 1
        if self.calls < (flying if self.rounds else max(_FEW, flying)):
            return False
        self.calls, self.rounds = 0, self.rounds + 1
        return True


@dataclass(frozen=True, slots=True)
class Place:
    """What the calls for one model share with all others."""

    plan: Plan
    asked: Asked
    store: AnswerStore
    limits: Limits
    spending: Spending
    flight: Flight
    progress: Callable[[State], None] | None
    total: int


class Asker:
    """All questions for one model."""

    def __init__(self, place: Place, questions: deque[Question], folder: Path) -> None:
        self.plan, self.asked, self.store, self.limits = place.plan, place.asked, place.store, place.limits
        self.spending, self.flight, self.progress, self.total = (
            place.spending, place.flight, place.progress, place.total,
        )  # fmt: skip
        self.questions = questions
        spec = self.asked.spec
        self.place = f"{spec.server} {spec.model}"
        known = self.store.server_facts(self.place)
        self.server = Server(spec, read_key(spec, folder), known, choices=self.plan.labeller.kind in CHOICES)
        self.pace = Pace(spec.concurrency)
        self.stop: DatakitError | None = None
        self.failed: Counter[str] = Counter()
        self.succeeded = False
        self.outage = Outage()
        self.turned_away: list[Question] = []
        self.refusal = ""

    async def run(self) -> None:
        """The first question alone, since a wrong key or name shows itself there; then as many as the pace allows."""
        for _ in range(min(_FIRST, len(self.questions))):
            await self._question(self.questions.popleft())
            if not self.turned_away or self.succeeded or self.stop is not None:
                break
        if self.failed and not self.succeeded and self.stop is None:
            self.stop = self.server.unreachable(self.failed.most_common(1)[0][0])
        if self.turned_away and not self.succeeded and self.stop is None:
            said = f"'{self.asked.spec.server}' refuses the request: {self.refusal}"
            self.stop = DatakitError(said, hint="Nothing was spent on it")
        self.questions.extend(self.turned_away)
        # More rows are under way than calls in flight: one that waits for its next attempt holds no place.
        workers = min(len(self.questions), 4 * self.asked.spec.concurrency)
        await asyncio.gather(*(self._work() for _ in range(workers)))

    async def _work(self) -> None:
        while self.questions and self.stop is None:
            await self._question(self.questions.popleft())

    def complain(self) -> None:
        """Raises what kept questions from being answered."""
        if self.stop is not None:
            raise self.stop
        if self.failed:
            count, (what, _) = self.failed.total(), self.failed.most_common(1)[0]
            raise DatakitError(
                f"{count:,} of {self.total:,} questions got no answer from '{self.asked.spec.server}' (mostly: {what})",
                hint="All others are kept; run it again to ask for these",
            )

    async def _question(self, question: Question) -> None:
        """One question until it is answered, given up, or everything stops."""
        unreadable, last = 0, ""
        for attempt in range(self.limits.attempts):
            if attempt:
                await asyncio.sleep(random.uniform(0, self._longest(attempt - _QUICK)))  # full jitter
            try:
                reply = await self._attempt(question, again=attempt > 0)
                if reply is None:
                    return
                judged = self._judged(question, reply)
                if judged.status != "unreadable" or unreadable >= self.limits.unreadable:
                    self._keep(question, reply, judged)
                    return
                self._settle(question, self._cost(question, reply))
            except Again as error:
                self._in_vain(error)
                last = error.what
                if not error.said and not self.succeeded and attempt + 1 >= _FIRST:
                    break
                continue
            except DatakitError as error:
                self.stop = self.stop or error
                return
            unreadable += 1
            self.spending.faults["unreadable answer"] += 1
            last = "an answer that cannot be read"
        self.failed[last] += 1

    async def _attempt(self, question: Question, *, again: bool) -> Reply | None:
        """One call in a place of its own; None where none is needed any more."""
        while self.stop is None:
            ticket = await self.pace.enter(first=again)
            refused, wait = False, None
            try:
                claim = "theirs" if self.stop is not None else self._claim(question)
                if claim == "mine":
                    return await self._call(question)
                ticket = -1  # no call was made: it says nothing about the server
            except Again as error:
                refused, wait = error.refused, error.wait
                raise
            finally:
                self.pace.leave(ticket, refused=refused, retry_after=wait)
            if claim == "done":
                self._tell(question, self.store.get([question.key])[question.key], mine=False)
                return None
            if claim == "no_money" and not self.flight.count:
                raise self._spent()
            await self.flight.wait()
        return None

    def _claim(self, question: Question) -> Claim:
        return self.store.claim(
            question.key,
            job=self.limits.job,
            worst=self.plan.worst(question),
            budget=self.limits.budget,
            seconds=self.asked.spec.timeout + 30,
        )

    def _longest(self, doublings: int) -> float:
        return min(self.limits.longest, self.limits.backoff * 2.0**doublings)

    def _in_vain(self, error: Again) -> None:
        """Counts a fault. A server that answers nothing is left alone for longer and longer, then given up.

        A row's own bad luck makes nobody wait: only the server's state does.
        """
        self.spending.faults[error.what.partition(":")[0]] += 1
        outage, now = self.outage, asyncio.get_running_loop().time()
        if not outage.failed(self.pace.in_flight + 1, now) or not self.succeeded or self.stop is not None:
            return
        if outage.rounds >= _ROUNDS and now - outage.begun >= self.limits.patience:
            self.stop = self.server.unreachable(error.what)
        else:
            self.pace.hold(random.uniform(0.5, 1.0) * self._longest(outage.rounds))

    def _spent(self) -> BudgetSpent:
        spent, _ = self.store.spent(self.limits.job)
        unit, open_ = self.plan.currency, len(self.plan.open())
        return BudgetSpent(
            f"the budget of {self.limits.budget:g} {unit} is spent ({spent:.4f}): {open_:,} questions are open",
            hint="All answers are kept; raise the budget and run it again",
        )

    async def _call(self, question: Question) -> Reply | None:
        """One call; None where the server refuses this question for good, which is kept as an answer."""
        asked, facts = self.asked, dict(self.server.facts)
        messages = asked.prompt.messages(self.plan.input(question).text)
        self.flight.count += 1
        self.spending.calls += 1
        try:
            reply = await self.server.learn(messages, asked.prompt.schema, question.vote, fresh=not self.succeeded)
        except Again as error:
            self._settle(question, self.plan.worst(question) if error.billed else 0.0)
            raise
        except Unusable as error:
            self._settle(question, 0.0)
            self._rejected(question, str(error))
            return None
        except DatakitError:
            self._settle(question, 0.0)
            raise
        except BaseException:
            self._settle(question, self.plan.worst(question))
            raise
        finally:
            self.flight.count -= 1
            self.flight.settled.set()
        self.outage, self.succeeded = Outage(), True
        if self.server.facts != facts:
            self.store.note_server(self.place, self.server.facts)
        return reply

    def _rejected(self, question: Question, said: str) -> None:
        """A question the server will not take, too long a text for example.

        While nothing has succeeded it may lie in the request: it waits until another row has been taken.
        """
        if not self.succeeded:
            self.turned_away.append(question)
            self.refusal = said
            return
        self.spending.faults["refused request"] += 1
        answer = Answer(self.asked.spec.name, None, finish="rejected")
        self.store.put({question.key: answer})
        self._tell(question, answer)

    def _settle(self, question: Question, cost: float) -> None:
        self.store.settle(question.key, job=self.limits.job, worst=self.plan.worst(question), cost=cost)

    def _cost(self, question: Question, reply: Reply) -> float:
        """By the server's count; at its worst where the server does not count."""
        if reply.tokens_in is None or reply.tokens_out is None:
            return self.plan.worst(question)
        return self.asked.price.of(reply.tokens_in, reply.tokens_out)

    def _judged(self, question: Question, reply: Reply) -> Judged:
        return read_answer(
            self.plan.labeller,
            reply.content,
            source=self.plan.sources[question.row],
            put_back=self.plan.input(question).put_back,
            refused=reply.refused,
        )

    def _keep(self, question: Question, reply: Reply, judged: Judged) -> None:
        cost = self._cost(question, reply)
        chances = None
        if judged.status == "ok":
            chances = option_chances(self.plan.labeller, str(judged.value), reply.tokens)
        answer = Answer(
            self.asked.spec.name,
            reply.content,
            reply.refused,
            reply.finish,
            chances,
            reply.tokens_in or 0,
            reply.tokens_out or 0,
            cost,
        )
        self.store.finish(question.key, answer, job=self.limits.job, worst=self.plan.worst(question), cost=cost)
        self._tell(question, answer)

    def _tell(self, question: Question, answer: Answer, *, mine: bool = True) -> None:
        self.plan.answers[question.key] = answer
        spending = self.spending
        spending.answered += 1
        if mine:
            spending.tokens_in += answer.tokens_in
            spending.tokens_out += answer.tokens_out
            spending.cost += answer.cost
        if self.progress is not None:
            pace = self.pace
            self.progress(State(spending.answered, self.total, pace.in_flight, int(pace.limit), spending.cost))
