"""What drumjax never imports: TensorFlow, and anything that would run code out of a data file."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "drumjax"

EVERYTHING = """
import importlib, pkgutil
import drumjax
for module in pkgutil.walk_packages(drumjax.__path__, "drumjax."):
    importlib.import_module(module.name)
    print(module.name)
"""

PICKLES = {"pickle", "cPickle", "_pickle", "cloudpickle", "dill", "joblib", "marshal", "shelve"}


def test_everything_imports_without_tensorflow(tmp_path):
    """The TensorFlow on the path here ends the process.

    (To TFDS, sys.modules['tensorflow'] = None would mean that TensorFlow is loaded.)
    """
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('TensorFlow was imported')")
    command = [sys.executable, "-c", EVERYTHING]
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    files = {path.relative_to(PACKAGE.parent) for path in PACKAGE.rglob("*.py")}
    modules = {".".join(f.with_suffix("").parts) for f in files if f.name != "__init__.py"}
    assert modules <= set(done.stdout.split())


def unpickling(text: str) -> list[str]:
    """Imports of a pickle library, and calls that allow pickles or might."""
    found = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found += [a.name for a in node.names if a.name.split(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in PICKLES:
            found.append(node.module)
        elif isinstance(node, ast.Call):
            allowed = [k.value for k in node.keywords if k.arg == "allow_pickle"]
            found += [
                f"allow_pickle={ast.unparse(value)}"
                for value in allowed
                if not (isinstance(value, ast.Constant) and value.value is False)
            ]
    return found


def test_nothing_is_unpickled():
    files = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}
    found = {name: unpickling(path.read_text()) for name, path in files.items()}
    assert {name: what for name, what in found.items() if what} == {}


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("import pickle", 1),
        ("def f():\n    from joblib import load", 1),
        ("numpy.load(file, allow_pickle=True)", 1),
        ("numpy.load(file, allow_pickle=flag)", 1),
        ("numpy.load(file, allow_pickle=False)", 0),
        ("import json", 0),
    ],
)
def test_a_pickle_is_seen(text, count):
    assert len(unpickling(text)) == count
