"""Which catvec is measured: the commit, and the state of its code."""

from __future__ import annotations

import ast
import hashlib
import subprocess
from pathlib import Path

import catvec


def commit() -> str:
    """The commit that is checked out, with a + if there are changes beside it."""
    root = Path(__file__).resolve().parents[1]

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()

    changed = git("status", "--porcelain", "--", "src", "benchmarks/*.py")
    return (git("rev-parse", "--short", "HEAD") or "none") + ("+" if changed else "")


def state_of_code() -> str:
    """A name for what catvec does: changes with its code, not with comments and docstrings."""
    folder = Path(catvec.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        if path.relative_to(folder).parts[0] in ("cli", "demo.py"):
            continue
        tree = ast.parse(path.read_bytes())
        for node in ast.walk(tree):
            body = getattr(node, "body", None)
            if isinstance(body, list) and body and _is_text(body[0]):
                del body[0]
        digest.update(ast.dump(tree).encode())
    return digest.hexdigest()[:8]


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
