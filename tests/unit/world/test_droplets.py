"""Terms fence: whoever comes with an old one is refused, and changes nothing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from staleplan.world.droplets import Droplet, Effect, lay_out_droplets
from staleplan.world.model import StaleTerm, Term

ONE, TWO, THREE = map(Term, (1, 2, 3))
ACTS = {
    "launch": Droplet.launch,
    "terminate": Droplet.terminate,
    "reboot": Droplet.reboot,
}


def droplet(*running: str, term: Term = TWO, slots: int = 3) -> Droplet:
    return Droplet("droplet-a-0001", "a", slots, term, dict.fromkeys(running))


def test_droplets_are_laid_out_over_azs_in_the_order_of_their_names() -> None:
    droplets = lay_out_droplets("abc", 16, 8)
    assert list(droplets) == sorted(droplets)
    assert len(droplets) == 48
    first, last = droplets["droplet-a-0001"], droplets["droplet-c-0016"]
    assert (first.name, first.az, first.slots) == ("droplet-a-0001", "a", 8)
    assert (last.az, last.term, last.running) == ("c", 0, {})
    first.launch(ONE, "i-1")
    assert last.running == {}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_a_stale_term_is_refused_with_both_sides_and_changes_nothing(
    act: object,
) -> None:
    one = droplet("i-1")
    for instance in ("i-1", "i-2"):
        assert act(one, ONE, instance) == StaleTerm(ONE, TWO)  # type: ignore[operator]
    assert one.obey(ONE) == StaleTerm(ONE, TWO)
    assert (one.term, list(one.running)) == (TWO, ["i-1"])


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
def test_any_action_teaches_its_term_whatever_its_effect(act: object) -> None:
    one = droplet("i-1", slots=1)
    result = act(one, THREE, "i-2")  # type: ignore[operator]
    assert result in (Effect.FULL, Effect.NOTHING_TO_DO, Effect.NOT_RUNNING)
    assert one.term == THREE
    assert list(one.running) == ["i-1"]
    assert one.launch(TWO, "i-1") == StaleTerm(TWO, THREE)


def test_a_launch_is_made_once_however_often_it_is_sent() -> None:
    one = droplet(slots=1)
    assert one.launch(TWO, "i-1") is Effect.DONE
    assert one.launch(THREE, "i-1") is Effect.NOTHING_TO_DO
    assert list(one.running) == ["i-1"]


def test_a_full_droplet_starts_nothing_until_a_slot_is_free() -> None:
    one = droplet("i-1", "i-2", slots=2)
    assert one.launch(TWO, "i-3") is Effect.FULL
    assert one.terminate(TWO, "i-1") is Effect.DONE
    assert one.launch(TWO, "i-3") is Effect.DONE
    assert list(one.running) == ["i-2", "i-3"]


def test_a_termination_may_be_sent_twice_and_a_reboot_needs_an_instance() -> None:
    one = droplet("i-1")
    assert one.reboot(TWO, "i-1") is Effect.DONE
    assert list(one.running) == ["i-1"]
    assert one.terminate(TWO, "i-1") is Effect.DONE
    assert one.terminate(TWO, "i-1") is Effect.NOTHING_TO_DO
    assert one.reboot(TWO, "i-1") is Effect.NOT_RUNNING


@given(
    st.lists(
        st.tuples(
            st.sampled_from(sorted(ACTS)),
            st.integers(1, 5).map(Term),
            st.sampled_from(["i-1", "i-2", "i-3", "i-4"]),
        ),
        max_size=40,
    )
)
def test_terms_never_go_back_and_slots_never_overflow(
    calls: list[tuple[str, Term, str]],
) -> None:
    one = droplet(term=Term(0), slots=2)
    highest = 0
    for name, term, instance in calls:
        before = dict(one.running)
        result = ACTS[name](one, term, instance)
        assert isinstance(result, StaleTerm) == (term < highest)
        highest = max(highest, term)
        assert one.term == highest
        assert len(one.running) <= 2
        if result is not Effect.DONE:
            assert one.running == before
