"""The shipped cores under every interleaving: nothing here can drift from them.

`machine` turns a core into a machine of numbered nodes, `region` puts enactors, the
planner and the store's rules together, `search` walks through all of it, and `story`
tells a way to a violation. docs/checking.md says what is explored and what is not.
"""
