"""`python -m staleplan.cli` is `staleplan`."""

from staleplan.cli.app import main

main()
