"""Names of the attributes on spans, metrics and log lines: all of them, once.

Ours are plain words of the field, as the record has them; where OpenTelemetry's
semantic conventions have a name, it is theirs.
"""

from __future__ import annotations

from opentelemetry.semconv._incubating.attributes import rpc_attributes

PLAN_GENERATION = "plan.generation"
"""Generation of the plan that is published, picked up, applied or deleted."""

PLAN_PARENT = "plan.parent"
"""Generation that the plan was made from."""

PLAN_ID = "plan.id"
"""Name of the plan that an operator can read. Source: R13."""

PLAN_DELETED = "plan.deleted"
"""Generations whose trees a clean-up deleted."""

PASS_RESULT = "pass.result"  # noqa: S105  a pass, not a password
"""How an enactor's pass ended."""

ROUND_RESULT = "round.result"
"""How a planner's round ended."""

ZONE = "zone"
"""Hosted zone that is worked on."""

ZONES = "zones"
"""Hosted zones that are worked on together."""

ENDPOINT = "endpoint"
"""Endpoint that is worked on."""

ENACTOR_AZ = "enactor.az"
"""Availability zone of the enactor: a, b, c."""

DROPLET = "droplet"
"""Droplet that is worked on."""

LEASE_TERM = "lease.term"
"""Term of the lease that the work is done under."""

WORK_WAIT_S = "work.wait_s"
"""How long the work waited for a worker, incident seconds. Source: R28."""

STORE_OUTCOME = "store.outcome"
"""What DynamoDB said: written, conflict, away, unknown."""

BATCH_ID = "batch.id"
"""Identity of a change batch in the journal."""

BATCH_OUTCOME = "batch.outcome"
"""What became of a change batch: applied, or the precondition that failed."""

BATCH_CHANGES = "batch.changes"
"""Number of record changes in a batch."""

AZ = "az"
"""Availability zone of the fleet in which something is done: a, b, c."""

CLIENT_TOKEN = "client.token"  # noqa: S105  it names a launch, and is no secret
"""What a customer names a launch with, the same in all of its attempts."""

INSTANCE = "instance"
"""Instance that is launched or terminated."""

LOCK_HOLDER = "lock.holder"
"""Who holds the lock of the zone."""

SAFEGUARDS = "safeguards"
"""Names of the safeguards that the pass runs with."""

FAULT = "fault"
"""Point of the fault that was suffered."""

STACK = "stack"
"""Name of the stack; on the resource, so on every span and metric."""

INCIDENT_TIME = "incident.time"
"""Incident time as the clocks on the wall showed it: 23:48:07."""

RPC_SYSTEM_NAME = rpc_attributes.RPC_SYSTEM_NAME
"""Always "grpc"."""

RPC_METHOD = rpc_attributes.RPC_METHOD
"""Full method: staleplan.runtime.v1.FaultService/List."""

RPC_RESPONSE_STATUS_CODE = rpc_attributes.RPC_RESPONSE_STATUS_CODE
"""Name of the gRPC status: OK, ABORTED."""
