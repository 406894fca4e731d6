"""Programs in Python, as the command runs and checks them."""

from __future__ import annotations

import ast
import importlib
import os
import sys
import traceback
from typing import Iterator, List, NoReturn, Union

_Import = Union[ast.Import, ast.ImportFrom]


def is_program(file: str) -> bool:
    """Whether a file is a program in Python, and no script of SQL."""
    return file.endswith(".py")


def run(file: str, arguments: List[str]) -> NoReturn:
    """Becomes the program."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, file, *arguments])


def check(file: str) -> List[str]:
    """What is wrong with a program, as far as that shows without running it: that it cannot be read, its syntax, and what it imports that is not
    there. Modules that it imports are loaded; the program itself is not."""
    try:
        with open(file, "rb") as opened:
            text = opened.read()
    except OSError as error:
        return [f"the program {file} cannot be read: {error.strerror}\n  next: name a file in Python"]
    try:
        compile(text, file, "exec", dont_inherit=True)
        tree = ast.parse(text, file)
    except (SyntaxError, ValueError) as error:
        return ["".join(traceback.format_exception_only(type(error), error)).strip()]
    sys.path.insert(0, os.path.dirname(os.path.abspath(file)))
    try:
        found = [mistake for node in _imports(tree.body) for mistake in _mistakes_of(node, file)]
    finally:
        del sys.path[0]
    return list(dict.fromkeys(found))


def _imports(body: List[ast.stmt]) -> Iterator[_Import]:
    """What statements import, those of functions included; not where the program expects that it may fail, and not for types only."""
    for node in body:
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            yield node
        elif isinstance(node, ast.Try) and node.handlers:
            yield from _imports(node.finalbody)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _imports(node.orelse)
        else:
            for name in ("body", "orelse", "finalbody"):
                inner = getattr(node, name, None)
                if isinstance(inner, list):
                    yield from _imports(inner)


def _mistakes_of(node: _Import, file: str) -> Iterator[str]:
    """Why an import fails; nothing if it does not."""
    try:
        if isinstance(node, ast.Import):
            for name in node.names:
                importlib.import_module(name.name)
        elif node.level:
            raise ImportError("a program is no package, so it has nothing to import from itself")
        else:
            _import_from(node.module or "", [name.name for name in node.names])
    except Exception as error:  # a module may raise anything
        module = (node.names[0].name if isinstance(node, ast.Import) else node.module) or ""
        yield f"{file}:{node.lineno}: `{ast.unparse(node)}` fails: {type(error).__name__}: {error}{_next_step(error, module)}"


def _import_from(module: str, names: List[str]) -> None:
    imported = importlib.import_module(module)
    for name in names:
        if name == "*" or hasattr(imported, name):
            continue
        try:
            importlib.import_module(f"{module}.{name}")
        except ModuleNotFoundError:
            raise ImportError(f"cannot import name '{name}' from '{module}'") from None


def _next_step(error: Exception, module: str) -> str:
    if "next: " in str(error):
        return ""
    if module.split(".")[0] == "pyspark":
        return "\n  next: write `tidegate.pyspark` in place of `pyspark`"
    if module.split(".")[0] == "tidegate":
        return "\n  next: correct the name; docs/python.md lists what the package has"
    if isinstance(error, ModuleNotFoundError):
        return "\n  next: install it where the program runs; in an image: `FROM` that of tidegate, and `RUN pip install ..` (docs/python.md)"
    return ""
