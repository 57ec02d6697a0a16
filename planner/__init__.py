"""DNS Planner: says what the region should look like, and does not make it so.

It looks at the load balancers, their health and their capacity, and publishes a plan
when something changed and once in every period (R1). It never touches a zone. Without
it the world merely freezes: answers go on, and nothing moves.

**A plan** covers every endpoint of the region, since they share capacity: regional,
FIPS, dual-stack and one per account (R2). It is immutable and numbered, and it has a
parent: the store takes it only if the newest plan is still the one that it was made
from, so that two planners cannot undo each other's work (R5). The number is the
store's to give.

**How it stays small**: at the record's scale there are hundreds of thousands of names
(R3), yet few different answers. Accounts draw on a fixed number of overlapping shards
of the load balancers, so a plan holds a few dozen weighted sets, and per name an index.
A load balancer that leaves changes only the shards that it was in.

**A round** (`core.make_plan`) is three commands: read the newest plan, read the report,
publish. `driver` performs them and remembers the readings of earlier rounds.

**Safeguards** (`safeguards`): a wrong input makes a wrong plan, and enactors apply a
wrong plan as willingly as a right one. So a plan that empties an endpoint, or takes too
much of its weight at once, is held until an operator forces this very plan by its
digest (R47); and a load balancer that was not heard of keeps its last reading, since
an absent answer is no answer of zero (R46). Neither played a part at 23:48: the
plans were good, and one was late.

Not guaranteed:
- that a plan is ever applied, or that every plan is: enactors take the newest they see;
- that two planners share the work: one publishes, and the other is told `Outdated`;
- that every load balancer is in some account's shard: shards are drawn by a hash;
- that a slow drain is held: the limit is per plan, not per hour.

Inferred: the share that may go unforced, periods, shards and zones, and that the
regional endpoint is walked last.
"""
