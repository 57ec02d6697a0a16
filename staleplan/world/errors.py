"""What goes wrong in the world, as its callers see it."""

import grpc

from staleplan.runtime.errors import ServiceError, UnknownNameError


class LoadBalancerUnhealthyError(ServiceError):
    """An unhealthy load balancer refuses every call; nothing was done."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "LOAD_BALANCER_UNHEALTHY"
    definite = True

    def __init__(self, load_balancer: str) -> None:
        super().__init__(
            f"load balancer {load_balancer} is unhealthy",
            detail_metadata={"load_balancer": load_balancer},
        )


class NoPortError(ServiceError):
    """No port is free on the addresses of all load balancers; none of them listens."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "NO_PORT"
    definite = True


class ResolutionError(ServiceError):
    """A DNS server gave no usable answer; nothing was cached."""

    code = grpc.StatusCode.UNAVAILABLE
    reason = "RESOLUTION_FAILED"
    definite = True

    def __init__(self, name: str, dns_target: str, problem: str) -> None:
        super().__init__(
            f"could not resolve {name} at {dns_target}: {problem}",
            detail_metadata={"name": name, "dns_target": dns_target},
        )


class UnknownDropletError(UnknownNameError):
    """No droplet has this name; the message has the nearest."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "UNKNOWN_DROPLET"


class DropletFullError(ServiceError):
    """Instances run in all slots of the droplet; none was started."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED
    reason = "DROPLET_FULL"
    definite = True

    def __init__(self, droplet: str, slots: int) -> None:
        super().__init__(
            f"droplet {droplet} is full: all of its {slots} slots are taken",
            detail_metadata={"droplet": droplet, "slots": str(slots)},
        )


class NotRunningError(ServiceError):
    """The droplet has no such instance; nothing was started anew."""

    code = grpc.StatusCode.NOT_FOUND
    reason = "INSTANCE_NOT_RUNNING"
    definite = True

    def __init__(self, droplet: str, instance: str) -> None:
        super().__init__(
            f"instance {instance} does not run on droplet {droplet}",
            detail_metadata={"droplet": droplet, "instance": instance},
        )
