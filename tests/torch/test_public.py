"""What `catvec.torch` offers, that each thing is documented, and what is said without PyTorch."""

import inspect
import subprocess
import sys

import pytest
import torch

import catvec.torch
from tests.test_public_api import documented, faults, members, parameters, sections

PUBLIC = [
    "CategoryEmbedding",
    "CategoryEmbeddings",
    "EstimatorModule",
    "HashEmbedding",
    "KnotEmbedding",
    "NetworkModule",
    "PairwiseInteraction",
    "QuotientRemainderEmbedding",
    "RegularizedEmbedding",
    "RowwiseAdagrad",
    "TabularEmbeddingModel",
    "TorchBackend",
    "from_estimator",
    "parameter_groups",
    "to_estimator",
    "to_vectors",
]
THINGS = [getattr(catvec.torch, name) for name in PUBLIC]
MODULES = [t for t in THINGS if inspect.isclass(t) and issubclass(t, torch.nn.Module)]
FUNCTIONS = [t for t in THINGS if inspect.isfunction(t)]
OF_EVERY_MODULE = {"forward", "extra_repr", "reset_parameters"}  # their Shape is the class's


def test_public_names_are_pinned():
    assert catvec.torch.__all__ == PUBLIC


@pytest.mark.parametrize("cls", MODULES)
def test_every_module_says_its_shapes_and_its_parameters(cls):
    found = sections(cls)
    assert {"Input:", "Output:"} <= set(found["Shape"].split())
    named = parameters(cls.__init__) - {"estimator", "args", "kwargs"}
    assert named <= documented(found.get("Parameters", "")), cls.__name__


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_function_is_documented(function):
    assert faults(function) == []


@pytest.mark.parametrize("cls", MODULES)
def test_every_method_is_documented(cls):
    owed = {
        name: faults(member)
        for name, member in members(cls)
        if not isinstance(member, property) and name not in OF_EVERY_MODULE
    }
    assert {name: found for name, found in owed.items() if found} == {}


WITHOUT = """
import sys
sys.meta_path.insert(0, type("Finder", (), {"find_spec": staticmethod(blocked)})())
import importlib.util
found = importlib.util.find_spec
importlib.util.find_spec = lambda name, *rest: None if name == "torch" else found(name, *rest)
"""
BLOCK = """
def blocked(name, *rest):
    if name == "torch" or name.startswith("torch."):
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)
"""


def without_torch(statements):
    """What a Python without PyTorch prints."""
    done = subprocess.run(
        [sys.executable, "-c", BLOCK + WITHOUT + statements],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done.stdout + done.stderr


def test_without_pytorch_every_use_says_in_one_line_how_to_get_it():
    use = "try:\n    {}\nexcept ImportError as error:\n    print(type(error).__name__, error)\n"
    said = "MissingDependencyError catvec.torch needs PyTorch: pip install 'catvec[torch]'\n"
    assert without_torch(use.format("import catvec.torch")) == said
    assert without_torch(use.format("from catvec.torch import CategoryEmbedding")) == said
    assert without_torch("import catvec\n" + use.format("catvec.torch.CategoryEmbedding")) == said
    assert without_torch(use.format("from catvec import torch")) == said
    fit = "from catvec import EmbeddingRegressor\n" + use.format(
        "EmbeddingRegressor(engine='torch').fit({'a': ['x', 'y'] * 9}, [1.0, 2.0] * 9)"
    )
    plain = "X = {'a': ['x', 'y'] * 9}\n"
    plain += "print(EmbeddingRegressor(n_epochs=1).fit(X, [1.0, 2.0] * 9).predict(X).shape)"
    assert without_torch(fit + plain) == (
        "MissingDependencyError the engine 'torch' needs torch: pip install 'catvec[torch]'"
        " (or engine='auto')\n(18,)\n"
    )


def test_it_is_there_when_it_is_asked_for():
    script = "import catvec; print(catvec.torch.CategoryEmbedding.__name__)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "CategoryEmbedding\n", done.stderr


def test_a_fit_without_it_does_not_import_it():
    script = "import catvec, sys; from catvec import EmbeddingRegressor as R\n"
    script += (
        "R(n_epochs=1).fit({'a': ['x', 'y'] * 9}, [1.0, 2.0] * 9); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
