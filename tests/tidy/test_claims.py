"""What the code says of its safeguards and its tests is so."""

import ast
import re
from collections.abc import Iterator
from functools import cache

from tests.tidy.sources import (
    PYTHON,
    ROOT,
    SOURCES,
    Finding,
    Source,
    demand,
    is_product,
    lines_found,
)
from tests.tidy.test_purity import PURE_FILE

# Spelled in parts, so that this file claims nothing.
CLAIM = re.compile(
    r"(?:Enforced|Tested)" + r" by:?[\s#/`]*(?:(tests/[\w/]+\.py)(?:::(\w+))?)?"
)


@cache
def names_in(path: str) -> frozenset[str]:
    """The tests of a file; a class counts, as does a state machine's test case."""
    file = ROOT / path
    if not file.is_file():
        return frozenset()
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                names.add(name)
    return frozenset(name for name in names if name.lower().startswith("test"))


def false_claims(source: Source) -> Iterator[Finding]:
    for claim in CLAIM.finditer(source.text):
        line = source.text.count("\n", 0, claim.start()) + 1
        path, test = claim.groups()
        if path is None:
            yield Finding(source.path, line, "the claim names no test")
        elif not names_in(path):
            yield Finding(source.path, line, f"there are no tests in {path}")
        elif test is not None and test not in names_in(path):
            yield Finding(source.path, line, f"there is no {path}::{test}")


def safeguards_of(source: Source) -> dict[str, tuple[int, str]]:
    """Each field of a file's `Safeguards`: its line and its docstring."""
    fields: dict[str, tuple[int, str]] = {}
    for node in ast.walk(source.tree):
        if isinstance(node, ast.ClassDef) and node.name == "Safeguards":
            for field, after in zip(node.body, [*node.body[1:], None], strict=True):
                match field, after:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(text))),
                    ):
                        fields[name] = field.lineno, text
                    case ast.AnnAssign(target=ast.Name(id=name)), _:
                        fields[name] = field.lineno, ""
    return fields


def undocumented_safeguards(source: Source) -> Iterator[Finding]:
    for name, (line, text) in safeguards_of(source).items():
        for needed in (r"Answers\s+R\d+", "Without it", CLAIM.pattern):
            if not re.search(needed, text):
                wrong = f"{name}: what it answers, what breaks without it, its test"
                yield Finding(source.path, line, wrong)
                break


def reads_of(field: str, source: Source) -> list[int]:
    return [
        node.lineno
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr == field
        and isinstance(node.ctx, ast.Load)
    ]


def is_judge(source: Source) -> bool:
    """Whether the file says what to expect of safeguards, rather than act on them."""
    return source.path.startswith("staleplan/drills/")


def misread_safeguards(declared: Source, product: list[Source]) -> Iterator[Finding]:
    """Each is read once, by what decides in the same service: its core in most."""
    folder = declared.path.removesuffix("safeguards.py")
    for name, (line, _) in safeguards_of(declared).items():
        reads = [
            (source.path, read) for source in product for read in reads_of(name, source)
        ]
        if len(reads) != 1 or not decides(reads[0][0], folder):
            places = [f"{path}:{read}" for path, read in reads] or "no place"
            wrong = f"{name} is read at {places}, not once, in a core of {folder}"
            yield Finding(declared.path, line, wrong)


def decides(path: str, folder: str) -> bool:
    return path.startswith(folder) and PURE_FILE.fullmatch(path) is not None


SAFEGUARDS = [s for s in PYTHON if is_product(s) and safeguards_of(s)]
SAMPLE = '''class Safeguards:
    pause: bool
    """Stop. Answers R23. Without it nothing stops. {claim}."""
'''
GOOD_CLAIM = f"Tested{' by'} tests/tidy/test_claims.py::test_claimed_tests_exist"


def test_claimed_tests_exist() -> None:
    demand(false_claims, SOURCES)


def test_false_claims_are_found() -> None:
    claim = "Enforced" + " by"
    here = "tests/tidy/test_claims.py"
    assert lines_found(false_claims, f"\n# {GOOD_CLAIM}\n# {claim}: {here}.\n") == []
    assert lines_found(false_claims, f"\n# {claim}: {here}::test_no_such\n") == [2]
    assert lines_found(false_claims, f"\n# {claim}:\n# {here}::names_in\n") == [2]
    assert lines_found(false_claims, f"\n# {claim}: tests/no_such.py\n") == [2]
    assert lines_found(false_claims, f"\n# {claim} hand\n") == [2]


def test_safeguards_are_documented() -> None:
    assert {source.path for source in SAFEGUARDS} >= {
        "dwfm/safeguards.py",
        "enactor/safeguards.py",
        "planner/safeguards.py",
    }
    demand(undocumented_safeguards, SAFEGUARDS)


def test_an_undocumented_safeguard_is_found() -> None:
    good = SAMPLE.format(claim=GOOD_CLAIM)
    assert lines_found(undocumented_safeguards, good) == []
    for missing in ("Answers R23", "Without it", GOOD_CLAIM):
        assert lines_found(undocumented_safeguards, good.replace(missing, "")) == [2]
    assert lines_found(undocumented_safeguards, good.split('"""')[0]) == [2]


def test_each_safeguard_is_read_at_one_place() -> None:
    product = [s for s in PYTHON if is_product(s) and not is_judge(s)]
    demand(lambda s: misread_safeguards(s, product), SAFEGUARDS)


def test_a_misread_safeguard_is_found() -> None:
    declared = Source("nlb/safeguards.py", SAMPLE)
    core = Source("nlb/core.py", "def f(safeguards):\n    return safeguards.pause\n")
    driver = Source("nlb/driver.py", core.text)

    def lines(*product: Source) -> list[int]:
        return [f.line for f in misread_safeguards(declared, list(product))]

    assert lines(core) == []
    assert lines() == [2]
    assert lines(driver) == [2]
    assert lines(core, driver) == [2]
