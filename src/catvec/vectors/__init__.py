"""The artifact: effects, vectors and counts by column and category, usable without a model."""

from catvec.vectors._column import CategoryRow as CategoryRow
from catvec.vectors._column import ColumnVectors as ColumnVectors
from catvec.vectors._storage import Artifact as Artifact
from catvec.vectors._storage import load_artifact as load_artifact
from catvec.vectors._storage import read_artifact as read_artifact
from catvec.vectors._storage import write_artifact as write_artifact
from catvec.vectors._vectors import CategoryVectors as CategoryVectors
