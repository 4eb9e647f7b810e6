"""The house: imports run one way, importing the package is light, and the map of the folders is true."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "gatewise"

ORDER = [  # each room may use the ones before it
    *(
        "errors",
        "_version",
        "ir",
        "cells",
        "plan",
        "backends",
        "checks",
        "nn",
        "measure",
        "tensorfile",
        "figure",
        "data",
        "training",
        "runtime",
        "inspect",
    ),
    *("modelfile", "tasks", "cli", "demo", "__main__"),
]


def imports(path: Path):
    """The rooms of this package that a file imports when it runs, wherever in the file the import stands."""
    package = path.relative_to(PACKAGE.parent).with_suffix("").parts
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level] if node.level else ()
            target = (*base, *(node.module or "").split(".")) if node.module else base
            if target[:1] == ("gatewise",):
                yield from ([target[1]] if len(target) > 1 else [a.name for a in node.names])
        elif isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "gatewise" and len(parts) > 1:
                    yield parts[1]


def test_imports_run_one_way():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        room = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for used in imports(path):
            if used in ORDER and ORDER.index(used) > ORDER.index(room):
                wrong.append(f"{path.relative_to(ROOT)} uses {used}")
    assert wrong == []


def test_every_room_is_in_the_order():
    rooms = {p.name.removesuffix(".py") for p in PACKAGE.iterdir() if p.name != "__pycache__"}
    assert rooms - set(ORDER) == {"__init__"}


def test_the_map_names_every_folder_and_no_other():
    text = (ROOT / "docs" / "layout.md").read_text()
    named = set(re.findall(r"`((?:src/gatewise|tests|benchmarks|docs|scripts|examples)[\w/.]*)`", text))
    missing = [n for n in named if not (ROOT / n).exists()]
    assert missing == []
    folders = {f"src/gatewise/{p.name}/" for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders <= {n if n.endswith("/") else n + "/" for n in named}
