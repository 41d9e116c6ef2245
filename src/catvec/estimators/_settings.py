"""What is chosen of a network, and of the networks of a committee, which need not be alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import cycle, islice

import numpy as np

from catvec.network import INTERACTIONS

PLAIN, *PRODUCTS = INTERACTIONS
FIRST, SECOND, EFFECTS = range(3)
NO_EFFECTS = (FIRST, SECOND)
BY_SHARE = {2: (FIRST, EFFECTS, SECOND, EFFECTS), 4: (FIRST, SECOND, FIRST, EFFECTS)}


@dataclass(frozen=True)
class Setting:
    """What of a network is chosen by held-out loss.

    Attributes
    ----------
    shrinkage : tuple of float
        Strength of the prior by table: categorical columns, pairs, numbers with knots.
    interactions : str
        How vectors meet before the first layer.
    n_epochs : int
        Passes over the training rows, in which the rate falls to nearly nothing.
    paired : bool
        Whether it has tables of pairs of columns.
    batch_norm : bool
        Whether it has batch norm, where the parameters leave that open.
    sees_effects : bool
        Whether it sees effects in place of vectors.
    """

    shrinkage: tuple[float, ...]
    interactions: str
    n_epochs: int
    paired: bool = False
    batch_norm: bool = True
    sees_effects: bool = False

    def seeing_effects(self, n_epochs: int) -> Setting:
        """Of a network that sees effects, those of pairs, too, beside networks of this setting."""
        return Setting(self.shrinkage, PLAIN, n_epochs, paired=True, sees_effects=True)


@dataclass(frozen=True)
class EffectNetworks:
    """What is chosen of networks that see effects in place of vectors.

    Attributes
    ----------
    every : {2, 4}
        Which of the networks they are: every second, or every fourth, of the kinds that `BY_SHARE`
        names in turn.
    n_epochs : int
        Passes over the training rows.
    """

    every: int
    n_epochs: int


@dataclass(frozen=True)
class Settings:
    """What is chosen of the networks of a committee.

    Attributes
    ----------
    first : Setting
    second : Setting or None
        Of every second network, of every fourth where some see effects; None if it is the first's.
    effect_networks : EffectNetworks or None
        Which of the networks see effects instead; None if none do.
    """

    first: Setting
    second: Setting | None = None
    effect_networks: EffectNetworks | None = None

    def of(self, number: int) -> Setting:
        """Of the network of this number."""
        turn = self._turn
        return self.kinds[turn[number % len(turn)]]

    @property
    def kinds(self) -> list[Setting]:
        """The first, the second and that of effects, as far as there are any."""
        seeing, first = self.effect_networks, self.first
        seen = None if seeing is None else first.seeing_effects(seeing.n_epochs)
        return [setting for setting in (first, self.second, seen) if setting is not None]

    def shares(self, n_networks: int) -> list[float]:
        """Part of a committee that is of each of the kinds; 0 where it is too small for one."""
        of_each = list(islice(cycle(self._turn), n_networks))
        return [of_each.count(kind) / n_networks for kind in range(len(self.kinds))]

    def within(self, n_networks: int) -> Settings:
        """Of so many networks: without a second that none of them follows."""
        followed = self.second is None or self.shares(n_networks)[1] > 0
        return self if followed else replace(self, second=None)

    @property
    def _turn(self) -> list[int]:
        """Places in `kinds` of those that networks are of in turn."""
        seeing = self.effect_networks
        turn = NO_EFFECTS if seeing is None else BY_SHARE[seeing.every]
        places = {FIRST: 0, SECOND: 1, EFFECTS: 2}
        if self.second is None:
            places = {FIRST: 0, SECOND: 0, EFFECTS: 1}
        return [places[kind] for kind in turn]

    @property
    def paired(self) -> bool:
        """Whether some networks that learn vectors have tables of pairs."""
        return self.first.paired or (self.second is not None and self.second.paired)

    @property
    def mean_epochs(self) -> float:
        """Of a committee's networks."""
        return float(np.mean([self.of(number).n_epochs for number in range(len(self._turn))]))
