"""The artifact: effects, vectors and counts by column and category, usable without a model."""

from catvec.vectors._alignment import align as align
from catvec.vectors._alignment import average_aligned as average_aligned
from catvec.vectors._alignment import in_scale as in_scale
from catvec.vectors._alignment import rotation as rotation
from catvec.vectors._alignment import stretch as stretch
from catvec.vectors._by_code import CategoryRow as CategoryRow
from catvec.vectors._column import ColumnVectors as ColumnVectors
from catvec.vectors._export import FORMATS as FORMATS
from catvec.vectors._export import export as export
from catvec.vectors._pairs import PairEffects as PairEffects
from catvec.vectors._pairs import PairRow as PairRow
from catvec.vectors._storage import Artifact as Artifact
from catvec.vectors._storage import load_artifact as load_artifact
from catvec.vectors._storage import read_artifact as read_artifact
from catvec.vectors._storage import write_artifact as write_artifact
from catvec.vectors._untargeted import untargeted_column as untargeted_column
from catvec.vectors._vectors import CategoryVectors as CategoryVectors
from catvec.vectors._vectors import codes_of as codes_of
from catvec.vectors._vectors import features_of as features_of
from catvec.vectors._vectors import parts_of as parts_of
