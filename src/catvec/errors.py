"""Everything catvec raises or warns with.

Exception
└── CatvecError                 base class: catch this to catch all of ours
    ├── InputError              the user's data are at fault (a ValueError)
    │   └── CellTypeError       a cell holds something that is no category (also a TypeError)
    ├── ParameterError          a parameter is out of range or of the wrong type (a ValueError)
    ├── CategoryError           a category was asked for that is not known (a KeyError)
    ├── ArtifactError           a saved artifact cannot be written or read (a ValueError)
    │   └── ArtifactVersionError    it was written by a newer catvec
    ├── TrainingError           training broke down, for example a loss became infinite
    └── MissingDependencyError  an optional package is needed (an ImportError)
UserWarning
└── CatvecWarning               a sane result follows, but the user should know
"""

__all__ = [
    "ArtifactError",
    "ArtifactVersionError",
    "CategoryError",
    "CatvecError",
    "CatvecWarning",
    "CellTypeError",
    "InputError",
    "MissingDependencyError",
    "ParameterError",
    "TrainingError",
]


class CatvecError(Exception):
    """Base class of every error catvec raises on purpose."""


class InputError(CatvecError, ValueError):
    """The user's data are at fault; the message names the column, the values and the remedy."""


class CellTypeError(InputError, TypeError):
    """A cell holds an object that is neither text, number, boolean nor date."""


class ParameterError(CatvecError, ValueError):
    """A parameter has the wrong type or is out of range; the message says what was got."""


class CategoryError(CatvecError, KeyError):
    """A category was looked up that the column does not know."""

    def __str__(self) -> str:
        # KeyError shows the repr of its argument; a sentence should read as a sentence.
        return str(self.args[0]) if self.args else ""


class ArtifactError(CatvecError, ValueError):
    """A saved artifact cannot be written, or what lies there is damaged or foreign."""


class ArtifactVersionError(ArtifactError):
    """The artifact was written by a newer version of catvec than this one."""


class TrainingError(CatvecError, RuntimeError):
    """Training broke down; the message names the likely cause and the remedy."""


class MissingDependencyError(CatvecError, ImportError):
    """An optional package is needed; the message says how to install it."""


class CatvecWarning(UserWarning):
    """Something deserves attention although a sane result follows."""
