/* The race of the DNS enactors, told a second time, for Spin.
 *
 * This is the algorithm of enactor/core.py on the rules of dns_store/core.py, written
 * down anew and by hand, so that two checkers can be asked the same question. Each
 * d_step is one effect: what the Python core asks for with one `yield`. Between two of
 * them anybody else may come. Locks lapse at any time, and any may be lost by chance,
 * so time itself is not modelled. Neither are pauses: a batch that is refused for one
 * changes nothing, as does a lock that is not got.
 *
 *     spin -a -DE=3 -DFIXED=1 enactors.pml && gcc -O2 -DSAFETY pan.c && ./a.out -E
 */

/* --- Sizes ------------------------------------------------------------------------ */

#ifndef E
#define E 2                     /* enactors */
#endif
#ifndef Z
#define Z 1                     /* zones, 1 or 2: the ways to take locks are listed */
#endif
#ifndef P
#define P 4                     /* plans, 7 at most: a set of trees is a byte */
#endif
#ifndef KEEP
#define KEEP 1                  /* generations that clean-up keeps. Source: R12 */
#endif
#ifndef CRASHES
#define CRASHES 0               /* how often an enactor may lose all that it knew */
#endif

#if Z > 2 || P > 7
#error "two zones and seven plans at most: sets are bytes, and ways are listed"
#endif
#if P - KEEP > 4
#error "clean-up deletes three trees of a zone at a time: here it would need more"
#endif

/* --- Safeguards, each 0 or 1 ------------------------------------------------------ */

#ifndef FIXED
#define FIXED 0
#endif
#ifndef RECHECK
#define RECHECK FIXED           /* recheck_generation_in_batch */
#endif
#ifndef REFRESH
#define REFRESH FIXED           /* refresh_plan_on_retry */
#endif
#ifndef KEEP_REFERENCED
#define KEEP_REFERENCED FIXED   /* keep_referenced_plans */
#endif
#ifndef TOLERATE
#define TOLERATE FIXED          /* tolerate_missing_active */
#endif

/* --- What is judged: a sum of these ----------------------------------------------- */

#define P1 1                    /* never an empty answer */
#define P2 2                    /* the active plan never goes back */
#define P3 4                    /* active and rollback trees exist */
#define P4 8                    /* the next plan applies unaided */
#define STALE 16                /* no flip is refused as late: to be found false */
#define SPARED 32               /* no clean-up is refused: to be found false */
#ifndef JUDGED
#define JUDGED (P1 + P2 + P3 + P4)
#endif
#define always(property, condition) assert(!((JUDGED) & property) || (condition))

/* --- The store -------------------------------------------------------------------- */

#define NOBODY 0
#define me _pid                 /* 1 and up: the planner is process 0 */
#define SET(number) (1 << (number))
#define has(set, number) ((set) >> (number) & 1)
#define lost(plan) (plan && !has(zone[z].trees, plan))
#define referenced (SET(zone[z].alias) | SET(zone[z].rollback))

typedef Zone {
  byte alias, rollback;         /* plans; 0: none yet */
  byte trees;                   /* a set of plans */
  byte lock                     /* its holder */
}
Zone zone[Z];
byte newest;                    /* the newest plan */
byte crashes;

byte z, other, trees, again;    /* used within a step, and 0 between two of them */
#define step(when, what) \
  d_step { when -> what; z = 0; other = 0; trees = 0; again = 0 }

active proctype planner() {
  do
  :: step(newest < P, newest++)
  od
}

/* --- What an enactor does: after each effect, it is `at` the next ----------------- */

mtype = { READ_PLAN, CHECK, TAKE_LOCKS, FLIP, RELEASE, LOOK, CLEAN_UP }

inline begin_anew() {
  mine = 0; todo = 0; held = 0;
  for (z : 0 .. Z - 1) { doomed[z] = 0 }
  at = READ_PLAN
}

inline go_on() {
  if
  :: todo == 0 -> at = LOOK
  :: todo && !REFRESH -> at = TAKE_LOCKS
  :: todo && REFRESH -> begin_anew()
  fi
}

inline check() {                /* once, for all that follows. Source: R11 */
  for (z : 0 .. Z - 1) { todo = todo | (zone[z].alias < mine) << z }
  if
  :: todo -> at = TAKE_LOCKS
  :: else -> begin_anew()
  fi
}

inline take_locks(got) {        /* whoever has them: a lock may have lapsed */
  held = got;
  for (z : 0 .. Z - 1) {
    if
    :: has(held, z) -> zone[z].lock = me
    :: else
    fi
  }
  if
  :: held -> at = FLIP
  :: else -> go_on()
  fi
}

#define keeps_lock (has(held, z) && zone[z].lock == me)
#define late (RECHECK && zone[z].alias >= mine)
#define alias_lost (zone[z].alias && !has(trees, zone[z].alias))

inline flip() {
  again = todo & ~held;         /* zones to try again */
  for (z : 0 .. Z - 1) {
    trees = zone[z].trees | SET(mine);
    if
    :: !has(held, z)
    :: has(held, z) && zone[z].lock != me ->
         held = held & ~SET(z);
         again = again | SET(z)
    :: keeps_lock && late ->
         always(STALE, false)
    :: keeps_lock && !late && alias_lost && !TOLERATE ->
         always(P4, false);
         again = again | SET(z)
    :: keeps_lock && !late && !(alias_lost && !TOLERATE) ->
         flip_zone()
    fi
  }
  todo = again;
  if                            /* what is still held was refused: give it back */
  :: held -> at = RELEASE
  :: else -> go_on()
  fi
}

inline flip_zone() {
  always(P2, zone[z].alias <= mine);
  if
  :: alias_lost -> newest_other_tree(); zone[z].rollback = other
  :: else -> zone[z].rollback = zone[z].alias
  fi;
  zone[z].alias = mine;
  zone[z].trees = trees;
  zone[z].lock = NOBODY;
  held = held & ~SET(z)
}

inline newest_other_tree() {    /* or the new one, where there is no other */
  other = P;
  do
  :: other && (other == mine || !has(trees, other)) -> other--
  :: else -> break
  od
  if
  :: other == 0 -> other = mine
  :: else
  fi
}

inline release() {
  for (z : 0 .. Z - 1) {
    if
    :: keeps_lock -> zone[z].lock = NOBODY
    :: else
    fi
  }
  held = 0;
  go_on()
}

inline look() {                 /* for trees much older than the plan. Source: R12 */
  again = 0;
  for (z : 0 .. Z - 1) {
    if
    :: zone[z].lock == NOBODY && mine > KEEP ->
         doomed[z] = zone[z].trees & (SET(mine - KEEP) - 1);
         doomed[z] = doomed[z] & ~(KEEP_REFERENCED * referenced);
         again = again | doomed[z]
    :: else
    fi
  }
  mine = 0;
  if
  :: again -> at = CLEAN_UP
  :: else -> begin_anew()
  fi
}

inline clean_up() {
  for (z : 0 .. Z - 1) {
    if
    :: zone[z].lock == NOBODY && !(KEEP_REFERENCED && doomed[z] & referenced) ->
         zone[z].trees = zone[z].trees & ~doomed[z]
    :: else ->
         always(SPARED, zone[z].lock != NOBODY)
    fi;
    always(P1, !lost(zone[z].alias));
    always(P3, !lost(zone[z].alias) && !lost(zone[z].rollback))
  }
  begin_anew()
}

active [E] proctype enactor() {
  mtype at = READ_PLAN;
  byte mine;                    /* the plan in hand */
  byte todo, held;              /* sets of zones: still to flip, locked */
  byte doomed[Z];               /* sets of trees to delete */
  do
  :: step(at == READ_PLAN && newest, mine = newest; at = CHECK)
  :: step(at == CHECK, check())
  :: step(at == TAKE_LOCKS, take_locks(0))
  :: step(at == TAKE_LOCKS, take_locks(todo))
#if Z == 2
  :: step(at == TAKE_LOCKS && todo == 3, take_locks(1))
  :: step(at == TAKE_LOCKS && todo == 3, take_locks(2))
#endif
  :: step(at == FLIP, flip())
  :: step(at == RELEASE, release())
  :: step(at == LOOK, look())
  :: step(at == CLEAN_UP, clean_up())
#if CRASHES
  :: step(at != READ_PLAN && crashes < CRASHES, crashes++; begin_anew())
#endif
  od
}
