"""The drill `lease-storm` under virtual time: what collapses, what holds, and why.

Each claim is a pair: buggy discovers the collapse, fixed holds everything.
"""

import json
from functools import cache

import pytest
from typer.testing import CliRunner

from dwfm.model import Limits
from staleplan.cli.app import app
from staleplan.drills.lease_storm import RECORD_OUTAGE_S, Script
from staleplan.drills.lease_storm_runner import Order, ablations, run_sim
from staleplan.drills.lease_storm_theory import collapses, line_s, storm_s
from staleplan.drills.result import Result, Verdict
from staleplan.runtime.settings import Mode
from staleplan.sim.fleet import Fleet, FleetRegion
from staleplan.sim.fleet_az import SPREAD

MOST_RELEASE = 1.25
"""What re-leasing a whole fleet may take, in times of fleet/capacity."""


@cache
def run(
    mode: Mode,
    seed: int = 1,
    *switched: tuple[str, bool],
    outage_s: float = RECORD_OUTAGE_S,
    droplets: int = 100,
    load: float = 0.5,
) -> Result:
    fleet = Fleet(droplets, load=load)
    return run_sim(Order(mode, Script(seed, outage_s), fleet, dict(switched)))


def broken(result: Result) -> list[str]:
    return [each for each, judged in result.properties.items() if not judged.held]


@pytest.mark.parametrize("droplets", [16, 100])
@pytest.mark.parametrize("seed", range(1, 6))
def test_buggy_collapses_until_operators_act(droplets: int, seed: int) -> None:
    """R26 to R30, in their order, and nothing of it scripted but the outage."""
    result = run("buggy", seed, droplets=droplets)
    assert result.verdict is Verdict.AS_EXPECTED, result.timeline
    assert set(broken(result)) >= {"P8", "P9", "P12"}
    assert not {"P7", "P13"} & set(broken(result))
    measures = result.measures
    assert measures["leases_lost"] == droplets
    assert measures["goodput_after"] < 0.05
    assert measures["collapsed_intervals"] >= 10
    assert measures["recovered_after_s"] is None
    assert measures["repaired_after_s"] <= 600.0
    (impact,) = result.impact
    assert impact.from_s < RECORD_OUTAGE_S < (impact.to_s or 0.0)
    assert measures["launches"]["insufficient capacity"] > 0


@pytest.mark.parametrize("droplets", [16, 100])
@pytest.mark.parametrize("seed", range(1, 21))
def test_fixed_loses_no_lease(droplets: int, seed: int) -> None:
    result = run("fixed", seed, droplets=droplets)
    assert result.verdict is Verdict.AS_EXPECTED, result.properties
    assert broken(result) == []
    assert result.measures["leases_expired"] == 0
    assert result.measures["recovered_after_s"] <= 10.0
    assert result.measures["late_share_after"] <= 0.01
    assert result.measures["operators_after_s"] is None
    assert result.impact == []


@pytest.mark.parametrize("outage_s", [10.0, 60.0, 600.0, 10_800.0])
def test_fixed_holds_whatever_the_outage_lasts(outage_s: float) -> None:
    result = run("fixed", outage_s=outage_s)
    assert broken(result) == []
    assert result.measures["leases_expired"] == 0


@pytest.mark.parametrize("droplets", [16, 100, 1_000])
@pytest.mark.parametrize("seed", range(1, 6))
def test_a_whole_fleet_is_released_at_the_speed_of_capacity(
    droplets: int, seed: int
) -> None:
    """`hold_leases_when_store_is_down` off: all is lost, and nobody restarts."""
    off = ("hold_leases_when_store_is_down", False)
    result = run("fixed", seed, off, droplets=droplets)
    assert result.measures["leases_lost"] == droplets
    at_best_s = droplets / result.measures["capacity_per_s"]
    assert result.measures["recovered_after_s"] <= MOST_RELEASE * at_best_s + 10.0
    assert result.measures["operators_after_s"] is None
    assert not {"P7", "P8", "P9", "P13", "P16"} & set(broken(result))


@pytest.mark.parametrize("outage_s", [10.0, RECORD_OUTAGE_S])
def test_every_set_of_safeguards_does_as_expected(outage_s: float) -> None:
    for title, mode, switched in ablations():
        result = run(mode, 1, *switched.items(), outage_s=outage_s)
        assert result.verdict is Verdict.AS_EXPECTED, (title, result.properties)


def test_a_short_outage_is_no_storm() -> None:
    result = run("buggy", outage_s=10.0)
    assert not {"P7", "P8", "P9", "P12", "P13"} & set(broken(result))
    assert result.measures["collapsed_intervals"] == 0


def test_renewals_wait_for_no_launch() -> None:
    """Twenty times what can be done is asked for; the next free worker is theirs."""
    flooded = run("fixed", droplets=100, load=20.0, outage_s=0.0)
    longest_s = Limits(1).service_s * (1 + SPREAD)
    assert flooded.measures["renewal_wait_p99_before_s"] <= longest_s
    off = ("prioritise_renewals", False)
    among_launches = run("fixed", 1, off, droplets=100, load=20.0, outage_s=0.0)
    assert among_launches.measures["renewal_wait_p99_before_s"] > longest_s


@pytest.mark.parametrize(("load", "least"), [(1.4, 0.95), (10.0, 0.9), (20.0, 0.9)])
@pytest.mark.parametrize("droplets", [100, 400])
def test_goodput_under_load(droplets: int, load: float, least: float) -> None:
    result = run("fixed", 1, outage_s=0.0, droplets=droplets, load=load)
    assert result.measures["goodput_before"] >= least
    assert broken(result) == []


def test_buggy_is_void_if_it_is_ill_before_the_fault() -> None:
    result = run("buggy", load=1.4)
    assert result.verdict is Verdict.VOID
    assert result.timeline[0].event.startswith("void: ")
    assert result.properties == {}


def test_the_theory_says_what_the_outage_makes_due_at_once() -> None:
    order = Order("buggy", Script(1), Fleet(1_200))
    size = FleetRegion(order.fleet, order.safeguards, 1).size
    of_all_s = size.droplets / size.capacity_per_s
    assert line_s(30.0, 7.5) == 52.5
    assert storm_s(order.safeguards, Script(1), size) == pytest.approx(of_all_s)
    third = storm_s(order.safeguards, Script(1, outage_s=100.0), size)
    assert third == pytest.approx(of_all_s / 3)
    assert collapses(order.safeguards, Script(1), size)
    assert collapses(order.safeguards, Script(1, outage_s=10.0), size) is False
    assert collapses(order.safeguards, Script(1, outage_s=131.0), size) is None


def invoke(*options: str) -> tuple[int, str]:
    command = ["drill", "run", "lease-storm", *options]
    told = CliRunner().invoke(app, command, env={"COLUMNS": "200"})
    return told.exit_code, told.output


def test_the_command_prints_the_contracts_shape() -> None:
    code, told = invoke("--fleet", "48", "--json")
    whole = json.loads(told)
    assert code == 0
    assert whole["verdict"] == "as expected"
    buggy, fixed = whole["runs"]
    assert (buggy["mode"], fixed["mode"]) == ("buggy", "fixed")
    assert set(buggy["properties"]) == set(buggy["expected"])
    assert {"P7", "P8", "P9", "P12", "P13", "P16"} == set(fixed["properties"])
    assert len(fixed["measures"]["trace_hash"]) == 32


def test_the_command_tells_the_story() -> None:
    code, told = invoke("--fleet", "48")
    assert code == 0
    assert "P8 broken" in told
    assert "operators throttle new work" in told
    assert "verdict: as expected" in told


def test_the_command_tables_many_runs() -> None:
    code, told = invoke("--fleet", "48", "--mode", "fixed", "--count", "3")
    assert code == 0
    assert "held" in told
    code, told = invoke("--fleet", "48", "--ablate", "--outage", "10")
    assert code == 0
    assert "only spread_renewals" in told


def test_a_void_run_exits_with_two() -> None:
    code, told = invoke("--fleet", "48", "--mode", "buggy", "--load", "5")
    assert code == 2
    assert "void" in told


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--on", "live", "--fleet", "16"], "a live fleet has 48 to 144 droplets"),
        (["--safeguard", "spread_renewal=on"], "did you mean 'spread_renewals'?"),
        (["--sweep", "fleet,timeouts"], "did you mean 'timeout'?"),
        (["--sweep", "load", "--docs", "/nowhere"], "no lease-storm.md in /nowhere"),
    ],
)
def test_what_cannot_be_run_is_one_line(options: list[str], wrong: str) -> None:
    told = CliRunner().invoke(app, ["drill", "run", "lease-storm", *options])
    assert told.exit_code != 0
    assert wrong in f"{told.output}{told.exception}"
