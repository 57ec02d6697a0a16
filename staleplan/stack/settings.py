"""What a stack is made of, and what each of its services is told."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from staleplan.runtime.settings import ClockSettings, Mode

AZS = ("a", "b", "c")
"""Availability zones, each with its own enactor and DWFM host. Source: R4, R25."""

DNS_SERVICES = ("dns-store", "world", "planner", *(f"enactor-{az}" for az in AZS))
"""What a stack cannot do without, in the order of starting."""

FLEET = (*(f"dwfm-{az}" for az in AZS), "customers")
"""What launches instances, in the order of starting; a drill of DNS has none of it."""

SERVICES = DNS_SERVICES + FLEET
"""Services of a stack, in the order of starting: each needs only earlier ones."""

RESTART_AFTER_S = 0.5
"""Wall seconds until a service that ended is started again, as supervisors do."""


class StackSettings(BaseModel):
    """A stack before it runs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(default="default", pattern=r"^[a-z][a-z0-9_]{0,30}$")
    mode: Mode = "fixed"
    services: tuple[str, ...] = DNS_SERVICES
    """What it runs, in the order of starting."""
    state_folder: Path = Path(".staleplan")
    database_url: str | None = None
    account_endpoints: int = Field(default=2_000, ge=0, le=1_000_000)
    load_balancers: int = Field(default=24, ge=3, le=1000)
    seed: int = 0
    drill: bool = False
    clock: ClockSettings = Field(default_factory=ClockSettings)
    dns_port: int = Field(default=0, ge=0, le=65_535)
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    planner: dict[str, Any] = Field(default_factory=dict)
    """Further settings of the planner, by name."""
    world: dict[str, Any] = Field(default_factory=dict)
    """Further settings of the world, by name."""
    enactor: dict[str, Any] = Field(default_factory=dict)
    """Further settings of every enactor, by name."""
    dwfm: dict[str, Any] = Field(default_factory=dict)
    """Further settings of every DWFM host, by name."""
    customers: dict[str, Any] = Field(default_factory=dict)
    """Further settings of the customers that launch, by name."""

    @model_validator(mode="after")
    def services_are_known(self) -> Self:
        """Refuse services that do not exist, or that need one that starts later."""
        if self.services != tuple(s for s in SERVICES if s in self.services):
            raise ValueError(
                f"services must be some of {', '.join(SERVICES)}, in order"
            )
        missing = [each for each in DNS_SERVICES if each not in self.services]
        if missing:
            raise ValueError(f"a stack needs {', '.join(missing)}")
        return self

    @property
    def folder(self) -> Path:
        """Where this stack keeps its logs, traces and addresses."""
        return self.state_folder / "stacks" / self.name

    def of(self, service: str, addresses: Mapping[str, str]) -> dict[str, Any]:
        """What a service is told, given where the earlier ones answer."""
        common: dict[str, Any] = {
            "stack": self.name,
            "mode": self.mode,
            "drill": self.drill,
            "state_folder": self.state_folder,
            "clock": self.clock,
            "seed": self.seed,
            "log_level": self.log_level,
            "log_file": self.folder / f"{service}.log",
            "trace_file": self.folder / f"{service}.trace.jsonl",
        }
        match service.partition("-"):
            case ("dns", _, "store"):
                return common | {
                    "database_url": self.database_url,
                    "dns_port": self.dns_port,
                }
            case ("world", _, _):
                return (
                    common
                    | self.world
                    | {
                        "database_url": self.database_url,
                        "load_balancers": self.load_balancers,
                        "dns_target": addresses["dns"],
                    }
                )
            case ("planner", _, _):
                return (
                    common
                    | self.planner
                    | {
                        "account_endpoints": self.account_endpoints,
                        "dns_store": addresses["dns-store"],
                        "world": addresses["world"],
                    }
                )
            case ("enactor", _, az):
                return (
                    common
                    | self.enactor
                    | {
                        "az": az,
                        "dns_store": addresses["dns-store"],
                    }
                )
            case ("dwfm", _, az):
                return (
                    common
                    | self.dwfm
                    | {
                        "az": az,
                        "dns_target": addresses["dns"],
                        "load_balancer_port": _port_of(addresses["load-balancers"]),
                        "world": addresses["world"],
                    }
                )
            case ("customers", _, _):
                return (
                    common
                    | self.customers
                    | {"dwfm": {az: addresses[f"dwfm-{az}"] for az in self._launching}}
                )
            case _:
                raise ValueError(f"no service {service!r}")

    @property
    def _launching(self) -> tuple[str, ...]:
        """The AZs that have a DWFM host."""
        return tuple(az for az in AZS if f"dwfm-{az}" in self.services)


def az_of(service: str) -> str:
    """Return the availability zone of a service; empty: it is for all of them."""
    az = service.rpartition("-")[2]
    return az if az in AZS else ""


def known_ports(service: str, addresses: Mapping[str, str]) -> dict[str, int]:
    """A service that starts again listens where it did: others know it there."""
    names = {"port": service}
    if service == "dns-store":
        names["dns_port"] = "dns"
    if service == "world":
        names["load_balancer_port"] = "load-balancers"
    return {
        name: _port_of(addresses[known])
        for name, known in names.items()
        if known in addresses
    }


def _port_of(address: str) -> int:
    return int(address.rpartition(":")[2])
