"""The world: what the services act upon, and who notices when they fail.

Planners, enactors and the DNS store only move names and numbers. This package is what
the numbers stand for, so that a wrong one has a consequence: load balancers that
really listen, and a customer that really calls them, by name, through our DNS.

**Load balancers** (`core`, `load_balancers`). A fleet of mixed instance types over
three AZs. Those of the regional pool have a listener each, on an address 127.0.1.N of
their own and one port for all, since a DNS answer names addresses and no ports. The
others are addresses that plans may name. Capacity swings, and now and then one is ill:
then it refuses its calls with UNAVAILABLE. Planners see all that through
`ReportLoadBalancers`, which is all that they see; a drill may fix what is seen of one,
or let nothing be heard of it.

**The customer** (`customers`) resolves the regional endpoint at the DNS store, opens
a connection, calls, and closes it: again and again. It is told nothing of plans,
faults or outages. It fails when the name's answer is empty, with what gRPC makes of
that, and is well once an answer is back. What it got is kept and can be read: it is
the evidence of a drill's impact. Each call is one trace, from customer to load
balancer. Why it must open a channel for each attempt is told in docs/clients.md.

**The resolver** (`resolver`) is the cache that stands between most customers and the
DNS. It remembers an empty answer as it remembers a full one, and longer, so that its
customers' outage outlasts the cause (R22). `staleplan resolve` asks through it.

Nothing here imports the services, and no service imports this package: they meet over
gRPC and DNS alone.

Inferred:
- that load balancers vary as they do here: the record gives scale (R3), no figures;
- pools, instance types and how many load balancers stand behind which endpoint;
- that an unhealthy load balancer refuses calls, rather than being slow or silent;
- that a customer opens a new channel for each call: a stand-in for the many whose
  connections are new or were lost.

Not here: throttling, authentication, and what DynamoDB stores.
"""
