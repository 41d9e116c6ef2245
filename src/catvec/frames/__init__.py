"""A user's frame in, arrays out: columns, vocabularies, numbers, the target and splits."""

from catvec.frames._column import Column as Column
from catvec.frames._frame import Frame as Frame
from catvec.frames._frame import one_column as one_column
from catvec.frames._frame import open_frame as open_frame
from catvec.frames._frame import to_dataframe as to_dataframe
from catvec.frames._numbers import Number as Number
from catvec.frames._pairs import OTHER as OTHER
from catvec.frames._pairs import Pair as Pair
from catvec.frames._schema import Arrays as Arrays
from catvec.frames._schema import Schema as Schema
from catvec.frames._splits import Fold as Fold
from catvec.frames._splits import Ties as Ties
from catvec.frames._splits import make_folds as make_folds
from catvec.frames._splits import make_held_out as make_held_out
from catvec.frames._splits import twins as twins
from catvec.frames._target import TASKS as TASKS
from catvec.frames._target import Target as Target
from catvec.frames._target import infer_task as infer_task
from catvec.frames._target import learn_target as learn_target
from catvec.frames._vocabulary import FIRST as FIRST
from catvec.frames._vocabulary import MISSING as MISSING
from catvec.frames._vocabulary import UNKNOWN as UNKNOWN
from catvec.frames._vocabulary import Vocabulary as Vocabulary
