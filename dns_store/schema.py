"""The tables of a stack's schema, and the statements that span many rows.

`dns_store.migrations` creates the tables, and explains them.
"""

from sqlalchemy import (
    ARRAY,
    BigInteger,
    Boolean,
    Column,
    Double,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    Table,
    Text,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB

metadata = MetaData()

region = Table("region", metadata, Column("newest", BigInteger))

automation = Table("automation", metadata, Column("paused", Boolean))

zone = Table(
    "zone",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text),
    Column("endpoints", ARRAY(Text)),
    Column("version", BigInteger),
)

alias = Table(
    "alias",
    metadata,
    Column("zone_id", Integer, primary_key=True),
    Column("position", SmallInteger, primary_key=True),
)

plan = Table(
    "plan",
    metadata,
    Column("generation", BigInteger, primary_key=True),
    Column("parent", BigInteger),
    Column("published_at_s", Double),
    Column("story", Text),
    Column("body", LargeBinary),
)

plan_zone = Table(
    "plan_zone",
    metadata,
    Column("generation", BigInteger, primary_key=True),
    Column("zone_id", Integer, primary_key=True),
    Column("position", Integer),
    Column("answers", LargeBinary),
)

tree = Table(
    "tree",
    metadata,
    Column("zone_id", Integer, primary_key=True),
    Column("generation", BigInteger, primary_key=True),
)

journal = Table(
    "journal",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("batch_id", Text),
    Column("zone_id", Integer),
    Column("batch", JSONB),
    Column("outcome", JSONB),
    Column("trace_id", Text),
)

audit = Table(
    "audit",
    metadata,
    Column("sequence", BigInteger, primary_key=True),
    Column("at_s", Double),
    Column("operator", Text),
    Column("action", Text),
    Column("detail", Text),
    Column("trace_id", Text),
)

LOCK_ZONES = text("""
    WITH gate AS MATERIALIZED (SELECT pg_advisory_xact_lock_shared(:gate))
    SELECT zone.id FROM gate, zone WHERE zone.id = ANY(CAST(:zones AS int[]))
    ORDER BY zone.id FOR NO KEY UPDATE OF zone
""")
"""Lock zones for one call, in one order for all: two calls cannot deadlock.

The gate is passed first, see `set_automation`. Not FOR UPDATE: a plan that is being
published refers to the zones and would block the call.
"""

READ_ZONES = text("""
    SELECT zone.id, zone.name, zone.lock_holder, zone.lock_expires_s,
        coalesce(part.active, zone.active) AS active,
        coalesce(part.rollback, zone.rollback) AS rollback,
        ARRAY(
            SELECT generation FROM tree WHERE zone_id = zone.id ORDER BY generation
        ) AS trees,
        ARRAY(
            SELECT generation FROM plan_zone
            WHERE zone_id = zone.id AND generation = ANY(CAST(:wanted AS bigint[]))
        ) AS plans,
        automation.paused, journal.outcome
    FROM unnest(CAST(:zones AS int[]), CAST(:endpoints AS text[]), CAST(:ids AS text[]))
            AS asked (id, endpoints, batch_id)
        JOIN zone USING (id)
        LEFT JOIN journal USING (batch_id),
        automation,
        LATERAL (
            SELECT array_agg(DISTINCT active) AS active,
                array_agg(DISTINCT rollback) AS rollback
            FROM alias
            WHERE asked.endpoints IS NOT NULL AND zone_id = zone.id
                AND endpoint = ANY(string_to_array(asked.endpoints, ' '))
        ) AS part
    ORDER BY zone.id
""")
"""Read zones, and what the journal has of the batches that are meant for them.

`endpoints`, joined by spaces, narrows the pointers; null does not.
"""

WRITE_BATCHES = text("""
    WITH moved AS (
        UPDATE alias
        SET active = move.active, rollback = coalesce(move.rollback, alias.rollback)
        FROM unnest(
            CAST(:moved_zones AS int[]), CAST(:moved_from AS bigint[]),
            CAST(:moved_to AS bigint[]), CAST(:rolled_back_to AS bigint[]),
            CAST(:moved_endpoints AS text[])
        ) AS move (zone_id, was, active, rollback, endpoints)
        WHERE alias.zone_id = move.zone_id AND alias.active = move.was
            AND (move.endpoints IS NULL
                OR alias.endpoint = ANY(string_to_array(move.endpoints, ' ')))
    ), built AS (
        INSERT INTO tree (zone_id, generation)
        SELECT * FROM jsonb_to_recordset(CAST(:built AS jsonb))
            AS new (zone_id int, generation bigint)
    ), deleted AS (
        DELETE FROM tree USING jsonb_to_recordset(CAST(:deleted AS jsonb))
            AS gone (zone_id int, generation bigint)
        WHERE tree.zone_id = gone.zone_id AND tree.generation = gone.generation
    ), settled AS (
        UPDATE zone
        SET version = version + now.raised,
            lock_holder = now.holder, lock_expires_s = now.expires_s,
            active = coalesce(now.active, zone.active),
            rollback = coalesce(now.rollback, zone.rollback)
        FROM jsonb_to_recordset(CAST(:settled AS jsonb)) AS now (
            zone_id int, raised int, holder text, expires_s bigint,
            active bigint[], rollback bigint[]
        )
        WHERE zone.id = now.zone_id
    ), recorded AS (
        INSERT INTO journal (at_s, batch_id, zone_id, enactor, generation, reason,
            batch, outcome, trace_id)
        SELECT :at_s, entry.batch ->> 'id', entry.zone_id, entry.batch ->> 'enactor',
            CAST(entry.batch ->> 'generation' AS bigint), entry.outcome ->> 'reason',
            entry.batch, entry.outcome, :trace_id
        FROM jsonb_to_recordset(CAST(:entries AS jsonb))
            AS entry (place int, zone_id int, batch jsonb, outcome jsonb)
        ORDER BY entry.place
    )
    SELECT pg_notify(:channel, :changed) WHERE :changed <> ''
""")
"""Write all that a call changes and judges: one round trip, however many zones.

Moves are arrays, not JSON, because the planner knows an array's length: it would read
all aliases for the 100 rows that it expects of any JSON.

A null sum of pointers stays; `SUM_UP` renews it then.
"""

SUM_UP = text("""
    UPDATE zone SET active = found.active, rollback = found.rollback
    FROM (
        SELECT zone_id, array_agg(DISTINCT active) AS active,
            array_agg(DISTINCT rollback) AS rollback
        FROM alias WHERE zone_id = ANY(CAST(:zones AS int[])) GROUP BY zone_id
    ) AS found
    WHERE zone.id = found.zone_id
""")
"""Sum up zones' pointers after some were moved; what moves all says the sums itself."""

READ_ANSWERS = text("""
    SELECT zone.id, zone.name, zone.version,
        CASE WHEN cardinality(zone.active) = 1 THEN zone.active ELSE ARRAY(
            SELECT active FROM alias WHERE zone_id = zone.id ORDER BY position
        ) END AS active,
        trees.generations, trees.answers
    FROM zone,
        LATERAL (
            SELECT array_agg(generation) AS generations, array_agg(answers) AS answers
            FROM tree JOIN plan_zone USING (generation, zone_id)
            WHERE zone_id = zone.id AND generation = ANY(zone.active)
        ) AS trees
    WHERE zone.id = ANY(CAST(:zones AS int[]))
    ORDER BY zone.id
""")
"""Read what DNS answers: one generation where all aliases of a zone agree, else all."""

CREATE_ZONES = text("""
    INSERT INTO zone (name, endpoints)
    SELECT new.name, string_to_array(new.endpoints, ' ')
    FROM unnest(CAST(:zones AS text[]), CAST(:endpoints AS text[]))
        WITH ORDINALITY AS new (name, endpoints, place)
    ORDER BY new.place
""")
"""Create zones; `endpoints` are joined by spaces: one text ships faster than 320."""

CREATE_ALIASES = text("""
    INSERT INTO alias (zone_id, position, endpoint)
    SELECT zone.id, name.place - 1, name.endpoint
    FROM zone, unnest(zone.endpoints) WITH ORDINALITY AS name (endpoint, place)
    WHERE zone.name = ANY(CAST(:zones AS text[]))
    ORDER BY zone.id
""")
"""Create the records of new zones from their names, which are shipped only once."""

CREATE_PLAN_ZONES = text("""
    INSERT INTO plan_zone (generation, zone_id, position, answers)
    SELECT :generation, zone.id, part.place, part.answers
    FROM unnest(CAST(:zones AS text[]), CAST(:answers AS bytea[]))
            WITH ORDINALITY AS part (name, answers, place)
        JOIN zone USING (name)
""")

ANALYZE_ALIASES = text("ANALYZE alias")

NOTIFY = text("SELECT pg_notify(:channel, :changed)")

DELETE_OLD_PLANS = text("""
    DELETE FROM plan WHERE generation <= :newest - :kept
    AND NOT EXISTS (SELECT FROM tree WHERE tree.generation = plan.generation)
""")
