"""The one rule about addresses: without TLS, this machine and no other."""

from __future__ import annotations

import ipaddress


def require_loopback(host: str) -> str:
    """Returns a host that only this machine can reach, unchanged.

    Raises: ValueError, for any other.
    """
    if host == "localhost":
        return host
    try:
        loopback = ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        loopback = False
    if not loopback:
        raise ValueError(
            f"refused address {host!r}: without TLS a service is only served on "
            "loopback, such as 127.0.0.1"
        )
    return host
