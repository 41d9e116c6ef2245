"""Whose loops train: NumPy's, always there, numba's, once compiled, or those of PyTorch."""

from __future__ import annotations

import logging
from functools import cache
from importlib.util import find_spec
from types import ModuleType

from catvec._checks import check_option
from catvec.errors import MissingDependencyError
from catvec.network import _kernels
from catvec.network._step import Step

__all__ = ["ENGINES", "choose_engine", "load_kernels", "load_step"]

logger = logging.getLogger(__name__)

ENGINES = ("auto", "numpy", "numba", "torch")
"""What `choose_engine` takes."""

ROW_EPOCHS_TO_COMPILE = 150_000
"""Rows times epochs (times networks) from which loops pay that are compiled and kept; empirical.
The first fit of all, which compiles them for ten seconds, pays from about three times as many."""

LOOKS_TO_COMPILE = 15_000
"""Steps times tables from which compiling pays, however few rows the steps have: NumPy takes 80 to
200 microseconds for the rows that a step looks at in a table. Empirical, on 26 and 45 columns."""


def choose_engine(engine: str, row_epochs: float, looks: float = 0) -> str:
    """The engine of a fit, decided once.

    Parameters
    ----------
    engine : {"auto", "numpy", "numba", "torch"}
        "auto" takes numba where it is installed and the fit is long enough to pay for compiling.
    row_epochs : float
        Rows times epochs times networks of the whole fit.
    looks : float, default=0
        Its steps times its tables.

    Returns
    -------
    str
        "numpy", "numba" or "torch".

    Raises
    ------
    ParameterError
        If `engine` is none of these.
    MissingDependencyError
        If numba or torch is asked for and not installed.
    """
    check_option("engine", engine, ENGINES)
    for needed, extra in (("numba", "fast"), ("torch", "torch")):
        if engine == needed and not _found(needed):
            raise MissingDependencyError(
                f"the engine {needed!r} needs {needed}: pip install 'catvec[{extra}]'"
                " (or engine='auto')"
            )
    if engine == "auto":
        is_long = row_epochs >= ROW_EPOCHS_TO_COMPILE or looks >= LOOKS_TO_COMPILE
        engine = "numba" if is_long and _found("numba") else "numpy"
        if is_long and engine == "numpy":
            _say_numba_is_missing()
    logger.info("engine %s for about %.2g row-epochs", engine, row_epochs)
    return engine


def load_kernels(engine: str) -> ModuleType:
    """The module with the loops of an engine; numba is imported here at the earliest.

    What little a training by "torch" leaves to loops of ours are NumPy's.
    """
    if engine != "numba":
        return _kernels
    from catvec.network import _kernels_numba

    return _kernels_numba


def load_step(engine: str) -> type[Step]:
    """Who takes the steps of an engine; numba is imported here at the earliest."""
    if engine != "numba":
        return Step
    from catvec.network._compiled_step import CompiledStep

    return CompiledStep


def _found(package: str) -> bool:
    return find_spec(package) is not None


@cache
def _say_numba_is_missing() -> None:
    """Once in a process; `cache` remembers that it was said."""
    logger.warning("numba is not installed: training takes longer (pip install 'catvec[fast]')")
