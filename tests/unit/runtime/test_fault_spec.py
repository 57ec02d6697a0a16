"""What cannot be asked of the faults is refused by its field, and changes nothing."""

import grpc
import pytest

from staleplan.runtime.errors import InvalidArgumentError
from staleplan.runtime.fault_spec import (
    LABELS,
    POINTS,
    Delay,
    Drop,
    Error,
    Fault,
    Pause,
    Selector,
    Skew,
    Until,
)
from staleplan.runtime.faults import UnknownFaultError
from tests.unit.runtime.noted_faults import BATCH, CLEAN_UP, fault, make_faults


@pytest.mark.parametrize(
    ("bad", "path", "problem"),
    [
        (fault(Drop(), "enactor.before_bach"), "fault.point", "'enactor.before_batch'"),
        (fault(Drop(), ""), "fault.point", "unknown name ''"),
        (fault(Drop(), zon="fips"), "fault.labels", "did you mean 'zone'?"),
        (Fault(Selector(BATCH), Drop(), count=-1), "fault.count", "at least 0"),
        (Fault(Selector(BATCH), Drop(), for_s=float("inf")), "fault.for_s", "inf"),
        (Fault(Selector(BATCH), Drop(), probability=0), "fault.probability", "above 0"),
        (Fault(Selector(BATCH), Drop(), probability=1.1), "fault.probability", "1.1"),
        (
            Fault(Selector(BATCH), Drop(), probability=float("nan")),
            "fault.probability",
            "nan",
        ),
        (fault(Delay(-1)), "fault.delay.seconds", "at least 0"),
        (fault(Delay(float("nan"))), "fault.delay.seconds", "nan"),
        (fault(Skew(float("-inf"))), "fault.skew.seconds", "-inf"),
        (fault(Error(grpc.StatusCode.OK)), "fault.error.status", "not an error"),
        (
            fault(Pause(Until(Selector("enactor.befor_clean_up")))),
            "fault.pause.until.point",
            "'enactor.before_clean_up'",
        ),
        (
            fault(Pause(Until(Selector(CLEAN_UP, {"aze": "b"})))),
            "fault.pause.until.labels",
            "did you mean 'az'?",
        ),
        (
            fault(Pause(Until(Selector(CLEAN_UP), "127.0.0.1"))),
            "fault.pause.until.address",
            "host:port wanted",
        ),
        (
            fault(Pause(Until(Selector(CLEAN_UP), "127.0.0.1:70000"))),
            "fault.pause.until.address",
            "host:port wanted",
        ),
        (
            fault(Pause(Until(Selector(CLEAN_UP), "10.0.0.1:50051"))),
            "fault.pause.until.address",
            "loopback",
        ),
    ],
)
async def test_a_bad_fault_is_refused_by_its_field_and_not_armed(
    bad: Fault, path: str, problem: str
) -> None:
    faults, _, _ = make_faults()
    with pytest.raises(InvalidArgumentError) as caught:
        faults.inject(bad)
    assert list(caught.value.fields) == [path]
    assert problem in caught.value.fields[path]
    assert faults.listed() == []


async def test_a_watch_of_an_unknown_point_or_label_is_refused() -> None:
    faults, _, _ = make_faults()
    with pytest.raises(InvalidArgumentError, match="point: unknown name"):
        faults.watch(Selector("dns.read"))
    with pytest.raises(InvalidArgumentError, match=r"did you mean 'zone'\?"):
        faults.watch(Selector("", {"zones": "x"}))


async def test_an_unknown_id_is_refused_and_nothing_changes() -> None:
    faults, _, _ = make_faults()
    injected = faults.inject(fault(Drop()))
    with pytest.raises(UnknownFaultError, match="no fault with id 9 is listed"):
        faults.clear(9)
    with pytest.raises(UnknownFaultError, match="no fault with id 9 is listed"):
        faults.release(9)
    assert injected.in_force
    assert faults.listed() == [injected]


def test_points_and_labels_are_named_and_described() -> None:
    assert all(POINTS.values())
    assert all(LABELS.values())
    assert all(len(point.split(".")) == 2 for point in POINTS)
