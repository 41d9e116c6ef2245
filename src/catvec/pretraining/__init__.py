"""Vectors without a target: from sequences, baskets, and the table itself."""

from catvec.pretraining._benefit import Benefit as Benefit
from catvec.pretraining._benefit import measure_benefit as measure_benefit
from catvec.pretraining._choosing import Choices as Choices
from catvec.pretraining._cooccurrence import directions as directions
from catvec.pretraining._cooccurrence import positive_pmi as positive_pmi
from catvec.pretraining._cooccurrence import with_itself as with_itself
from catvec.pretraining._counting import count_pairs as count_pairs
from catvec.pretraining._learning import METHODS as METHODS
from catvec.pretraining._learning import Method as Method
from catvec.pretraining._learning import PretrainingProgress as PretrainingProgress
from catvec.pretraining._learning import learn_table as learn_table
from catvec.pretraining._learning import pretrained_vectors as pretrained_vectors
from catvec.pretraining._learning import with_width as with_width
from catvec.pretraining._sequences import Corpus as Corpus
from catvec.pretraining._sequences import Sequences as Sequences
from catvec.pretraining._sequences import read_corpus as read_corpus
from catvec.pretraining._sequences import table_corpus as table_corpus
from catvec.pretraining._skipgram import SkipgramConfig as SkipgramConfig
from catvec.pretraining._stream import stream_corpus as stream_corpus
