"""How a weighted set answers over one rotation of its variants."""

import socket
from collections import Counter

import pytest

from dns_store.answer_set import (
    A_IN,
    AAAA_IN,
    MAX_ADDRESSES,
    MIN_VARIANTS,
    Address,
    CompiledSet,
    compile_set,
)


def rotation(compiled: CompiledSet, kind: bytes = A_IN) -> list[list[str]]:
    """Every variant once, as the addresses that a client sees."""
    section = compiled[kind]
    family, size = (socket.AF_INET, 4) if kind == A_IN else (socket.AF_INET6, 16)
    wires = [next(section.rotation) for _ in section.variants]
    assert [next(section.rotation) for _ in section.variants] == wires
    return [
        [
            socket.inet_ntop(family, wire[at : at + size])
            for at in range(12, len(wire), 12 + size)
        ]
        for wire in wires
    ]


@pytest.mark.parametrize(
    "weights",
    [[1, 1, 1], [3, 1], [100, 50, 25, 25], [255, 128, 64, 32, 16, 8], [7] * 9],
)
@pytest.mark.parametrize("kind", [A_IN, AAAA_IN])
def test_the_first_address_follows_the_weights(kind: bytes, weights: list[int]) -> None:
    addresses = [
        Address(weight, f"127.0.1.{i}", f"2001:db8::{i + 1}")
        for i, weight in enumerate(weights)
    ]
    answers = rotation(compile_set(addresses, 5), kind)
    firsts = Counter(answer[0] for answer in answers)
    for address in addresses:
        share = firsts[(address.ipv4 if kind == A_IN else address.ipv6) or ""]
        expected = len(answers) * address.weight / sum(weights)
        assert abs(share - expected) < 1
    for answer in answers:
        assert len(set(answer)) == len(answer) == min(len(weights), MAX_ADDRESSES)


def test_equal_weights_are_exactly_equal() -> None:
    addresses = [Address(255, f"127.0.1.{i}", None) for i in range(100)]
    for count in (1, 2, 3, 7, 50, 64, 65, 100):
        answers = rotation(compile_set(addresses[:count], 5))
        firsts = Counter(answer[0] for answer in answers)
        assert len(firsts) == count
        assert len(set(firsts.values())) == 1


def test_later_addresses_follow_the_weights_too() -> None:
    weights = [200, 200, 20, 20, 20, 20, 20]
    addresses = [Address(w, f"127.0.1.{i}", None) for i, w in enumerate(weights)]
    seconds = Counter(answer[1] for answer in rotation(compile_set(addresses, 5)))
    heavy = seconds["127.0.1.0"] + seconds["127.0.1.1"]
    assert heavy > MIN_VARIANTS / 2


def test_weight_zero_is_never_answered() -> None:
    addresses = [Address(0, "127.0.1.1", "2001:db8::1"), Address(9, "127.0.1.2", None)]
    compiled = compile_set(addresses, 5)
    answers = rotation(compiled)
    assert {address for answer in answers for address in answer} == {"127.0.1.2"}
    assert AAAA_IN not in compiled


def test_an_address_given_twice_has_the_sum_of_its_weights() -> None:
    addresses = [Address(1, "127.0.1.1", None)] * 3 + [Address(1, "127.0.1.2", None)]
    answers = rotation(compile_set(addresses, 5))
    assert Counter(answer[0] for answer in answers) == {
        "127.0.1.1": 48,
        "127.0.1.2": 16,
    }


def test_the_order_of_a_set_does_not_matter() -> None:
    addresses = [Address(i, f"127.0.1.{i}", None) for i in range(1, 9)]
    one, other = compile_set(addresses, 5), compile_set(addresses[::-1], 5)
    assert one[A_IN].variants == other[A_IN].variants


@pytest.mark.parametrize("weight", [-1, 256])
def test_a_weight_out_of_range_is_refused(weight: int) -> None:
    with pytest.raises(ValueError, match=rf"^weight {weight} is not in 0\.\.255$"):
        Address(weight, "127.0.1.1", None)


@pytest.mark.parametrize(
    "address", [Address(1, "2001:db8::1", None), Address(1, None, "127.0.1.1")]
)
def test_an_address_of_the_wrong_family_is_refused(address: Address) -> None:
    with pytest.raises(ValueError, match=r"2001:db8::1|127\.0\.1\.1"):
        compile_set([address], 5)
