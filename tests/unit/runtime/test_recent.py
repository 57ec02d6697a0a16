from dataclasses import dataclass

from staleplan.runtime.recent import Recent


@dataclass(frozen=True)
class Entry:
    sequence: int


def test_only_the_newest_are_kept_and_pages_are_whole() -> None:
    log: Recent[Entry] = Recent(10)
    assert log.after(0, 99) == []
    for number in range(1, 26):
        assert log.add(Entry(log.next_sequence)) == Entry(number)

    def read(after: int, limit: int) -> list[int]:
        return [entry.sequence for entry in log.after(after, limit)]

    assert read(0, 99) == list(range(16, 26))
    assert read(0, 3) == [16, 17, 18]
    assert read(18, 3) == [19, 20, 21]
    assert read(25, 3) == []
    assert read(99, 3) == []
