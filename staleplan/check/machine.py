"""A core as a machine: what it asks for next, as a function of what it was sent.

A generator cannot be copied, but it can be run again: a node of the machine keeps the
replies that lead to it. Two ways that leave a core with the same frames are one node,
so that a retry that changes nothing leads back to where it began, and the machine of an
enactor has some hundred nodes, however long it runs.

What cannot be seen in a frame would make that wrong. So everything is run twice, each
node by two ways where there are two, and any difference is reported, never explored.
"""

import gc
from collections.abc import Callable, Generator, Hashable
from dataclasses import dataclass
from types import CodeType, FunctionType, GeneratorType
from typing import Any

Core = Generator[Any, Any, Any]
Path = tuple[Any, ...]
"""What a core was sent, from its beginning."""

START = 0
"""The node of a core that has just begun."""


class NotAFunction(RuntimeError):
    """A core's behaviour is not a function of what it was sent."""


@dataclass(slots=True)
class Node:
    """A core that waits for a reply, and one or two ways that lead it there."""

    command: Any
    path: Path
    other_path: Path | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """Where a reply leads; `result` is that of the pass, if it ended with the reply."""

    node: int
    result: Any = None


class Machine:
    """Every node that a core was led to, found on demand.

    `skip` tells the commands that are not effects; they are answered with `None`.
    `change` replaces a command on its way out; the core never sees it.
    """

    def __init__(
        self,
        begin: Callable[[], Core],
        skip: Callable[[Any], bool],
        change: Callable[[Any], Any] = lambda command: command,
    ) -> None:
        self._begin = begin
        self._skip = skip
        self._change = change
        self._ids: dict[Hashable, int] = {}
        self._moves: dict[tuple[int, Hashable], Move] = {}
        self.nodes: list[Node] = []
        self._intern((), *self._run(()))

    def move(self, node: int, reply: Hashable) -> Move:
        """Where a core goes from a node that is sent a reply.

        Raises: NotAFunction.
        """
        key = (node, reply)
        found = self._moves.get(key)
        if found is None:
            found = self._moves[key] = self._find(node, reply)
        return found

    def _find(self, node: int, reply: Hashable) -> Move:
        at = self.nodes[node]
        path = (*at.path, reply)
        first = self._run(path)
        ways = [path] if at.other_path is None else [path, (*at.other_path, reply)]
        for way in ways:
            if self._run(way) != first:
                raise NotAFunction(
                    f"after {len(way)} replies, the last {reply!r}, one run of the "
                    f"core does not go on as the other: it reads a clock, draws "
                    f"chance, or keeps what nobody sent to it"
                )
        for known in (START, node):
            self._see_again(known)
        command, print_ = first
        if print_ is None:
            return Move(START, command)
        return Move(self._intern(path, command, print_))

    def _see_again(self, node: int) -> None:
        """Make sure that a core which did something has left nothing behind."""
        command, print_ = self._run(self.nodes[node].path)
        if self._ids.get(print_) != node or command != self.nodes[node].command:
            raise NotAFunction(
                f"a new core asks for {command!r}, where one asked for "
                f"{self.nodes[node].command!r} before: it keeps what nobody sent to it"
            )

    def _intern(self, path: Path, command: Any, print_: Hashable) -> int:
        known = self._ids.setdefault(print_, len(self.nodes))
        if known == len(self.nodes):
            self.nodes.append(Node(command, path))
        elif self.nodes[known].other_path is None and self.nodes[known].path != path:
            self.nodes[known].other_path = path
        return known

    def _run(self, path: Path) -> tuple[Any, Hashable]:
        """A core's pending command and frames; at its end its result and `None`."""
        core = self._begin()
        try:
            command = self._on(core, None)
            for reply in path:
                command = self._on(core, reply)
        except StopIteration as end:
            return end.value, None
        return command, _print(core)

    def _on(self, core: Core, reply: Any) -> Any:
        command = core.send(reply)
        while self._skip(command):
            command = core.send(None)
        return self._change(command)


def _print(core: Core) -> Hashable:
    """All that a waiting generator knows: its place, its variables, its iterators."""
    frame: Any = core.gi_frame  # type: ignore[attr-defined]
    inner = core.gi_yieldfrom  # type: ignore[attr-defined]
    names = frame.f_locals
    # A loop's iterator is on the frame's stack, which only the collector looks into.
    hidden = [
        _comparable(one)
        for one in gc.get_referents(core)
        if hasattr(one, "__next__") and one is not inner
    ]
    return (
        frame.f_code,
        frame.f_lasti,
        tuple((name, _comparable(names[name])) for name in sorted(names)),
        tuple(hidden),
        None if inner is None else _print(inner),
    )


def _comparable(value: Any) -> Hashable:
    match value:
        case GeneratorType():
            return _print(value)
        case dict():
            return tuple((_comparable(k), _comparable(v)) for k, v in value.items())
        case list() | tuple():
            return type(value).__name__, tuple(map(_comparable, value))
        case set() | frozenset():
            return frozenset(map(_comparable, value))
        case FunctionType() | CodeType():
            return value
    try:
        if hasattr(value, "__next__"):
            return type(value).__name__, _comparable(value.__reduce__()[1:])
        hash(value)
    except TypeError as error:
        raise NotAFunction(f"a core keeps {value!r}, which has no value") from error
    return value  # type: ignore[no-any-return]
