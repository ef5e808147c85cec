"""The limit on calls in flight: it finds the server's, and stays up where refusals are chance."""

from __future__ import annotations

import asyncio
import json
import random

import pytest
from conftest import rows

from datakit.labelling.pace import Pace


def simulate(refuses, *, calls, most, latency=1.0, start=8):
    """Rounds of calls in simulated time: each begun call ends a latency later; returns the limits over time."""
    pace = Pace(most, start=start, clock=lambda: 0.0)
    limits, flying, clock, done = [], [], 0.0, 0
    refused = 0

    async def drive():
        nonlocal clock, done, refused
        while done < calls:
            while pace.in_flight < int(pace.limit):
                ticket = await pace.enter()
                bad = refuses(clock, pace.in_flight)
                flying.append((clock + (0.05 if bad else latency) * random.uniform(0.9, 1.1), ticket, bad))
            flying.sort()
            clock, ticket, bad = flying.pop(0)
            pace.leave(ticket, refused=bad)
            refused += bad
            done += 1
            limits.append(pace.limit)

    asyncio.run(drive())
    return limits, refused / calls


@pytest.mark.parametrize("seed", range(5))
def test_chance_does_not_lower_it(seed):
    random.seed(seed)
    limits, _ = simulate(lambda clock, flying: random.random() < 0.03, calls=5000, most=32)
    assert sum(limits[200:]) / len(limits[200:]) > 0.97 * 32


@pytest.mark.parametrize("capacity", [3, 10, 40])
def test_it_settles_at_the_number_of_calls_a_server_takes_at_once(capacity):
    random.seed(capacity)
    limits, refused = simulate(lambda clock, flying: flying > capacity, calls=8000, most=200)
    settled = limits[len(limits) // 2 :]
    assert capacity * 0.7 <= sum(settled) / len(settled) <= capacity * 1.3 + 1
    assert refused < 0.25


def test_it_settles_at_a_rate():
    """20 calls a second of a second each: twenty at once."""
    random.seed(1)
    bucket = {"tokens": 20.0, "at": 0.0}

    def refuses(clock, flying):
        bucket["tokens"] = min(20.0, bucket["tokens"] + (clock - bucket["at"]) * 20)
        bucket["at"] = clock
        if bucket["tokens"] < 1:
            return True
        bucket["tokens"] -= 1
        return False

    limits, refused = simulate(refuses, calls=8000, most=200)
    settled = limits[len(limits) // 2 :]
    assert 15 <= sum(settled) / len(settled) <= 27
    assert refused < 0.2


def test_one_at_a_time_is_the_least():
    limits, _ = simulate(lambda clock, flying: True, calls=300, most=50)
    assert limits[-1] == 1


def test_retry_after_holds_everybody():
    async def drive():
        pace = Pace(4, start=4)
        ticket = await pace.enter()
        begun = asyncio.get_running_loop().time()
        pace.leave(ticket, refused=True, retry_after=0.2)
        await asyncio.gather(pace.enter(), pace.enter())
        return asyncio.get_running_loop().time() - begun

    assert asyncio.run(drive()) >= 0.19


def test_what_is_asked_again_goes_first():
    async def drive():
        pace, order = Pace(1, start=1), []

        async def call(name, first):
            ticket = await pace.enter(first=first)
            order.append(name)
            await asyncio.sleep(0)
            pace.leave(ticket)

        await asyncio.gather(call("a", False), call("b", False), call("c", False), call("again", True))
        return order

    assert asyncio.run(drive()) == ["a", "again", "b", "c"]


def test_a_real_server_that_takes_six_at_once(ask, stub):
    stub.limit, stub.latency = 6, 0.03
    stub.answer = lambda text, body: json.dumps({"label": "ham"})
    seen = []
    _, took = ask(rows(300), concurrency=64, progress=lambda state: seen.append(state.limit))
    settled = seen[len(seen) // 2 :]
    assert 4 <= sum(settled) / len(settled) <= 9
    assert stub.served["limited"] < 0.3 * took.calls
