"""How loops are compiled and kept, and the constants they share; the only file that imports numba.

What to keep in mind in these: a bare 0.1 is a double and would make the loop one, so constants are
float32; a product of two uint32 is a uint64 and has to be cut back; there are no bounds checks, so
codes are checked before; `fastmath=True` would break isnan, so its harmless parts are named one by
one.

Two things make the tables fast, five times together. Short loops over flat arrays with unsigned
indices: a signed one might be negative and wrap, which keeps the loop from using wide registers.
And one loop that reads an element of each row before the rows are worked on: its reads do not wait
for each other, so that a batch pays for a few misses of the processor's cache, not for each.

Compiling takes some ten seconds, longer than all the rest of a fit to a small table. So loops are
kept where numba keeps such things (beside the code, in ``__pycache__``, else in the user's
cache; or in ``NUMBA_CACHE_DIR``), and read in a third of a second by the next process.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba.core.caching import FunctionCache

_OPTIONS: dict[str, Any] = {
    "nogil": True,
    "no_cfunc_wrapper": True,  # nobody calls the loops from C; a tenth of the compiling saved
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "error_model": "numpy",
}

ZERO, UNIT = np.float32(0.0), np.float32(1.0)
TINY = np.float32(1e-10)
Index = np.uint64


class _Kept(FunctionCache):
    """The loops of one function on disk, by the types of their arguments.

    numba's own cache would outlive an upgrade that changes the options or the constants above, or
    a loop that is part of another file's; would end a fit where the disk is full; and two processes
    that compile the same function for different types at the same moment might leave one's loop
    under the other's types.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)
        own = Path(inspect.getfile(function)).read_bytes()
        self._made_of = hashlib.sha256(_all_loops(Path(__file__).parent) + own).hexdigest()

    def _index_key(self, types: Any, codegen: Any) -> tuple[Any, ...]:
        return (*super()._index_key(types, codegen), self._made_of)

    def load_overload(self, types: Any, target_context: Any) -> Any:
        try:
            found = super().load_overload(types, target_context)
        except Exception:  # whatever is wrong with a file, the loop can be compiled
            with suppress(OSError):
                self.flush()
            return None
        return found if found is not None and found.signature.args == tuple(types) else None

    def save_overload(self, types: Any, loop: Any) -> None:
        with suppress(OSError):
            super().save_overload(types, loop)


@cache
def _all_loops(package: Path) -> bytes:
    """What stands for all files with loops: they are made of each other's, and of constants."""
    sources = sorted({*package.rglob("*_numba*.py"), *package.rglob("_kernels*.py")})
    return hashlib.sha256(b"".join(file.read_bytes() for file in sources)).digest()


def inlined(function: Callable[..., Any]) -> Any:
    """A piece of loops, or a loop as a piece of longer ones, compiled into each that calls it.

    Were it called, a loop that was compiled just now would call the piece's own machine code, and
    one that was read from disk the copy it brings along, whose sums may be in another order.
    """
    function = getattr(function, "py_func", function)
    return numba.njit(**_OPTIONS, forceinline=True)(function)


def spliced(function: Callable[..., Any]) -> Any:
    """A part of a long loop, copied into it before anything is compiled.

    As `inlined` does, but that compiles what is long twice.
    """
    return numba.njit(**_OPTIONS, inline="always")(function)


def compiled(function: Callable[..., Any]) -> Any:
    """The loop in machine code, once it is called; kept for the next process where it can be."""
    loop = numba.njit(**_OPTIONS)(function)
    with suppress(RuntimeError, OSError):  # no folder that could be written to
        loop._cache = _Kept(function)
    return loop
