"""The safeguards of one service: what was requested, and what is in effect.

A safeguard that changed in the middle of a pass would make a pass that no mode ever
runs. So a driver takes the safeguards once, when a pass begins, and what is requested
meanwhile waits for the next one. A service without passes, whose every step is whole
in itself, has them take effect at once.
"""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, Generic, TypeVar

from staleplan.runtime.errors import UnknownNameError
from staleplan.runtime.settings import Mode

_Safeguards = TypeVar("_Safeguards")


class SafeguardSwitchboard(Generic[_Safeguards]):
    """Holds any frozen dataclass of documented booleans as requested and effective."""

    def __init__(
        self,
        mode: Mode,
        presets: Mapping[Mode, _Safeguards],
        *,
        at_once: bool = False,
    ) -> None:
        """Starts with the preset of a mode; `at_once`: nothing waits for a pass.

        Raises: TypeError, if the presets are not dataclasses of documented booleans.
        """
        self.mode = mode
        self._at_once = at_once
        self._requested = self._effective = presets[mode]
        self.descriptions = _descriptions_of(type(presets[mode]))
        """What each safeguard does, one sentence, by field name."""

    @property
    def requested(self) -> dict[str, bool]:
        """The safeguards as last requested, by field name."""
        return _as_dict(self._requested)

    @property
    def effective(self) -> dict[str, bool]:
        """The safeguards that the current pass runs with, by field name."""
        return _as_dict(self._effective)

    @property
    def current(self) -> _Safeguards:
        """The safeguards for the pass that begins now; what was requested takes effect.

        To be read once in a pass, at its beginning.
        """
        self._effective = self._requested
        return self._effective

    def set(self, wanted: Mapping[str, bool]) -> None:
        """Requests values for some fields, from the next pass on or at once.

        Raises: UnknownNameError, with the nearest name; nothing is changed.
        """
        for name in wanted:
            if name not in self.descriptions:
                raise UnknownNameError("safeguards", name, self.descriptions)
        self._requested = replace(self._requested, **wanted)  # type: ignore[type-var]
        if self._at_once:
            self._effective = self._requested


def _as_dict(safeguards: object) -> dict[str, bool]:
    return asdict(safeguards)  # type: ignore[call-overload, no-any-return]


def _descriptions_of(kind: type[Any]) -> dict[str, str]:
    """Returns the first sentence of the docstring of each field of a dataclass."""
    if not is_dataclass(kind):
        raise TypeError(f"{kind.__name__} is not a dataclass")
    docs = _field_docs(kind)
    for each in fields(kind):
        if each.type not in (bool, "bool"):
            raise TypeError(f"{kind.__name__}.{each.name} is not a bool")
        if each.name not in docs:
            raise TypeError(f"{kind.__name__}.{each.name} has no docstring")
    return {each.name: docs[each.name] for each in fields(kind)}


def _field_docs(kind: type[Any]) -> dict[str, str]:
    """Returns the first sentence of each string that follows a field in the source.

    Python keeps the docstrings of classes and functions, but not those of fields.
    """
    source = textwrap.dedent(inspect.getsource(kind))
    body = ast.parse(source).body[0].body  # type: ignore[attr-defined]
    docs = {}
    for statement, following in pairwise(body):
        match statement, following:
            case (
                ast.AnnAssign(target=ast.Name(name)),
                ast.Expr(ast.Constant(str(text))),
            ):
                sentence = re.split(r"(?<=\.)\s", text.strip(), maxsplit=1)[0]
                docs[name] = " ".join(sentence.split())
    return docs
