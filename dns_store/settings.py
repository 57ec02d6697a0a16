"""What the DNS store is told at its start."""

from pydantic import Field, SecretStr

from staleplan.runtime.settings import ServiceSettings


class DnsStoreSettings(ServiceSettings):
    """Settings of the DNS store. Units: seconds are incident seconds."""

    database_url: SecretStr | None = None
    """PostgreSQL to keep everything in; unset: the embedded one, in the state
    folder."""

    region: str = Field(default="us-east-1", pattern=r"^[a-z0-9-]{1,40}$")

    dns_port: int = Field(default=0, ge=0, le=65_535)
    """Where DNS is answered, UDP and TCP; 0 takes a free port."""

    ttl_s: int = Field(default=5, ge=0, le=86_400)
    """How long an answer may be cached. Source: R21 (it took minutes to be forgotten);
    the figure is of DynamoDB's public answers."""

    negative_ttl_s: int = Field(default=900, ge=0, le=86_400)
    """How long an empty answer may be cached: the SOA's minimum. Source: R22."""

    refresh_interval_s: float = Field(default=30.0, gt=0)
    """Between two looks at what changed, in case a notification was lost."""

    @property
    def apex(self) -> str:
        """The domain that the store is authoritative for."""
        return f"{self.region}.example"
