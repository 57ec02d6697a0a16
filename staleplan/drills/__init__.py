"""Drills: scenarios of the event, played on a stage and judged.

`dns_race` is a script: who waits for whom. `stage` is what a script may do; `live` does
it on a running stack over RPC, `staleplan.sim` in virtual time. `runner` starts what a
run needs, replays the journal that it leaves, and has every property judge the steps.
`us_east_1` is the night itself, as data.
"""
