"""DropletWorkflow Manager: keeps a lease on every droplet, and launches on them.

There is one host per AZ (R25). It may act on a droplet only while it holds the
droplet's lease, and it holds it only as long as it keeps proving so. This is an essay
on when such a thing may be trusted.

**What a lease is.** A row in DynamoDB: holder, term, until when. A state check renews
it (R25): write the row if it still has the version last seen, then show the droplet
the term. The first half settles who holds it, by compare-and-set. The second half is
what makes it true: a droplet obeys the highest term that it has been shown, and no
lower one ever again.

**When trust begins.** With the attempt, not with its success. The row says: until the
attempt's start plus the lease's length; the holder trusts it from that same start. A
check may crawl through a queue, through DynamoDB, through the network: however slow
its success, it stretches nothing (`Host.extend_lease`). A success that took longer
than the lease is none.

**When trust ends.** At the attempt's start plus the length minus a margin, by the
holder's own clock, and without anybody's help: DynamoDB need not answer for a lease to
run out. The holder stops a margin before the row does, so that whoever reads the row
finds nobody in office. What ends is trust, not work: running instances go on (R26),
but the droplet is no candidate for a launch any more (R27).

**While DynamoDB is away.** Every check fails, and leases run out one after the other
(R26): DynamoDB's outage becomes one of every launch. With
`hold_leases_when_store_is_down`, a droplet that confirms the term it knows keeps its
lease. That rests on two things. Nobody else can take the lease over, because that
means writing the row, and DynamoDB is away for them too. And should they be able to
after all, the droplet has seen their higher term before they trust it: it refuses the
old holder at the next word. So two hosts may believe for a while, but only one is
obeyed. A droplet that does not confirm keeps no lease; a term that DynamoDB never
accepted is shown to no droplet.

**When it comes back**, everything that waited wants a check at once (R28). A check has
a timeout that includes its waiting. If the queue is longer than what is served within
it, each attempt is given up before its turn and queued anew, while the old one still
waits and is still served: workers are busy with work that nobody waits for, and the
more they are, the less is in time. That is congestive collapse. Nothing in it needs
the outage any more, which is why it did not end when DynamoDB was back, and took a
throttle and restarts that cleared queues (R29). The line is simple: work that waits
for longer than its timeout. Four switches keep a host on its right side: new work is
taken in only while the queue can be served in time (R31, R34), expired work is thrown
away, checks keep to their own slots, and renewals go first.

**What skew does.** Terms and versions know no clock, so nothing wrong is ever done to
a droplet because a clock is wrong. A holder whose clock is late trusts its lease for
too long, and learns from the droplet's refusal that it is not the holder. A holder
whose clock is early gives up leases that it had; a rival whose clock is early takes
them over. That costs launches, not instances.

**Launches** are made once. The customer's token makes the instance's id, the row in
DynamoDB says on which droplet it is to run, and the droplet starts what it has only
once. A launch whose outcome nobody knows is ended again before its slot is used.

**Who does what**: `core`, `launches` and `operations` decide, on the state in `host`
and `work_queue`; `driver` performs their commands over gRPC, waits, opens spans and
suffers faults; `watch` names causes. `staleplan.sim` drives the same decisions under
virtual time.

Not guaranteed:
- that a droplet has a holder: while a row of another is in force, however wrong, the
  droplet is left alone;
- that two hosts never both believe: only that the droplet obeys one of them;
- that a lease held without DynamoDB is kept when it is back: a rival may write first;
- that a token launches once for ever: ended instances are forgotten after 10,000 more,
  and by a new process at once;
- that a launch ends in time once a worker has it: only that none begins which cannot.

Inferred: all figures (workers, service time, timeout, interval, lengths of leases,
margin), how long a piece of work takes and that it takes a worker for as long, the
order of DynamoDB and droplet in a check, terms, and that a token makes an id.
"""
