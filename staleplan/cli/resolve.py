"""`staleplan resolve`: one DNS question to a stack, and its answer."""

import asyncio
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from staleplan.cli.console import STATE, JsonOption, StackOption, StateOption, show
from staleplan.cli.errors import CommandError

if TYPE_CHECKING:
    import dns.message
    from rich.console import Console

ANSWER_TIMEOUT_S = 2.0
"""Wall seconds; an answer takes a millisecond."""

NO_ANSWER = "TIMEOUT"
"""Stands for the status where nothing answered."""


class RecordType(StrEnum):
    """What can be asked for."""

    A = "A"
    AAAA = "AAAA"
    TXT = "TXT"


@dataclass(frozen=True, slots=True)
class Answer:
    """What DNS says of a name.

    Units: `negative_ttl_s` is how long an empty answer may be cached: the SOA's
    minimum; `None`: it is not empty. Source: R18, R22.
    """

    name: str
    type: str
    status: str
    answers: int
    records: tuple[str, ...] = ()
    negative_ttl_s: int | None = None


def resolve(
    name: Annotated[str, typer.Argument(help="Such as dynamodb.us-east-1.example.")],
    kind: Annotated[RecordType, typer.Option("--type", help="What to ask for.")] = (
        RecordType.A
    ),
    stack: StackOption = None,
    state: StateOption = STATE,
    as_json: JsonOption = False,
) -> None:
    """Ask a stack's DNS. Exit code: 0 answered with records, 1 without."""
    from staleplan.cli.stacks import find_book

    server = find_book(state, stack).addresses["dns"]
    answer = asyncio.run(ask(server, name, kind))
    if answer.status == NO_ANSWER:
        raise CommandError(f"no answer from DNS at {server}")
    show(answer, lambda to: _render(to, answer), as_json=as_json)
    raise typer.Exit(0 if answer.records else 1)


async def ask(server: str, name: str, kind: str = "A") -> Answer:
    """Ask a DNS server, host:port, for the records of a name.

    Raises: CommandError, if it is no DNS name.
    """
    import dns.asyncquery
    import dns.exception
    import dns.message

    host, _, port = server.rpartition(":")
    try:
        question = dns.message.make_query(name, kind)
    except dns.exception.DNSException as error:
        raise CommandError(f"{name!r} is not a DNS name: {error}") from error
    try:
        reply, _ = await dns.asyncquery.udp_with_fallback(
            question, host, timeout=ANSWER_TIMEOUT_S, port=int(port)
        )
    except (dns.exception.Timeout, OSError):
        return Answer(name, kind, NO_ANSWER, 0)
    return _answer_in(name, kind, reply)


def _answer_in(name: str, kind: str, reply: "dns.message.Message") -> Answer:
    import dns.rcode
    from dns.rdatatype import SOA

    records = tuple(
        line for rrset in reply.answer for line in rrset.to_text().splitlines()
    )
    minimum = next(
        (rrset[0].minimum for rrset in reply.authority if rrset.rdtype == SOA), None
    )
    status = dns.rcode.to_text(reply.rcode())
    return Answer(name, kind, status, len(records), records, minimum)


def _render(to: "Console", answer: Answer) -> None:
    style = "green" if answer.records else "bold red"
    to.print(
        f"{answer.name} {answer.type}: {answer.status}, ANSWER: {answer.answers}",
        style=style,
        soft_wrap=True,
    )
    for record in answer.records:
        to.print(f"  {record}", soft_wrap=True)
    if answer.negative_ttl_s is not None:
        to.print(f"  SOA minimum: may be cached as empty for {answer.negative_ttl_s} s")
