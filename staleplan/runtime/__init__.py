"""What every service is mounted on.

A service is one `ServiceServer` with its own RPCs, plus what all services share:
health, reflection, faults, safeguards. Its `__main__` only assembles:

    @asynccontextmanager
    async def assemble() -> AsyncIterator[ServiceServer]:
        settings = EnactorSettings()
        async with Exporters.from_settings(settings) as exporters:
            telemetry = Telemetry("enactor", settings, exporters)
            server = ServiceServer(telemetry, settings, faults=..., safeguards=...)
            server.add(add_EnactorServiceServicer_to_server, EnactorService(...))
            yield server

    serve(assemble)

Nothing here is global: a drill may run every service of two stacks in one process,
each with its own clock, faults, safeguards, tracer and log.

| module | what it is for |
|---|---|
| `clock` | incident time, scaled, the same in every process of a stack |
| `settings` | what the environment says, read once and checked |
| `errors` | errors with a gRPC status and typed details, there and back |
| `fault_spec`, `faults` | the fault points and what a drill does to them |
| `safeguards` | the switches of one service, as requested and in effect |
| `control` | the RPCs that inject faults and switch safeguards |
| `attributes`, `telemetry` | names of attributes; spans, metrics and the log |
| `rpc_tracing` | a span on both sides of every RPC, red if it failed |
| `server` | the server, the channel to another one, and the drain |
"""
