"""P7: a lease has one holder, and a stale term is refused. Source: R25."""

from staleplan.spec import ONE_HOLDER, Action
from staleplan.spec.property import Violation
from tests.spec.fleets import run


def shown(term: int, holder: str = "dwfm-a", *, obeyed: bool = True) -> Action:
    return Action(7.0, "droplet-a-0001", term, holder, obeyed)


def violation(*actions: Action) -> Violation | None:
    return ONE_HOLDER.violation(run(actions=actions))


def test_terms_rise_and_stale_ones_are_refused() -> None:
    other = Action(7.0, "droplet-a-0002", 1, "dwfm-b", obeyed=True)
    assert violation(shown(1), shown(2), shown(2), other, shown(3, "dwfm-b")) is None
    assert violation(shown(3, "dwfm-b"), shown(2, obeyed=False)) is None


def test_an_obeyed_term_that_is_stale_is_found() -> None:
    found = violation(shown(3, "dwfm-b"), shown(2))
    told = "droplet-a-0001 obeyed dwfm-a's term 2 after term 3"
    assert found == Violation(7.0, told)


def test_two_holders_of_one_term_are_found() -> None:
    found = violation(shown(2, "dwfm-b"), shown(2))
    told = "droplet-a-0001 obeyed dwfm-a and dwfm-b, both with term 2"
    assert found == Violation(7.0, told)


def test_a_refused_term_that_is_not_stale_is_found() -> None:
    found = violation(shown(2), shown(2, obeyed=False))
    told = "droplet-a-0001 refused dwfm-a's term 2, which was not stale"
    assert found == Violation(7.0, told)
