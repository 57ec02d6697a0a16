"""Asks Spin about the enactors' race: the model beside this file, searched whole."""

import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from enactor.safeguards import Safeguards

MODEL = Path(__file__).with_name("enactors.pml")
PROPERTIES = ("P1", "P2", "P3", "P4")
"""What `staleplan.spec` demands of the DNS half, as far as the model tells it."""

MAX_DEPTH = 100_000
"""Steps of one path. With three enactors, two zones and four plans 308 are reached."""

PATIENCE_S = 600.0
"""Wall seconds until a search is given up: the largest one measured takes 130."""


@dataclass(frozen=True)
class Size:
    """How large a world is searched; `keep` is in generations."""

    enactors: int
    zones: int
    plans: int
    keep: int = 1
    crashes: int = 0


@dataclass(frozen=True)
class SpinResult:
    """What Spin found.

    `depth` is in steps: of the trace where something is `violated`, otherwise of the
    longest path that was walked. `wall_s` is the search alone, without compiling.
    """

    states: int
    transitions: int
    wall_s: float
    violated: bool
    depth: int


class SpinFailed(Exception):
    """A program of Spin's failed, or its search was not finished."""


def available() -> bool:
    """Whether the programs are there: Spin, and the compiler of what it writes."""
    return all(map(shutil.which, ("spin", "gcc")))


def run(
    size: Size,
    safeguards: Safeguards,
    *,
    judged: Iterable[str] = PROPERTIES,
    shortest: bool = False,
    reduced: bool = True,
    memory_mib: int = 8192,
    compiled: str = "-O2",
) -> SpinResult:
    """Search every interleaving, or as far as the first violation of what is judged.

    With nothing judged the states are only counted. `shortest` searches breadth first;
    `reduced` is Spin's partial-order reduction. `compiled` is for small searches, which
    take less time than to optimise them.

    Raises: SpinFailed, if the model cannot tell the size, or a search met its bounds.
    """
    switches = [f"-DMEMLIM={memory_mib}"]
    switches += ["-DBFS"] if shortest else []
    switches += [] if reduced else ["-DNOREDUCE"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _tell(folder, "spin", "-a", *_macros(size, safeguards, judged), str(MODEL))
        _tell(folder, "gcc", compiled, "-DSAFETY", *switches, "-o", "pan", "pan.c")
        began_s = time.perf_counter()
        said = _tell(folder, "./pan", "-E", f"-m{MAX_DEPTH}")
        return _result(said, time.perf_counter() - began_s)


def _macros(size: Size, safeguards: Safeguards, judged: Iterable[str]) -> list[str]:
    values: dict[str, object] = {
        "E": size.enactors,
        "Z": size.zones,
        "P": size.plans,
        "KEEP": size.keep,
        "CRASHES": size.crashes,
        "RECHECK": int(safeguards.recheck_generation_in_batch),
        "REFRESH": int(safeguards.refresh_plan_on_retry),
        "KEEP_REFERENCED": int(safeguards.keep_referenced_plans),
        "TOLERATE": int(safeguards.tolerate_missing_active),
        "JUDGED": "+".join(judged) or 0,
    }
    return [f"-D{name}={value}" for name, value in values.items()]


def _tell(folder: Path, *words: str) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    if done.returncode:
        raise SpinFailed(f"{words[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def _result(said: str, wall_s: float) -> SpinResult:
    violation = re.search(r"assertion violated .*\(at depth (\d+)\)", said)
    if not violation and "Search not completed" in said:
        raise SpinFailed(f"the search was not finished: {said}")
    return SpinResult(
        _number(r"(\S+) states, stored", said),
        # Spin counts the way to the initial state as a transition.
        _number(r"(\S+) transitions", said) - 1,
        wall_s,
        violation is not None,
        # The step that violates comes after the depth at which it is taken.
        int(violation[1]) + 1 if violation else _number(r"reached (\d+)", said),
    )


def _number(pattern: str, said: str) -> int:
    found = re.search(pattern, said)
    if not found:
        raise SpinFailed(f"no {pattern!r} in: {said}")
    return int(float(found[1]))  # from 100 million on, Spin writes 1.2e+08
