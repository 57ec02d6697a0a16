import pytest
from pydantic import ValidationError

from staleplan.world.settings import CustomerSettings, WorldSettings


@pytest.mark.parametrize(("total", "regional"), [(3, 1), (7, 5), (24, 6), (1000, 6)])
def test_any_number_of_load_balancers_leaves_no_pool_empty(
    total: int, regional: int
) -> None:
    settings = WorldSettings(load_balancers=total)
    assert settings.regional_load_balancers == regional


def test_a_regional_pool_that_leaves_nothing_to_the_others_is_refused() -> None:
    with pytest.raises(ValidationError, match=r"must be at most 5.* got 6"):
        WorldSettings(load_balancers=7, regional_load_balancers=6)


@pytest.mark.parametrize("total", [2, 1001])
def test_a_fleet_outside_its_bounds_is_refused(total: int) -> None:
    with pytest.raises(ValidationError, match="load_balancers"):
        WorldSettings(load_balancers=total)


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoint": "not a name"},
        {"call_interval_s": 0},
        {"call_timeout_s": float("inf")},
        {"pace": 1},
    ],
)
def test_a_customer_that_could_not_call_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=next(iter(wrong))):
        CustomerSettings.model_validate(wrong)


def test_the_environment_sets_the_world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STALEPLAN_LOAD_BALANCERS", "9")
    monkeypatch.setenv("STALEPLAN_CUSTOMER__KEEP_CHANNEL", "true")
    settings = WorldSettings()
    assert settings.load_balancers == 9
    assert settings.customer.keep_channel
