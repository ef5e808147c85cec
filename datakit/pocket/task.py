"""The new task: tickets of a shop to be sent to one of five queues, as raw as a user would have them.

Exact and near duplicates, tickets with two different queues and personal data are planted and reported. All personal
data is fictional: example.com, 555-01xx, card numbers for tests, addresses of the documentation networks.
"""

from __future__ import annotations

import csv
import io
import random
from dataclasses import dataclass, replace
from pathlib import Path

from datakit.core.storage import write_text
from datakit.pocket.messages import message
from datakit.pocket.world import DAYS, NAMES, QUEUES

__all__ = ["LABELS", "Written", "write_task"]

LABELS = QUEUES

_SHARES = (30, 20, 22, 16, 12)
_SURNAMES = (
    *("Archer", "Brook", "Carter", "Dale", "Ellis", "Fox", "Grant", "Hale"),
    *("Irving", "Jones", "Keller", "Lane", "Moss", "North", "Owens", "Price"),
)
_CARDS = ("4111 1111 1111 1111", "4012 8888 8888 1881", "5555 5555 5555 4444", "5105 1051 0510 5100")
_NETWORKS = ("192.0.2", "198.51.100", "203.0.113")


@dataclass(frozen=True, slots=True)
class _Ticket:
    customer: str
    text: str
    queue: str


@dataclass(frozen=True, slots=True)
class Written:
    """What :func:`write_task` wrote and planted.

    Args:
        path: The CSV file with the columns id, customer, channel, text, queue.
        rows: All rows, planted ones among them.
        labels: The queues.
        exact_duplicates: Rows whose text stands in another row, with the same queue.
        near_duplicates: Rows that differ from another row in the day they were written and nothing else.
        two_queues: Rows whose text stands in another row, with another queue.
        personal: Planted values by kind: email, phone, card, ip, name.
    """

    path: Path
    rows: int
    labels: tuple[str, ...]
    exact_duplicates: int
    near_duplicates: int
    two_queues: int
    personal: dict[str, tuple[str, ...]]


def _contact(rng: random.Random, kind: str, name: str) -> tuple[str, str]:
    """A sentence with personal data of one kind, and the value in it."""
    if kind == "email":
        value = f"{name.replace(' ', '.').lower()}{rng.randrange(100)}@example.com"
        return f"Write to {value}.", value
    if kind == "phone":
        value = f"{rng.randrange(201, 990)}-555-01{rng.randrange(100):02d}"
        return f"Call me at {value}.", value
    if kind == "card":
        value = rng.choice(_CARDS)
        return f"I paid with card {value}.", value
    value = f"{rng.choice(_NETWORKS)}.{rng.randrange(1, 255)}"
    return f"I wrote from {value}.", value


def _ticket(rng: random.Random, people: list[tuple[str, str]], personal: dict[str, list[str]]) -> _Ticket:
    """A message of one customer, in a third of cases with contact data, in half of them with a name."""
    customer, name = rng.choice(people)
    queue = rng.choices(LABELS, _SHARES)[0]
    parts = [message(rng, queue)]
    if rng.random() < 0.35:
        kind = rng.choice(("email", "phone", "card", "ip"))
        sentence, value = _contact(rng, kind, name)
        parts.append(sentence)
        personal[kind].append(value)
    if rng.random() < 0.5:
        parts.append(f"Regards, {name}")
        personal["name"].append(name)
    return _Ticket(customer, " ".join(parts), queue)


def _original_tickets(rng: random.Random, count: int, personal: dict[str, list[str]]) -> list[_Ticket]:
    """Tickets with different texts from a third as many customers."""
    people = [
        (f"C-{number:04d}", f"{rng.choice(NAMES)} {rng.choice(_SURNAMES)}") for number in range(1, count // 3 + 2)
    ]
    found: dict[str, _Ticket] = {}
    while len(found) < count:
        drawn: dict[str, list[str]] = {kind: [] for kind in personal}
        ticket = _ticket(rng, people, drawn)
        if ticket.text not in found:
            found[ticket.text] = ticket
            for kind, values in drawn.items():
                personal[kind] += values
    return list(found.values())


def write_task(folder: Path, *, seed: int, rows: int = 800) -> Written:
    """Writes ``tickets.csv`` into a folder.

    Args:
        folder: Where to; made if missing.
        seed: The same seed and rows give the same bytes.
        rows: All rows; one in sixteen is an exact duplicate, one in ten a near-duplicate, one in a hundred has the
            text of another row and a different queue.
    """
    rng = random.Random(seed)
    exact, near, two = rows // 16, rows // 10, rows // 100
    personal: dict[str, list[str]] = {kind: [] for kind in ("email", "phone", "card", "ip", "name")}
    tickets = _original_tickets(rng, rows - exact - near - two, personal)
    chosen = rng.sample(range(len(tickets)), exact + near + two)
    again = [tickets[place] for place in chosen[:exact]]
    for place in chosen[exact : exact + near]:
        old, new = rng.sample(DAYS, 2)
        ticket = tickets[place]
        tickets[place] = replace(ticket, text=f"{ticket.text} Written on a {old}")
        again.append(replace(ticket, text=f"{ticket.text} Written on a {new}"))
    for place in chosen[exact + near :]:
        other = rng.choice([queue for queue in LABELS if queue != tickets[place].queue])
        again.append(replace(tickets[place], queue=other))
    tickets += again
    rng.shuffle(tickets)
    stream = io.StringIO()
    table = csv.writer(stream, lineterminator="\n")
    table.writerow(("id", "customer", "channel", "text", "queue"))
    for number, ticket in enumerate(tickets, start=1):
        table.writerow(
            (f"T-{number:05d}", ticket.customer, rng.choice(("mail", "web", "phone")), ticket.text, ticket.queue)
        )
    write_text(folder / "tickets.csv", stream.getvalue())
    return Written(
        path=folder / "tickets.csv",
        rows=len(tickets),
        labels=LABELS,
        exact_duplicates=exact,
        near_duplicates=near,
        two_queues=two,
        personal={kind: tuple(values) for kind, values in personal.items()},
    )
