"""What a drill reports. Its JSON shape is a contract: others script against it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any


class Verdict(StrEnum):
    """What a run proves."""

    AS_EXPECTED = "as expected"
    NOT_AS_EXPECTED = "not as expected"
    VOID = "void"


EXIT_CODES = {Verdict.AS_EXPECTED: 0, Verdict.NOT_AS_EXPECTED: 1, Verdict.VOID: 2}
"""Exit code of the command for each verdict."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. Units: `t_s` is seconds since the incident began."""

    t_s: float
    event: str


@dataclass(frozen=True, slots=True)
class Judged:
    """One property in one run. Units: `first_violation_t_s` as in `Event`."""

    held: bool
    first_violation_t_s: float | None = None
    evidence: str | None = None


@dataclass(frozen=True, slots=True)
class Impact:
    """How long a service was hurt, and how long it was by the record, if that counts.

    Units: seconds since the incident began; `None`: to the end of the run.
    """

    service: str
    from_s: float
    to_s: float | None
    record_from_s: float | None = None
    record_to_s: float | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One run of a drill."""

    drill: str
    mode: str
    safeguards: Mapping[str, bool]
    seed: int
    on: str
    speed: float | None
    wall_s: float
    timeline: Sequence[Event]
    properties: Mapping[str, Judged]
    measures: Mapping[str, Any]
    expected: Mapping[str, bool | None]
    verdict: Verdict
    impact: Sequence[Impact] = field(default_factory=list)
    trace_file: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Convert to what `--json` prints."""
        result = asdict(self)
        result["impact"] = [
            {
                "service": each.service,
                "from": each.from_s,
                "to": each.to_s,
                "record_from": each.record_from_s,
                "record_to": each.record_to_s,
            }
            for each in self.impact
        ]
        return result


def verdict_of(results: Sequence[Result]) -> Verdict:
    """Sum up several runs: the worst of them, and a void one proves nothing."""
    verdicts = {result.verdict for result in results}
    for each in (Verdict.NOT_AS_EXPECTED, Verdict.VOID):
        if each in verdicts:
            return each
    return Verdict.AS_EXPECTED
