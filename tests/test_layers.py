"""The house keeps its shape: who imports whom, sizes of files and functions, docstrings."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "drumjax"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up; an import may only point to a lower line or stay in its own room. A tuple is
# one room: what is in it may import each other. Rooms that share a line are strangers.
LAYERS: list[list[tuple[str, ...]]] = [
    [
        (
            "__init__",
            "errors",
            "atomic",
            "lock",
            "integrity",
            "rng",
            "trees",
            "categories",
            "instruments",
        )
    ],
    [("audio",)],
    [("synth",)],
    [("data",)],
    [("nn",)],
    [("models",)],
    [("training",)],
    [("play",), ("export",), ("evals",)],
    [("studio",), ("library",)],
    [("train", "__main__", "commands", "benchmarks")],
]
PLACES = {name: (i, room) for i, line in enumerate(LAYERS) for room in line for name in room}

ONLY_IN = {"orbax": "training/checkpoint.py", "tensorflow_datasets": "data/builder.py"}

MAX_FILE, MAX_FUNCTION = 500, 60  # lines; of a function, its body with the docstring


def ids(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST, path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of every import, at whatever depth; `from a import b` gives a.b."""
    package = ("drumjax", *path.relative_to(PACKAGE).parts[:-1])
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) + 1 - node.level] if node.level else ()
            base = (*base, *(node.module.split(".") if node.module else ()))
            yield from ((node.lineno, ".".join((*base, alias.name))) for alias in node.names)


def room_of(dotted: str) -> str:
    """The room that drumjax.room.… names; what the package itself holds is in __init__."""
    part = dotted.split(".")[1] if "." in dotted else "__init__"
    known = part in PLACES or (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file()
    return part if known else "__init__"


def wrong_imports(text: str, path: Path) -> list[str]:
    """What a file imports from its own line, from above, or from a room without a place."""
    parts = path.relative_to(PACKAGE).parts
    own = parts[0].removesuffix(".py")
    wrong = []
    for line, name in imports(ast.parse(text), path):
        if name.split(".")[0] != "drumjax":
            continue
        target = room_of(name)
        (from_line, room), (to_line, _) = PLACES[own], PLACES[target]
        if target not in room and to_line >= from_line:
            wrong.append(f"{ids(path)}:{line} imports {name}")
    return wrong


def test_every_room_has_a_place():
    rooms = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert rooms <= set(PLACES), "add the new room to LAYERS, at its line"


def test_imports_point_downwards():
    assert [wrong for path in FILES for wrong in wrong_imports(path.read_text(), path)] == []


@pytest.mark.parametrize(
    ("path", "text", "wrong"),
    [
        ("nn/a.py", "from drumjax.models.cwae import Cwae", True),
        ("nn/a.py", "from drumjax import models", True),
        ("nn/a.py", "def f():\n    import drumjax.training.state", True),
        ("nn/a.py", "from ..models import cwae", True),
        ("nn/a.py", "from .mmd import mmd2", False),
        ("nn/a.py", "from drumjax.errors import ConfigError", False),
        ("nn/a.py", "from drumjax import __version__", False),
        ("play/a.py", "from drumjax.evals import report", True),
        ("errors.py", "from drumjax.categories import CATEGORIES", False),
        ("audio/a.py", "import drumjax.train", True),
        ("commands/a.py", "from drumjax import train", False),
    ],
)
def test_a_wrong_import_is_seen(path, text, wrong):
    assert bool(wrong_imports(text, PACKAGE / path)) == wrong


@pytest.mark.parametrize("library", ONLY_IN)
def test_one_file_alone_imports(library):
    found = {
        ids(path)
        for path in FILES
        for _, name in imports(ast.parse(path.read_text()), path)
        if name.split(".")[0] == library
    }
    assert found == {ONLY_IN[library]}


@pytest.mark.parametrize("module", ["drumjax", "drumjax.__main__"])
def test_importing_the_package_imports_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted({{n.split('.')[0] for n in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert "drumjax" in loaded
    assert not loaded & {"jax", "jaxlib", "flax", "numpy", "scipy", "absl", "soundfile"}


def sizes(text: str) -> dict[tuple[str, int], int]:
    """(name, line) of each function → lines of its body; methods may share a name."""
    return {
        (node.name, node.lineno): (node.end_lineno or 0) - node.body[0].lineno + 1
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_sizes(path):
    text = path.read_text()
    assert len(text.splitlines()) <= MAX_FILE
    assert {place: n for place, n in sizes(text).items() if n > MAX_FUNCTION} == {}


def test_functions_of_one_name_are_measured_apart():
    text = (
        "class A:\n    def f(self):\n        1\n        2\nclass B:\n    def f(self):\n        1\n"
    )
    assert sizes(text) == {("f", 2): 2, ("f", 6): 1}


def undocumented(node: ast.Module | ast.ClassDef) -> Iterator[str]:
    """Public functions and classes without a docstring, and such methods of public classes."""
    for child in node.body:
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not child.name.startswith("_"):
            if ast.get_docstring(child) is None:
                yield child.name
            if isinstance(child, ast.ClassDef):
                yield from undocumented(child)


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_docstrings(path):
    tree = ast.parse(path.read_text())
    assert not tree.body or ast.get_docstring(tree), "say the file's purpose in its first line"
    assert list(undocumented(tree)) == []


def test_a_missing_docstring_is_seen():
    tree = ast.parse("class A:\n    '''A.'''\n    def f(self): ...\n    def _g(self): ...\n")
    assert list(undocumented(tree)) == ["f"]
