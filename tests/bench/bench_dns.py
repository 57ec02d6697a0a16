"""Our responder beside Knot DNS: answers a second, and p99 while names are flipped.

Both serve the same 200,000 names on core 0, in turn; dnsperf asks from core 1. Our
process is the one below (`--serve`), with or without a task that points every name at
another set over and over. Needs Debian's knot, knot-dnsutils and dnsperf; without
them it says so and measures nothing.

    .venv/bin/python tests/bench/bench_dns.py --json bench_dns.json
"""

import argparse
import asyncio
import gc
import json
import os
import random
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query

from dns_store.answers import Address, AnswerTable, CompiledSet, compile_set
from dns_store.responder import Responder

APEX = "us-east-1.example"
ZONES = 500
NAMES_PER_ZONE = 400
SETS = 64
TTL_S = 5
PACED_QPS = 20_000
# What must hold: our share of Knot's answers a second, and p99 when paced, idle and
# while every name is re-pointed.
GOALS = {"ratio": 0.7, "p99_ms": 2.0, "p99_repointing_ms": 5.0}
READY_WAIT_S = 30.0


def name(zone: int, number: int) -> str:
    """The account-specific endpoint `number` of a zone."""
    return f"{zone:04d}{number:08d}.ddb.{APEX}"


def addresses(set_number: int) -> list[str]:
    """The four load balancers of a set."""
    return [f"127.0.{set_number}.{last}" for last in range(1, 5)]


def set_of(zone: int, number: int) -> int:
    """Which set an endpoint answers with."""
    return (zone + number) % SETS


async def serve(port: int, *, repointing: bool) -> None:
    """Serve the names on core 0 until killed."""
    os.sched_setaffinity(0, {0})
    table = AnswerTable(APEX, ttl_s=TTL_S, negative_ttl_s=TTL_S)
    sets: list[CompiledSet] = [
        compile_set([Address(1, ip, None) for ip in addresses(number)], TTL_S)
        for number in range(SETS)
    ]
    for zone in range(ZONES):
        table.add_names(str(zone), [name(zone, i) for i in range(NAMES_PER_ZONE)])
        zone_sets = [sets[set_of(zone, i)] for i in range(NAMES_PER_ZONE)]
        table.point(str(zone), zone_sets)
    gc.collect()
    gc.freeze()
    responder = Responder(table)
    await responder.start("127.0.0.1", port)
    turn = 0
    while repointing:
        turn += 1
        for zone in range(ZONES):
            table.point(
                str(zone),
                [sets[(set_of(zone, i) + turn) % SETS] for i in range(NAMES_PER_ZONE)],
            )
            await asyncio.sleep(0)
    await asyncio.Event().wait()


def write_inputs(folder: Path, port: int) -> None:
    """Write Knot's configuration and zone, and the queries for dnsperf."""
    (folder / "knot.conf").write_text(
        f"""server:
    listen: 127.0.0.1@{port}
    user: root:root
    rundir: {folder}
    udp-workers: 1
    tcp-workers: 1
    background-workers: 1
database:
    storage: {folder}
zone:
  - domain: {APEX}
    file: {folder}/zone.db
    journal-content: none
    zonefile-load: whole
    zonefile-sync: -1
"""
    )
    with (folder / "zone.db").open("w") as zone_file:
        zone_file.write(f"$ORIGIN {APEX}.\n$TTL {TTL_S}\n")
        zone_file.write(f"@ SOA ns1.{APEX}. hostmaster.{APEX}. 1 3600 600 86400 5\n")
        zone_file.write(f"@ NS ns1.{APEX}.\nns1 A 127.0.0.1\n")
        for zone in range(ZONES):
            for i in range(NAMES_PER_ZONE):
                for ip in addresses(set_of(zone, i)):
                    zone_file.write(f"{name(zone, i)}. A {ip}\n")
    order = random.Random(1)
    with (folder / "queries").open("w") as queries:
        for _ in range(ZONES * NAMES_PER_ZONE):
            asked = name(order.randrange(ZONES), order.randrange(NAMES_PER_ZONE))
            queries.write(f"{asked} A\n")


@contextmanager
def running(command: list[str], port: int) -> Iterator[int]:
    """Run a server on core 0 until the block ends, and give its process id."""
    server = subprocess.Popen(
        ["taskset", "-c", "0", *command], stdout=subprocess.DEVNULL
    )
    try:
        wait_until_ready(port)
        yield server.pid
    finally:
        server.terminate()
        server.wait()


def wait_until_ready(port: int) -> None:
    """Ask until the last name is answered with its four addresses."""
    last = dns.message.make_query(name(ZONES - 1, NAMES_PER_ZONE - 1), "A")
    for _ in range(int(READY_WAIT_S / 0.05)):
        try:
            answer = dns.query.udp(last, "127.0.0.1", timeout=0.05, port=port)
        except (dns.exception.Timeout, OSError):
            continue
        if answer.answer and len(answer.answer[0]) == len(addresses(0)):
            return
    raise TimeoutError(f"no server on port {port} within {READY_WAIT_S} s")


def dnsperf(folder: Path, port: int, seconds: int, *options: str) -> str:
    """Run dnsperf on core 1 and return what it prints."""
    command = ["taskset", "-c", "1", "dnsperf", "-s", "127.0.0.1", "-p", str(port)]
    command += ["-d", str(folder / "queries"), "-T", "1", "-c", "1", "-q", "100"]
    command += ["-t", "2", "-l", str(seconds), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout


def cpu_s(pid: int) -> float:
    """The processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def saturated(folder: Path, port: int, pid: int, seconds: int) -> tuple[float, float]:
    """Answers a second with 100 questions open, and processor time an answer in us."""
    before_s = cpu_s(pid)
    printed = dnsperf(folder, port, seconds)
    used_s = cpu_s(pid) - before_s
    answered = re.search(r"NOERROR (\d+) \(100\.00%\)", printed)
    ran_s = re.search(r"Run time \(s\):\s+([\d.]+)", printed)
    if answered is None or ran_s is None:
        raise RuntimeError(f"not every answer was NOERROR:\n{printed}")
    count = int(answered[1])
    return count / float(ran_s[1]), used_s / count * 1e6


def paced_p99_ms(folder: Path, port: int, seconds: int) -> float:
    """The 99th percentile of the time to answer at a steady rate."""
    printed = dnsperf(folder, port, seconds, "-Q", str(PACED_QPS), "-v")
    times_s = [
        float(line.split()[-1])
        for line in printed.splitlines()
        if line.startswith("> NOERROR")
    ]
    return statistics.quantiles(times_s, n=100)[-1] * 1000


def measure(folder: Path, port: int, rounds: int, seconds: int) -> dict[str, object]:
    """Take turns between the servers, and take medians."""
    ours = [sys.executable, __file__, "--serve", str(port)]
    knot = ["knotd", "-c", str(folder / "knot.conf")]
    servers = {"ours": ours, "repointing": [*ours, "--repointing"], "knot": knot}
    runs: dict[str, list[tuple[float, float, float]]] = {
        server: [] for server in servers
    }
    for _ in range(rounds):
        for server, command in servers.items():
            with running(command, port) as pid:
                qps, cpu_us = saturated(folder, port, pid, seconds)
                p99_ms = paced_p99_ms(folder, port, seconds)
            runs[server].append((qps, p99_ms, cpu_us))
            print(
                f"{server:10} {qps:9,.0f} answers/s, {cpu_us:5.1f} us of processor an"
                f" answer, p99 {p99_ms:6.2f} ms",
                flush=True,
            )
    medians = {
        server: [statistics.median(column) for column in zip(*values, strict=True)]
        for server, values in runs.items()
    }
    results = {
        "ratio": medians["ours"][0] / medians["knot"][0],
        "p99_ms": medians["ours"][1],
        "p99_repointing_ms": medians["repointing"][1],
    }
    met = results["ratio"] >= GOALS["ratio"] and all(
        results[key] < GOALS[key] for key in ("p99_ms", "p99_repointing_ms")
    )
    return {"runs": runs, "medians": medians, **results, "goals": GOALS, "met": met}


def print_table(result: dict[str, object]) -> None:
    """Print each figure beside its goal."""
    print(f"\n{'figure':20}{'measured':>10}{'goal':>10}")
    for key, goal in GOALS.items():
        sign = ">=" if key == "ratio" else "<"
        print(f"{key:20}{result[key]:>10.2f}{sign:>6}{goal:>4}")


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main() -> int:
    """Measure, print a table, and write JSON if asked; 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--serve", type=int, metavar="PORT")
    parser.add_argument("--repointing", action="store_true")
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve, repointing=options.repointing))
    missing = [tool for tool in ("knotd", "dnsperf") if shutil.which(tool) is None]
    result: dict[str, object]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} not installed")
        result = {"skipped": missing}
    else:
        with tempfile.TemporaryDirectory() as folder:
            port = free_port()
            write_inputs(Path(folder), port)
            result = measure(Path(folder), port, options.rounds, options.seconds)
        print_table(result)
    if options.json is not None:
        options.json.write_text(json.dumps(result, indent=2))
    return 0 if result.get("met", True) else 1


if __name__ == "__main__":
    sys.exit(main())
