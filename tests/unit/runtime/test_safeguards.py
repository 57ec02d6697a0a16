from dataclasses import dataclass

import pytest

from staleplan.runtime.errors import InvalidArgumentError
from staleplan.runtime.safeguards import SafeguardSwitchboard
from staleplan.runtime.settings import Mode


@dataclass(frozen=True)
class Safeguards:
    """What may be switched."""

    keep_referenced_plans: bool
    """Clean-up deletes only what nothing points
    at. It answers R17, e.g. for good.
    """

    recheck_generation_in_batch: bool
    """A late enactor is refused by the store. Source: R16."""


PRESETS: dict[Mode, Safeguards] = {
    "buggy": Safeguards(False, False),
    "fixed": Safeguards(True, True),
}


def test_it_starts_with_the_preset_of_its_mode() -> None:
    switchboard = SafeguardSwitchboard("buggy", PRESETS)
    assert switchboard.mode == "buggy"
    assert switchboard.current == PRESETS["buggy"]


def test_a_request_takes_effect_with_the_next_pass() -> None:
    switchboard = SafeguardSwitchboard("buggy", PRESETS)
    during = switchboard.current
    switchboard.set({"keep_referenced_plans": True})
    assert not during.keep_referenced_plans
    assert switchboard.requested == {
        "keep_referenced_plans": True,
        "recheck_generation_in_batch": False,
    }
    assert switchboard.effective["keep_referenced_plans"] is False
    assert switchboard.current == Safeguards(True, False)
    assert switchboard.effective == switchboard.requested


def test_an_unknown_field_changes_nothing_and_names_the_nearest() -> None:
    switchboard = SafeguardSwitchboard("fixed", PRESETS)
    with pytest.raises(InvalidArgumentError) as caught:
        switchboard.set({"keep_referenced_plans": False, "recheck_generation": True})
    assert caught.value.fields == {
        "safeguards": (
            "unknown name 'recheck_generation'; "
            "did you mean 'recheck_generation_in_batch'?"
        )
    }
    assert switchboard.current == PRESETS["fixed"]


def test_descriptions_are_the_first_sentence_on_one_line() -> None:
    assert SafeguardSwitchboard("fixed", PRESETS).descriptions == {
        "keep_referenced_plans": "Clean-up deletes only what nothing points at.",
        "recheck_generation_in_batch": "A late enactor is refused by the store.",
    }


def test_what_is_not_a_dataclass_of_documented_booleans_is_refused() -> None:
    @dataclass(frozen=True)
    class Counted:
        limit: int
        """How many."""

    @dataclass(frozen=True)
    class Silent:
        keep: bool

    counted: dict[Mode, Counted] = {"fixed": Counted(3)}
    silent: dict[Mode, Silent] = {"fixed": Silent(True)}
    plain: dict[Mode, object] = {"fixed": object()}
    with pytest.raises(TypeError, match=r"Counted\.limit is not a bool"):
        SafeguardSwitchboard("fixed", counted)
    with pytest.raises(TypeError, match=r"Silent\.keep has no docstring"):
        SafeguardSwitchboard("fixed", silent)
    with pytest.raises(TypeError, match="object is not a dataclass"):
        SafeguardSwitchboard("fixed", plain)
