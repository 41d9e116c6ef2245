"""Reads a script without running it: whether what it says of the library is so."""

import ast
import importlib
import importlib.util
import inspect
from collections.abc import Iterator
from typing import Any


def check_script(text: str, name: str) -> None:
    """It compiles, its imports are there, and calls of ours name parameters that are."""
    tree = compile(text, name, "exec", ast.PyCF_ONLY_AST)
    for function, call in _called(tree, _imported(tree)):
        if not getattr(function, "__module__", "").startswith("catvec"):
            continue
        known = inspect.signature(function).parameters
        given = {keyword.arg for keyword in call.keywords} - {None}
        takes_any = any(p.kind is p.VAR_KEYWORD for p in known.values())
        assert takes_any or given <= set(known), ast.unparse(call)


def _imported(tree: ast.Module) -> dict[str, Any]:
    """What the imports of a script bring, by the name it has there."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                found[name.asname or name.name] = importlib.import_module(name.name)
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                found[name.asname or name.name] = _member(node.module or "", name.name)
    return found


def _member(module: str, name: str) -> Any:
    owner = importlib.import_module(module)
    if not hasattr(owner, name) and importlib.util.find_spec(f"{module}.{name}"):
        return importlib.import_module(f"{module}.{name}")
    return getattr(owner, name)


def _called(tree: ast.Module, names: dict[str, Any]) -> Iterator[tuple[Any, ast.Call]]:
    """The calls of what was imported: ``name(...)`` and ``name.attribute(...)``."""
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        function = call.func
        if isinstance(function, ast.Name) and function.id in names:
            yield names[function.id], call
        elif isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name):
            if function.value.id in names:
                yield getattr(names[function.value.id], function.attr), call
