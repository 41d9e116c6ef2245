"""How loops are compiled, and the constants they share; the only file that imports numba.

What to keep in mind in these: a bare 0.1 is a double and would make the loop one, so constants are
float32; a product of two uint32 is a uint64 and has to be cut back; there are no bounds checks, so
codes are checked before; `fastmath=True` would break isnan, so its harmless parts are named one by
one. Nothing is cached on disk: numba's cache outlives upgrades of the code.

Two things make the tables fast, five times together. Short loops over flat arrays with unsigned
indices: a signed one might be negative and wrap, which keeps the loop from using wide registers.
And one loop that reads an element of each row before the rows are worked on: its reads do not wait
for each other, so that a batch pays for a few misses of the processor's cache, not for each.
"""

from __future__ import annotations

from typing import Any

import numba
import numpy as np

_OPTIONS: dict[str, Any] = {
    "cache": False,
    "nogil": True,
    "no_cfunc_wrapper": True,  # nobody calls the loops from C; a tenth of the compiling saved
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "error_model": "numpy",
}
compiled: Any = numba.njit(**_OPTIONS)

ZERO, UNIT = np.float32(0.0), np.float32(1.0)
TINY = np.float32(1e-10)
Index = np.uint64
