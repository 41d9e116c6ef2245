"""Arrays in, a trained network out: NumPy, with compiled loops where they pay."""

from catvec.network._anchors import FREEZE, Anchor, Anchors
from catvec.network._attribution import attribute
from catvec.network._blocks import BLOCK_ROWS, Blocks, StreamedData, record_type
from catvec.network._checkpoint import Checkpoint
from catvec.network._committee import learn_held_out, train, train_committee
from catvec.network._composition import further_columns, looked_up
from catvec.network._data import TrainingData
from catvec.network._dimensions import RULES, rule
from catvec.network._effect_axes import EffectAxis
from catvec.network._engine import ENGINES, choose_engine, load_kernels
from catvec.network._hiding import Hiding
from catvec.network._inputs import Inputs
from catvec.network._interactions import INTERACTIONS
from catvec.network._losses import LOSSES, Loss, make_loss
from catvec.network._memory import Learned, Memory
from catvec.network._network import Network, NetworkConfig
from catvec.network._step import Step, TrainingConfig
from catvec.network._tables import EmbeddingTables
from catvec.network._training import Backend, EpochRecord, Job, Trained

__all__ = [
    "BLOCK_ROWS",
    "ENGINES",
    "FREEZE",
    "INTERACTIONS",
    "LOSSES",
    "RULES",
    "Anchor",
    "Anchors",
    "Backend",
    "Blocks",
    "Checkpoint",
    "EffectAxis",
    "EmbeddingTables",
    "EpochRecord",
    "Hiding",
    "Inputs",
    "Job",
    "Learned",
    "Loss",
    "Memory",
    "Network",
    "NetworkConfig",
    "Step",
    "StreamedData",
    "Trained",
    "TrainingConfig",
    "TrainingData",
    "attribute",
    "choose_engine",
    "further_columns",
    "learn_held_out",
    "load_kernels",
    "looked_up",
    "make_loss",
    "record_type",
    "rule",
    "train",
    "train_committee",
]
