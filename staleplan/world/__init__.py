"""The world: what the services act upon, and who notices when they fail.

Planners, enactors and the DNS store only move names and numbers. This package is what
the numbers stand for, so that a wrong one has a consequence: load balancers that
really listen, a customer that really calls them, by name, through our DNS, the tables
that they serve, and the physical servers on which instances run.

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

**DynamoDB** (`table_service`, `tables`, `postgres_tables`) is a table API with
conditional writes, kept in a PostgreSQL schema of its own and served by the load
balancers and nobody else: who wants it asks DNS for its name. What depends on it is
told nothing either; it fails when the name fails. `staleplan.table_client` is how.

**Droplets** (`droplets`, `droplet_service`) are physical servers. They obey whoever
shows the highest term that they have seen, and refuse everybody else, so that of two
holders of one lease only the later can act. They need nothing but themselves: what
runs goes on whatever happens to DNS, DynamoDB or DWFM (R26). What they were told is
kept and can be read: it shows who acted on which lease.

**Customers that launch** (`launches`) are a service of their own: they call DWFM.

**The resolver** (`resolver`) is the cache that stands between most customers and the
DNS. It remembers an empty answer as it remembers a full one, and longer, so that its
customers' outage outlasts the cause (R22). `staleplan resolve` asks through it.

Nothing here imports the services, and no service imports this package: they meet over
gRPC and DNS alone. Every call of DynamoDB and of a droplet passes a fault point.

Inferred:
- that load balancers vary as they do here: the record gives scale (R3), no figures;
- pools, instance types and how many load balancers stand behind which endpoint;
- that an unhealthy load balancer refuses calls, rather than being slow or silent;
- that a customer opens a new channel for each call: a stand-in for the many whose
  connections are new or were lost;
- how many droplets an AZ has, and how many instances run on one.

Not here: throttling, authentication, indexes, and tables in several regions (R24).
"""
