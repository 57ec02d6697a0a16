"""DNS Enactor: makes the zones look like the newest plan.

It runs three times, once per AZ. The three do not speak to each other and share
nothing but the DNS store; each is enough alone (R4). That is a strength, and it is
where the race of 23:48 comes from.

**A pass** (`core.enact`) reads top to bottom like the record. Take the newest plan.
Look once which zones are behind it (R11). Walk them: take the zone's lock, or back off
and try again (R9, R10); then send one batch that builds the plan's tree beside the old
one, notes in the rollback record what was active, flips the alias, and gives the lock
back (R6, R7). When every zone is done, delete the trees that are much older than the
plan just applied (R12).

**What the lock protects** is one batch against another: if it changed hands, all of
the batch fails (R8, R9). It does not say that the batch is still wanted. A lock that is
taken properly, with a plan that has grown old, is how an old plan replaces a newer one
(R14, R16). The lock did its work; nobody asked for the generation a second time.

**What clean-up trusts** is age. It was written for plans that nobody uses any more, and
old meant unused until a late flip made it untrue (R17). The batches after that could
not note a way back to a tree that was gone, so none of them applied (R19).

**Safeguards** (`safeguards`) are five switches, each read at one place in `core`. All
off is the enactor as it failed, all on is the hardened one. They overlap on purpose:
the recheck alone prevents the race, and the others bound the harm should it be missing.

**Who performs what**: `core` yields commands and acts on nothing. `driver` sends them
over gRPC, waits, opens spans and suffers faults; `staleplan.sim` performs the same
commands under virtual time. The driver reads the clock, the core never does.

Not guaranteed:
- that a zone is ever reached: an enactor may lose a lock for as long as others want it;
- that the zones move together: each is flipped by itself, in the plan's order, so two
  zones may answer from different plans for the length of a pass;
- that old trees go at once: a zone whose lock is held is left for the next clean-up;
- with `pause_switch`, that a batch which the store has begun to judge is called back.

Inferred: all figures (lock, polls, back-off, generations kept), that a lock is given
back with the flip, that clean-up passes by a zone whose lock is held, and that zones
are sent in groups (`zones_in_flight`).
"""
