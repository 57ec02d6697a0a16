import json

import pytest
from pydantic import ValidationError

from staleplan.world.launches.settings import CustomersSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"dwfm": {}},
        {"dwfm": {"d": "127.0.0.1:1"}},
        {"arrivals_per_s": -1},
        {"arrivals_per_s": float("nan")},
        {"arrivals_per_s": float("inf")},
        {"lifetime_s": 0},
        {"launch_timeout_s": -1},
        {"launch_timeout_s": float("inf")},
        {"customers": 3},
    ],
)
def test_customers_that_could_not_launch_are_refused(wrong: dict[str, object]) -> None:
    told = {"dwfm": {"a": "127.0.0.1:1"}, **wrong}
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CustomersSettings.model_validate(told)


def test_customers_without_any_dwfm_are_refused() -> None:
    with pytest.raises(ValidationError, match="dwfm"):
        CustomersSettings()


def test_the_environment_sets_the_customers(monkeypatch: pytest.MonkeyPatch) -> None:
    dwfm = {"a": "127.0.0.1:1", "c": "127.0.0.1:3"}
    monkeypatch.setenv("STALEPLAN_DWFM", json.dumps(dwfm))
    monkeypatch.setenv("STALEPLAN_ARRIVALS_PER_S", "0.5")
    settings = CustomersSettings()
    assert (settings.dwfm, settings.arrivals_per_s) == (dwfm, 0.5)
