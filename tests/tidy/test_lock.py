"""The lock file pins, with hashes, everything that pyproject.toml asks for."""

import re
import tomllib
from collections.abc import Iterable, Iterator

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy.sources import ROOT

LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def unpinned(requirements: Iterable[str], lock: str) -> Iterator[str]:
    """Tell which requirements the lock does not answer."""
    pins: dict[str, list[str]] = {}
    for name, version, hashes in re.findall(
        r"^([\w.-]+)==([^\s;]+)[^\\\n]*((?:\\\n +--hash=\S+ ?)*)", lock, re.MULTILINE
    ):
        if hashes:
            pins.setdefault(canonicalize_name(name), []).append(version)
    for text in requirements:
        asked = Requirement(text)
        found = pins.get(canonicalize_name(asked.name), [])
        if not any(asked.specifier.contains(v, prereleases=True) for v in found):
            yield f"{text}: make lock"


def test_the_lock_pins_what_the_project_asks_for() -> None:
    extras = PROJECT["optional-dependencies"]
    assert extras["dev"]
    asked = [*PROJECT["dependencies"], *(one for e in extras.values() for one in e)]
    outside = [one for one in asked if not one.startswith("staleplan[")]
    assert list(unpinned(outside, LOCK)) == []


def test_what_is_not_pinned_is_found() -> None:
    pinned = "one==1.5 \\\n    --hash=sha256:00\n    # via\ntwo==2.0\n"
    assert list(unpinned(["one>=1"], pinned)) == []
    for asked in ("one>=2", "two", "three"):
        assert list(unpinned([asked], pinned)) == [f"{asked}: make lock"]


def test_the_lock_names_no_index() -> None:
    assert re.findall(r"\w+://\S+|^-", LOCK, re.MULTILINE) == []
