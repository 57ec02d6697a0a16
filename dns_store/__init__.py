"""DNS store: the part of Route 53. It keeps what it is told, and answers from it.

**Zones.** A zone is the unit of locking and of transaction (R9): a lock record, and for
each of its endpoints an alias, which says from which plan's tree the name answers, and
a rollback record, which says where one would go back to (R6, R7).

**Change batches** (`core`) are preconditions and changes, all of it or none (R8). A
precondition that does not hold refuses the batch and is handed back with what was found
instead. The rules are few and know no mode: an alias or a rollback record can be
*written* only to a tree that exists; a tree that is pointed at can be *deleted*, unless
the batch itself forbids that. Nothing in here was made to fail. What went wrong follows
from these rules and from what the enactors chose to ask for (R16, R17, R19).

**Plans** are immutable, numbered by the store, and published by compare-and-set on
their parent (R5).

**Answers** (`answers`, `feed`, `responder`) are real DNS, on UDP and TCP, from memory.
The feed follows the database. When that is away, the last state is answered on: nobody
who asks for a name waits for PostgreSQL. An alias whose tree is gone is answered with
NOERROR and no addresses (R18), and that is cached longer than an address is (R22).

**The journal** has every batch, applied or refused, with what it found. The properties
of `staleplan.spec` judge it afterwards, and `replay` refuses a journal that its own
batches do not lead to. The audit has what operators did (R20).

**Two stores, one behaviour.** `postgres` is the store; `memory` is its twin for tests.
Both judge with `core.decide`, and tests/contract/ holds both to the same promises.

Not guaranteed:
- that a plan which is stored was ever right: only its form is checked;
- that a zone points at what is wise: going back is allowed to everybody, since that is
  what the rollback record is for;
- that all zones change together: a batch is one zone's;
- that an answer is current: it follows its batch within milliseconds, or within the
  refresh interval if a notification was lost; and caches keep it for its TTL.

Inferred: that zones come in blocks of up to 320 endpoints, that a change may be
set-wise, how many addresses an answer has, and the TTLs.
"""
