"""What is public, and that each public thing is documented: pinned here, changed on purpose."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator

import pytest

import catvec
from catvec import errors

PUBLIC = [
    "CategoryVectors",
    "EmbeddingClassifier",
    "EmbeddingEncoder",
    "EmbeddingPretrainer",
    "EmbeddingRegressor",
    "suggest_dims",
]
ERRORS = [
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


def test_public_names_are_pinned():
    assert catvec.__all__ == PUBLIC
    assert errors.__all__ == ERRORS


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_load_and_are_listed(name):
    assert getattr(catvec, name).__name__ == name
    assert name in dir(catvec)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'catvec' has no attribute 'Encoder'"):
        catvec.Encoder  # noqa: B018


def test_every_error_is_caught_by_the_base_class():
    classes = [getattr(errors, name) for name in errors.__all__]
    assert all(issubclass(c, errors.CatvecError | errors.CatvecWarning) for c in classes)
    assert all(c.__doc__ for c in classes)


# Docstrings ---------------------------------------------------------------------------------


def sections(thing: object) -> dict[str, str]:
    """The numpydoc sections of a docstring, by title; "" holds what comes before the first."""
    parts = re.split(r"^(\w[\w ]*)\n-+$\n?", inspect.getdoc(thing) or "", flags=re.MULTILINE)
    return {"": parts[0].strip(), **dict(zip(parts[1::2], parts[2::2], strict=True))}


def documented(section: str) -> set[str]:
    """The names a Parameters section describes: `a, b : int` describes two, `*args` args."""
    heads = re.findall(r"^(\*{0,2}\w[\w, *]*?)(?: ?:.*)?$", section, flags=re.MULTILINE)
    return {name.strip(" *") for head in heads for name in head.split(",")}


def parameters(function: object) -> set[str]:
    return set(inspect.signature(function).parameters) - {"self", "cls"}


def raises(function: object) -> bool:
    """Whether the function's own body has a `raise` with an error (not a bare re-raise)."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    return any(isinstance(node, ast.Raise) and node.exc is not None for node in ast.walk(tree))


def returns(function: object) -> bool:
    return inspect.signature(function).return_annotation not in (
        None,
        "None",
        inspect.Signature.empty,
    )


def faults(function: object) -> list[str]:
    """What the docstring of a function or method owes its reader."""
    found = sections(function)
    undescribed = parameters(function) - documented(found.get("Parameters", ""))
    owed = {
        "no docstring": not found[""],
        f"Parameters lacks {sorted(undescribed)}": bool(undescribed),
        "no Returns": returns(function) and not {"Returns", "Yields"} & set(found),
        "no Raises": raises(function) and "Raises" not in found,
    }
    return [fault for fault, holds in owed.items() if holds]


def ours(thing: object) -> bool:
    return str(getattr(thing, "__module__", "")).split(".")[0] == "catvec"


def members(cls: type) -> Iterator[tuple[str, object]]:
    """Public methods and properties of a class that catvec wrote, inherited ones included."""
    for name in dir(cls):
        member = inspect.getattr_static(cls, name)
        if isinstance(member, classmethod | staticmethod):
            member = member.__func__
        function = member.fget if isinstance(member, property) else member
        if not name.startswith("_") and inspect.isfunction(function) and ours(function):
            yield name, member if isinstance(member, property) else inspect.unwrap(function)


def handed_out(cls: object) -> set[type]:
    """Classes of ours that a function, or methods and properties of a class, say they return."""
    functions = [getattr(member, "fget", member) for _, member in members(cls)]
    functions += [cls] if inspect.isfunction(cls) else []
    special = [f for name, f in vars(cls).items() if name.startswith("__")]  # such as __getitem__
    functions += [f for f in special if inspect.isfunction(f) and ours(f)]
    named = [(f, f.__annotations__.get("return")) for f in functions]
    found = [f.__globals__.get(hint, hint) if isinstance(hint, str) else hint for f, hint in named]
    return {hint for hint in found if inspect.isclass(hint) and ours(hint)}


def public_classes() -> list[type]:
    named = [getattr(catvec, name) for name in PUBLIC]
    found = {cls for public in named for cls in {public, *handed_out(public)}}
    found -= {public for public in named if inspect.isfunction(public)}
    return sorted(found, key=lambda cls: cls.__name__)


def members_of_all() -> list[tuple[type, str, object]]:
    return [(cls, name, member) for cls in public_classes() for name, member in members(cls)]


def test_every_public_class_describes_its_parameters():
    for cls in public_classes():
        found = sections(cls)
        assert found[""], cls.__name__
        described = documented(found.get("Parameters", ""))
        if cls.__name__ in PUBLIC and cls.__name__.startswith("Embedding"):
            assert parameters(cls.__init__) <= described, cls.__name__


def test_every_public_function_is_documented():
    functions = [public for name in PUBLIC if inspect.isfunction(public := getattr(catvec, name))]
    assert {f.__name__: faults(f) for f in functions} == {"suggest_dims": []}


def test_every_public_method_is_documented():
    owed = {
        f"{cls.__name__}.{name}": faults(member)
        for cls, name, member in members_of_all()
        if not isinstance(member, property)
    }
    assert {name: found for name, found in owed.items() if found} == {}


def test_every_public_property_is_documented():
    bare = [
        f"{cls.__name__}.{name}"
        for cls, name, member in members_of_all()
        if isinstance(member, property) and not inspect.getdoc(member)
    ]
    assert bare == []


def test_the_check_finds_what_is_owed():
    def bare(x, *, y) -> int:
        raise ValueError(x, y)

    def whole(x, y) -> int:
        """Add two numbers.

        Parameters
        ----------
        x, y : int
            What to add.

        Returns
        -------
        int
            The sum.
        """

    assert faults(bare) == [
        "no docstring",
        "Parameters lacks ['x', 'y']",
        "no Returns",
        "no Raises",
    ]
    assert faults(whole) == []
