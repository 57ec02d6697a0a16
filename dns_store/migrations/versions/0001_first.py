"""The first schema: plans, zones, trees, the journal and the audit."""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
-- The number of the newest plan; publishing is a compare-and-set on it.
CREATE TABLE region (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT region_single CHECK (single),
    newest bigint NOT NULL DEFAULT 0 CONSTRAINT region_newest CHECK (newest >= 0)
);
INSERT INTO region DEFAULT VALUES;

-- Whether an operator has paused the automation. Not a column of region, because a
-- pause must not wait for a plan that is being published.
CREATE TABLE automation (
    single boolean PRIMARY KEY DEFAULT true CONSTRAINT automation_single CHECK (single),
    paused boolean NOT NULL DEFAULT false
);
INSERT INTO automation DEFAULT VALUES;

-- A zone is created by the first plan that names it; its name and endpoints stay.
-- Its lock record: both columns null is no record.
-- active and rollback sum up its aliases: the distinct generations that they point at,
-- ascending. They could be had from alias, but reading them there for each judgement
-- would take as long as a flip. Every statement that moves an alias keeps them right.
CREATE TABLE zone (
    id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CONSTRAINT zone_name UNIQUE,
    endpoints text[] NOT NULL,
    size int NOT NULL GENERATED ALWAYS AS (cardinality(endpoints)) STORED
        CONSTRAINT zone_size CHECK (size BETWEEN 1 AND 320),
    version bigint NOT NULL DEFAULT 0,
    lock_expires_s bigint CONSTRAINT zone_lock_expires CHECK (lock_expires_s >= 0),
    lock_holder text,
    active bigint[] NOT NULL DEFAULT '{0}' CONSTRAINT zone_active
        CHECK (cardinality(active) >= 1),
    rollback bigint[] NOT NULL DEFAULT '{0}' CONSTRAINT zone_rollback
        CHECK (cardinality(rollback) >= 1),
    CONSTRAINT zone_lock_is_whole
        CHECK ((lock_holder IS NULL) = (lock_expires_s IS NULL))
) WITH (fillfactor = 50);
-- Outside the row and not compressed: every batch rewrites the row, never the names.
ALTER TABLE zone ALTER COLUMN endpoints SET STORAGE EXTERNAL;

-- Two records for each endpoint, its alias (active) and its rollback: the generation
-- whose tree they point at, 0 for none yet. A pointer may dangle, for a tree that is
-- pointed at can be deleted (R16, R17): so there is no foreign key to tree.
-- Half of each page is free and no index is on a pointer, so that a flip writes the
-- new row beside the old one and touches no index (a HOT update). No foreign key to
-- zone: aliases are created from their zone's row, which stays; to check each of
-- 200,000 would take as long as to write it.
CREATE TABLE alias (
    active bigint NOT NULL DEFAULT 0,
    rollback bigint NOT NULL DEFAULT 0,
    zone_id int NOT NULL,
    position smallint NOT NULL,
    endpoint text NOT NULL CONSTRAINT alias_endpoint UNIQUE,
    CONSTRAINT alias_pk PRIMARY KEY (zone_id, position),
    CONSTRAINT alias_active CHECK (active >= 0),
    CONSTRAINT alias_rollback CHECK (rollback >= 0)
) WITH (fillfactor = 50);

-- A published plan: immutable. body is what its zones share: targets, answer sets.
CREATE TABLE plan (
    generation bigint PRIMARY KEY CONSTRAINT plan_generation CHECK (generation > 0),
    parent bigint NOT NULL CONSTRAINT plan_parent CHECK (parent = generation - 1),
    published_at_s double precision NOT NULL,
    story text NOT NULL,
    body bytea NOT NULL
);

-- A plan's part for one zone; answers: for each endpoint the index of its answer set,
-- 16 bits, little-endian. position is the zone's place in the plan.
CREATE TABLE plan_zone (
    generation bigint NOT NULL CONSTRAINT plan_zone_plan
        REFERENCES plan ON DELETE CASCADE,
    zone_id int NOT NULL CONSTRAINT plan_zone_zone REFERENCES zone,
    position int NOT NULL,
    answers bytea NOT NULL,
    CONSTRAINT plan_zone_pk PRIMARY KEY (generation, zone_id)
);

-- The tree of a plan in a zone exists while its row does. It has no content of its
-- own: a plan never changes, so the tree's records are the plan's own bytes, and a
-- plan with a tree cannot be deleted.
CREATE TABLE tree (
    zone_id int NOT NULL,
    generation bigint NOT NULL,
    CONSTRAINT tree_pk PRIMARY KEY (zone_id, generation),
    CONSTRAINT tree_plan FOREIGN KEY (generation, zone_id) REFERENCES plan_zone
);

-- Every batch as it was judged; a reason says that it was refused.
CREATE TABLE journal (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_s double precision NOT NULL,
    batch_id text NOT NULL CONSTRAINT journal_batch_id UNIQUE,
    zone_id int NOT NULL CONSTRAINT journal_zone REFERENCES zone,
    enactor text NOT NULL,
    generation bigint NOT NULL,
    reason text,
    batch jsonb NOT NULL,
    outcome jsonb NOT NULL,
    trace_id text NOT NULL
);
CREATE INDEX journal_by_zone ON journal (zone_id, sequence);

-- What operators did.
CREATE TABLE audit (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at_s double precision NOT NULL,
    operator text NOT NULL,
    action text NOT NULL,
    detail text NOT NULL,
    trace_id text NOT NULL
);
"""


def upgrade() -> None:
    """Create the tables."""
    # Without parameters the driver accepts several statements in one text.
    options = {"no_parameters": True}
    op.get_bind().exec_driver_sql(TABLES, execution_options=options)
