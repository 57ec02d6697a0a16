"""The command line: `staleplan`.

Commands are thin: they read options, ask services over gRPC, and show the answer.
What is heavy is imported when a command runs, so that `--help` is quick. With `--json`
a command prints one JSON document. The exit code is the verdict: 0 yes or done, 1 no
or refused, 2 not understood or, of a drill, void.
"""

from staleplan.cli.app import main

__all__ = ["main"]
