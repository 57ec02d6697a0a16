import io
import json
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from staleplan.runtime.fault_spec import Fault, Pause, Selector
from staleplan.runtime.footing import footing
from staleplan.runtime.loopback import require_loopback
from staleplan.runtime.settings import ServiceSettings
from staleplan.runtime.telemetry import Exporters


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def test_defaults_are_safe() -> None:
    settings = ServiceSettings()
    assert settings.host == "127.0.0.1"
    assert settings.mode == "fixed"
    assert settings.drill is False
    assert settings.otlp_endpoint is None


def test_the_environment_sets_nested_values(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALEPLAN_STACK", "buggy_one")
    monkeypatch.setenv("STALEPLAN_MODE", "buggy")
    monkeypatch.setenv("STALEPLAN_DRILL", "true")
    monkeypatch.setenv("STALEPLAN_CLOCK__SPEED", "600")
    monkeypatch.setenv("STALEPLAN_CLOCK__WALL_ORIGIN_S", "1000")
    monkeypatch.setenv("STALEPLAN_CLOCK__INCIDENT_ORIGIN_S", "5000")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    settings = ServiceSettings()
    assert (settings.stack, settings.mode, settings.drill) == (
        "buggy_one",
        "buggy",
        True,
    )
    assert settings.clock.speed == 600
    assert settings.clock.clock().now_s() > 5_000 + 600 * 1_000_000
    assert settings.otlp_endpoint == "http://127.0.0.1:4317"


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("HOST", "0.0.0.0", "refused address '0.0.0.0'"),
        ("HOST", "::", "refused address '::'"),
        ("HOST", "example.org", "loopback"),
        ("MODE", "broken", "'buggy' or 'fixed'"),
        ("STACK", "No Good", "pattern"),
        ("STACK", "", "pattern"),
        ("PORT", "70000", "65535"),
        ("CLOCK__SPEED", "0", "greater than 0"),
        ("CLOCK__SPEED", "inf", "finite"),
        ("DRAIN_GRACE_S", "-1", "greater than or equal to 0"),
    ],
)
def test_a_bad_value_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"STALEPLAN_{name}", value)
    with pytest.raises(ValidationError) as caught:
        ServiceSettings()
    assert problem in str(caught.value)
    assert name.rpartition("__")[2].lower() in str(caught.value)


def test_the_trace_may_not_be_written_into_the_log() -> None:
    file = Path("both.jsonl")
    with pytest.raises(ValidationError, match="trace_file and log_file must differ"):
        ServiceSettings(trace_file=file, log_file=file)


def test_only_a_drill_is_held_from_its_start() -> None:
    point = "enactor.before_pass"
    with pytest.raises(ValidationError, match="held_at holds a service that drills"):
        ServiceSettings(held_at=(point,))
    held = ServiceSettings(drill=True, held_at=(point,))
    (fault,) = footing("enactor-a", held, Exporters()).faults.listed()
    assert fault.fault == Fault(Selector(point), Pause())
    assert fault.may_fire


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(ValidationError, match="speeed"):
        ServiceSettings(speeed=3)  # type: ignore[call-arg]


def test_what_is_in_force_is_printed_without_secrets() -> None:
    class WithSecret(ServiceSettings):
        database_url: SecretStr = SecretStr("postgresql://me:hunter2@127.0.0.1/x")

    stream = io.StringIO()
    WithSecret(stack="one").print_effective(stream)
    assert "hunter2" not in stream.getvalue()
    printed = json.loads(stream.getvalue())["settings"]
    assert printed["stack"] == "one"
    assert printed["clock"]["speed"] == 1.0


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.1.9", "::1", "[::1]", "localhost"]
)
def test_loopback_is_loopback(host: str) -> None:
    assert require_loopback(host) == host
