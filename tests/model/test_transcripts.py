"""The kept stories are those that the search finds."""

import pytest

from tests.model.transcripts import FOLDER, SCENARIOS, transcript


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_transcript_is_what_the_search_finds(name: str) -> None:
    kept = (FOLDER / f"{name}.txt").read_text()
    assert transcript(SCENARIOS[name]) == kept, "python -m tests.model.transcripts"


def test_no_other_transcript_is_kept() -> None:
    assert {path.stem for path in FOLDER.iterdir()} == set(SCENARIOS)
