"""Customers that launch instances, keep them for a while, and end them.

They are who R27 and R30 are about: what they are told is the drill's evidence of both.
In each AZ launches **arrive** by chance at a rate, whatever became of earlier ones: a
control plane that is slow does not get fewer of them (`core.gap_s`). Each is sent to
the DWFM of its AZ with a token that names it and a deadline, and **tried again** as
the SDKs of AWS do: three attempts in all, between them full jitter that doubles, and
never sooner than DWFM asked for (`core.pause_s`). All attempts carry the same token,
so that a lost reply launches nothing twice. All of a launch is one trace.

A customer that was launched keeps its instance for a **lifetime**, and then ends it
with as many attempts; if none succeeds it comes back after another lifetime. So an
outage leaves neither a storm of terminations behind nor slots that are never freed.

Every launch that ended, well or not, is remembered with its outcome. It adds up:
arrived = under way + ended, launched = terminated + kept.

The service starts after DWFM, and DWFM after the world; so it is a process of its own.
Its core has no clock and no chance in it: the simulation draws from the same.

Inferred: rates, lifetimes, deadlines, and that customers do not change their minds.
Not guaranteed: a customer whose attempts all failed without a word does not know
whether it has an instance, and never ends it. So do real ones.
"""
