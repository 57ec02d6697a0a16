"""What a check says: figures, each property with its shortest story, a verdict."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from enactor.safeguards import BUGGY, FIXED
from staleplan.check.marks import PROPERTIES, SOMETIMES
from staleplan.check.question import Question
from staleplan.check.search import CONVERGES, Found, Search
from staleplan.check.story import tell

Verdict = Literal["as expected", "not as expected", "incomplete"]

EXIT_CODES: Mapping[Verdict, int] = {
    "as expected": 0,
    "not as expected": 1,
    "incomplete": 3,
}

NAMES = {each.id: each.name for each in PROPERTIES} | {
    CONVERGES: "with faults ended, the newest plan becomes active everywhere"
}
"""Every property that a check judges."""

BREAKS = frozenset({"P1", "P2", "P3", "P4", CONVERGES})
"""What the enactor as it failed breaks, with nothing but unlucky timing. R16-R19."""


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one search."""

    question: Question
    found: Found
    stories: Mapping[str, str]

    @property
    def vacuous(self) -> list[str]:
        """What should have happened somewhere, and never did."""
        asked, on = self.question, asdict(self.question.safeguards)
        unasked = {
            "a late flip was refused": not on["recheck_generation_in_batch"],
            "a pause refused a batch": not (asked.pauses and on["pause_switch"]),
            "a reply was lost": not asked.lost_replies,
        }
        return [
            each
            for each in SOMETIMES
            if not unasked.get(each, "crash" in each and not asked.crashes)
            and each not in self.found.happened
        ]

    @property
    def mode(self) -> str:
        """The preset, if the safeguards are one."""
        presets = {BUGGY: "buggy", FIXED: "fixed"}
        return presets.get(self.question.safeguards, "mixed")

    @property
    def name(self) -> str:
        """Tells the run's files from those of others."""
        if self.mode != "mixed":
            return self.mode
        bits = asdict(self.question.safeguards).values()
        return "mixed_" + "".join(str(int(on)) for on in bits)

    @property
    def expected(self) -> frozenset[str]:
        """What should break; for a preset it is known, else nothing should."""
        if self.question.safeguards != BUGGY:
            return frozenset()
        pauses = {"P15"} if self.question.pauses else set()
        return BREAKS & {*self.judged} | pauses

    @property
    def judged(self) -> list[str]:
        """The properties that the search has an answer about."""
        if self.found.complete:
            return [
                each for each in NAMES if each != CONVERGES or self.found.converging
            ]
        return [each for each in NAMES if each in self.found.paths]

    @property
    def verdict(self) -> Verdict:
        """Whether just what was to be expected broke."""
        broken = frozenset(self.found.paths)
        if not self.found.complete:
            return "incomplete"
        well = broken == self.expected and not self.vacuous
        return "as expected" if well else "not as expected"

    def to_json(self) -> dict[str, Any]:
        """The shape that others script against."""
        asked, found = self.question, self.found
        return {
            "mode": self.mode,
            "safeguards": asdict(asked.safeguards),
            "enactors": asked.enactors,
            "zones": asked.zones,
            "plans": asked.plans,
            "crashes": asked.crashes,
            "lost_replies": asked.lost_replies,
            "pauses": asked.pauses,
            "states": found.states,
            "transitions": found.transitions,
            "depth": found.depth,
            "wall_s": round(found.wall_s, 3),
            "complete": found.complete,
            "stopped": found.stopped,
            "happened": sorted(found.happened),
            "vacuous": self.vacuous if found.complete else [],
            "properties": {
                each: {
                    "held": each not in found.paths if each in self.judged else None,
                    "trace": self.stories.get(each, "").splitlines(),
                }
                for each in NAMES
            },
            "verdict": self.verdict,
        }


def result_of(search: Search) -> Result:
    """Tell what a search that has ended found."""
    stories = {each: tell(search, path) for each, path in search.found.paths.items()}
    return Result(search.question, search.found, stories)
