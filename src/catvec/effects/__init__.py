"""Shrunk effects of categories on the target, with their confidence."""

from catvec.effects._effects import Effect as Effect
from catvec.effects._effects import Evidence as Evidence
from catvec.effects._effects import RunningStatistics as RunningStatistics
from catvec.effects._effects import Statistics as Statistics
from catvec.effects._effects import effects_of as effects_of
from catvec.effects._effects import learn_effects as learn_effects
from catvec.effects._effects import link as link
