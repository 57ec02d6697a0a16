"""Sizes, and words that have no place in the project."""

import ast
import re
from collections.abc import Iterator

from tests.tidy.sources import SOURCES, Finding, Source, demand, lines_found

MAX_FUNCTION_LINES = 70
MAX_FILE_LINES = 400
MAX_CORE_LINES = 250
FACTS = range(1, 50)
"""The record's facts, R1 to R49."""

# Spelled in parts, so that this file does not break its own rules.
UNDONE = "TO" + "DO|FIX" + "ME"
UNCODED = "# type: " + "ignore"
HOSTS = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("registry", "npmjs"),
    ("proxy", "golang"),
    ("crates", "io"),
)
SCRATCH = ("/" + "work", "shared" + "/")

BANNED = {
    rf"\b({UNDONE})\b": "do it, or leave it out",
    rf"{UNCODED}(?!\[)": "name the code of the error that is ignored",
    "|".join(re.escape(".".join(host)) for host in HOSTS): "a package index's name",
    rf"(?<!\w){SCRATCH[0]}(?!\w)|\b{SCRATCH[1]}": "a path outside the project",
}


def small_functions(source: Source) -> Iterator[Finding]:
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            count = (node.end_lineno or node.lineno) - node.lineno + 1
            if count > MAX_FUNCTION_LINES:
                wrong = f"{node.name} has {count} lines, over {MAX_FUNCTION_LINES}"
                yield Finding(source.path, node.lineno, wrong)


def small_files(source: Source) -> Iterator[Finding]:
    is_core = source.path.endswith("/core.py")
    limit = MAX_CORE_LINES if is_core else MAX_FILE_LINES
    count = len(source.text.splitlines())
    if count > limit:
        yield Finding(source.path, count, f"{count} lines, over {limit}")


def no_banned_words(source: Source) -> Iterator[Finding]:
    for number, line in source.lines:
        for pattern, wrong in BANNED.items():
            if found := re.search(pattern, line):
                yield Finding(source.path, number, f"{found.group()!r}: {wrong}")


def known_facts(source: Source) -> Iterator[Finding]:
    for number, line in source.lines:
        for fact in re.findall(r"\bR(\d+)\b", line):
            if int(fact) not in FACTS:
                wrong = f"R{fact}: the record has R1 to R{FACTS[-1]}"
                yield Finding(source.path, number, wrong)


def test_functions_are_small() -> None:
    demand(small_functions)


def test_a_large_function_is_found() -> None:
    def function(lines: int) -> str:
        return "x = 1\nasync def f():\n" + "    pass\n" * (lines - 1)

    assert lines_found(small_functions, function(70)) == []
    assert lines_found(small_functions, function(71)) == [2]


def test_files_are_small() -> None:
    demand(small_files)


def test_a_large_file_is_found() -> None:
    assert lines_found(small_files, "\n" * 400) == []
    assert lines_found(small_files, "\n" * 401) == [401]
    assert lines_found(small_files, "\n" * 250, "planner/core.py") == []
    assert lines_found(small_files, "\n" * 251, "planner/core.py") == [251]


def test_no_word_is_out_of_place() -> None:
    demand(no_banned_words, SOURCES)


def test_each_banned_word_is_found() -> None:
    words = (
        *UNDONE.split("|"),
        UNCODED,
        *(".".join(host) for host in HOSTS),
        f"cd {SCRATCH[0]}/main",
        f"see {SCRATCH[1]}NOTES",
    )
    for word in words:
        assert lines_found(no_banned_words, f"fine\n{word}\n") == [2], word
    fine = f"{UNCODED}[arg-type]\ndocs{SCRATCH[0]}flow\nrework/work_queue\n"
    assert lines_found(no_banned_words, fine) == []


def test_cited_facts_are_in_the_record() -> None:
    demand(known_facts, SOURCES)


def test_a_fact_that_is_not_in_the_record_is_found() -> None:
    made_up = "Source: R" + "50."
    assert lines_found(known_facts, f"Source: R1, R49.\n{made_up}\n") == [2]
