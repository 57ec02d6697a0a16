"""A stack: one running set of services with its safeguards, and where they answer.

It runs in one of two ways: all services in one process (`inside`), which is quick to
start and what drills use, or each service as its own process (`outside`), as in
production. Either way the services talk gRPC over loopback and know nothing of it.
"""
