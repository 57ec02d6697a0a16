"""Stories worth keeping: each is the shortest that the search finds.

    python -m tests.model.transcripts

writes them anew; tests/model/test_transcripts.py compares them with what is kept.
"""

from dataclasses import dataclass, replace
from pathlib import Path

from enactor.safeguards import BUGGY, FIXED
from staleplan.check.question import Question
from staleplan.check.search import Search
from staleplan.check.story import tell

FOLDER = Path(__file__).with_suffix("")


@dataclass(frozen=True, slots=True)
class Scenario:
    """A question, and what its story leads to: a broken property, or an event."""

    title: str
    leads_to: str
    question: Question


_BUGGY = Question(BUGGY)
_FIXED = Question(FIXED)


def _without(*off: str) -> Question:
    return Question(replace(FIXED, **dict.fromkeys(off, False)))


def _only(*on: str) -> Question:
    return Question(replace(BUGGY, **dict.fromkeys(on, True)))


SCENARIOS = {
    "the_race": Scenario(
        "The race of 23:48: a late flip, and clean-up deletes what it points at "
        "(R14-R18)",
        "P1",
        _BUGGY,
    ),
    "the_wedge": Scenario(
        "The wedge: the next plan needs a rollback record that is gone (R19)",
        "P4",
        _BUGGY,
    ),
    "rollback_lost": Scenario(
        "Three enactors, no late flip anywhere: the way back is deleted for its age",
        "P3",
        replace(_only("recheck_generation_in_batch"), enactors=3),
    ),
    "late_flip": Scenario(
        "A one-time check is too early: an old plan overwrites a newer one (R11, R16)",
        "P2",
        _BUGGY,
    ),
    "never_again": Scenario(
        "After this, no later plan becomes active without an operator (R19)",
        "P12",
        _BUGGY,
    ),
    "roomier_threshold": Scenario(
        "Clean-up keeps one generation more: the same race, one plan later",
        "P1",
        replace(_BUGGY, plans=5, keep_generations=2),
    ),
    "two_zones": Scenario(
        "Two zones: one may be emptied while the other is well",
        "P1",
        replace(_BUGGY, zones=2, plans=3),
    ),
    "late_and_refused": Scenario(
        "Hardened: the same late flip is refused by the store, and nothing is lost",
        "a late flip was refused",
        _FIXED,
    ),
    "lapsed_and_refused": Scenario(
        "Hardened: a lock lapses, and the flip of its old holder is refused",
        "a flip came after its lock had lapsed",
        _FIXED,
    ),
    "paused_and_refused": Scenario(
        "Hardened: operators pause, and what was on its way is refused (R23)",
        "a pause refused a batch",
        replace(_FIXED, pauses=1),
    ),
    "crash_with_lock": Scenario(
        "Hardened: an enactor crashes with a lock in its name",
        "a crash before the release",
        replace(_FIXED, crashes=1),
    ),
    "without_recheck": Scenario(
        "All safeguards but the check inside the batch",
        "P2",
        _without("recheck_generation_in_batch"),
    ),
    "without_keep_referenced": Scenario(
        "All safeguards but the one that spares what is pointed at",
        "P3",
        _without("keep_referenced_plans"),
    ),
    "without_pause_switch": Scenario(
        "All safeguards but the pause switch: operators cannot freeze anything",
        "P15",
        replace(_without("pause_switch"), pauses=1),
    ),
    "only_refresh": Scenario(
        "Only fresh plans on retry: the late flip needs no retry",
        "P1",
        _only("refresh_plan_on_retry"),
    ),
    "only_tolerate": Scenario(
        "Only tolerance: the answer is empty, until the next plan",
        "P1",
        _only("tolerate_missing_active"),
    ),
}


def transcript(scenario: Scenario) -> str:
    """The scenario's story, as it is kept in a file."""
    search = Search(scenario.question)
    found = search.run(converging=scenario.leads_to == "P12")
    asked = scenario.question
    sizes = f"{asked.enactors} enactors, {asked.zones} zones, {asked.plans} plans"
    story = tell(search, (found.paths | found.happened)[scenario.leads_to])
    return f"{scenario.title}\n{sizes}\n\n{story}\n"


if __name__ == "__main__":
    for _name, _scenario in SCENARIOS.items():
        (FOLDER / f"{_name}.txt").write_text(transcript(_scenario))
