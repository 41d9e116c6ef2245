"""The choice of shrinkage, pairs, interactions and epochs: a climb on held-out rows, then a final.

A contender is a strength of the prior and a number of epochs, without or with pairs of columns,
without or with products of vectors; one network, with fewer hidden units than a committee's, tells
how it does. The climb starts with three strengths, tries the neighbours of the best (the next
strengths and numbers of epochs, pairs, then products), and goes on from these while one of them is
better. It sees a part of a large table, and holds out more rows than a committee does: with a tenth
of amazon_access to judge by, pairs were refused on two folds of three, though worth 0.010 of log
loss.

The final is between the best with pairs and the best without, with two networks each, whose
disagreement tells what a committee would lose, on the rows that committees hold out, until rows
enough have judged or one is clearly ahead (successive halving; Jamieson & Talwalkar 2016, arXiv
1502.07943). A prior that is best for a part is, if anything, too strong for the whole, and its
epochs too few, so the next weaker one and twice the epochs take part where the final sees more
rows; where it sees a part as well, twice the epochs are taken. Where groups of rows are alike and
it is the groups that have more rows, stronger priors and fewer epochs take part instead, and the
epochs are taken that make as many steps: what a day did to its flights is learned by heart the
sooner, the more flights of it there are. Of strengths that chance may have put in their order the
strongest is taken (Breiman et al. 1984, Classification and Regression Trees, section 3.4.3: the one
standard error rule): rows held out at random are more like the others than rows to come, which
flatters weak priors.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from catvec.estimators._choice import (
    MIDDLE,
    epoch_grid,
    shrinkage_grid,
    shrinkages,
    supported_dims,
)
from catvec.estimators._pairs import candidate_pairs, with_pairs
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._plan import Plan, Setting
from catvec.network import INTERACTIONS, Job, Trained, make_loss

FIRST_ROWS, LAST_ROWS = 50_000, 100_000  # that the climb and the final look at, at most
MOST_ROW_EPOCHS = 20_000_000  # of a network, up to which a larger table gets twice the epochs
FEW_TABLES = 40  # with more, they look at as many cells as so many tables have in those rows
FIRST_SHARE = 0.2  # of the rows judge the climb, unless rows are ordered in time
FEW_JUDGES = 1_000  # held-out rows that the climb is judged by at least, in up to PARTS fits each
PARTS = 5
TRIALS = 16  # networks of a search that are reckoned with, by part: eight to twenty
JUDGES = 6_000  # held-out rows after which the final is over
MOST_RUNGS = 2  # of the final
MANY_FINALISTS, FEW_FINALISTS = 4, 2  # of the climb, where it saw all rows and where it did not;
# few go on to the second rung, too
DENSER = 1.2  # times the rows of each group, from which more rows are more of the same groups
NEAR = 0.05  # part of the best loss by which others of the climb may be worse to be finalists
PLAIN, *PRODUCTS = INTERACTIONS
GAIN = 0.005  # part of the held-out loss by which pairs, or products, have to be better
LUCK = 0.3  # part of a loss, over the root of the rows that judged, that chance may make of it
LEAD = 2.0  # times what chance may make, by which one is clearly ahead

logger = logging.getLogger("catvec")

Number = TypeVar("Number", int, float)
Split = tuple[np.ndarray, np.ndarray | None]
Run = Callable[[list[Job]], list[Trained]]


@dataclass(eq=False)
class Contender:
    """A setting of networks, and how they did.

    Attributes
    ----------
    paired : bool
        With pairs of columns that were not asked for.
    strength : float
        Of the prior, where it is not given.
    setting : Setting
    losses : list of tuple of float and int
        Held-out loss by trial, and how many rows judged it.
    """

    paired: bool
    strength: float
    setting: Setting
    losses: list[tuple[float, int]] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean held-out loss by row."""
        losses, weights = zip(*self.losses, strict=True)
        return float(np.average(losses, weights=weights))

    @property
    def luck(self) -> float:
        """What chance may make of the loss."""
        n_judged = sum(n_judges for _, n_judges in self.losses)
        return LUCK / n_judged**0.5 * abs(self.loss)

    @property
    def handicapped(self) -> float:
        """The loss to compare: what is more complicated has to be clearly better."""
        n_extras = self.paired + (self.setting.interactions != PLAIN)
        return self.loss + (GAIN * abs(self.loss) + self.luck) * n_extras

    @property
    def kind(self) -> tuple[bool, str, int]:
        """All but the strength."""
        return self.paired, self.setting.interactions, self.setting.n_epochs

    @property
    def key(self) -> tuple[float, bool, str, int]:
        """What tells it from others."""
        return self.strength, *self.kind


class Trials:
    """Tries contenders on some of the rows.

    Parameters
    ----------
    plan : Plan
        For these rows.
    pairs : list of pairs of str
        Those that paired contenders have.
    share : float
        Of the rows, to judge by; unless the user gave rows.
    n_networks : int
        Of the committee that is wanted.
    run : callable
        Trains networks.
    """

    def __init__(
        self, plan: Plan, pairs: list[tuple[str, str]], share: float, n_networks: int, run: Run
    ) -> None:
        self.plan, self.pairs, self.n_networks, self.run = plan, pairs, n_networks, run
        # Rows of a stretch, or of a group, err together.
        self.bound = plan.training.grouped or plan.training.ties.time is not None
        self.splits = _splits(plan, share)
        given, mask = plan.training.held_out, self.splits[0][1]
        self.n_judges = 0 if given is None else len(given)
        if mask is not None:
            self.n_judges = int(mask.sum())
        self.trained: dict[Contender, Trained] = {}  # the first network of each
        self._plans = {False: plan}

    def plan_for(self, contender: Contender) -> Plan:
        """For these rows, with the pairs that the contender has."""
        return self._with(contender.paired)

    @property
    def n_open(self) -> int:
        """Questions that the parameters leave open."""
        n_strengths, n_epochs = len(self._shrinkages(False)), len(self._epochs)
        return n_strengths - 1 + n_epochs - 1 + len(self.pairs) + self._may_multiply

    def starts(self) -> list[Contender]:
        """One by strength of the prior, plain, with half of the epochs."""
        given = self.plan.p.interactions
        plain = PLAIN if given == "auto" else given
        kind = False, plain, self._epochs[-2:][0]
        return [self._contender(s, *kind) for s in self._shrinkages(False)]

    def untried(self) -> Contender:
        """What is taken where nothing can be tried."""
        starts = self.starts()
        middle = next((c for c in starts if c.strength == MIDDLE), starts[0])
        return self._contender(middle.strength, *middle.kind[:2], self._epochs[-1])

    def neighbours(self, contender: Contender) -> list[list[Contender]]:
        """What differs in one thing; with pairs, whose combinations are rare, also in strength.

        Products come apart, to be tried where nothing else is better: they seldom are.
        """
        strength, (paired, interactions, n_epochs) = contender.strength, contender.kind
        stronger = self.of_strength(contender, 1)
        found = [*stronger, *self.of_strength(contender, -1)]
        found += self.of_epochs(contender, 1) + self.of_epochs(contender, -1)
        if self.pairs and not paired:
            strengths = [strength, *(c.strength for c in stronger)]
            found += [self._contender(s, True, interactions, n_epochs) for s in strengths]
        products = PRODUCTS if self._may_multiply and interactions == PLAIN else []
        multiplied = [self._contender(strength, paired, kind, n_epochs) for kind in products]
        return [found, multiplied]

    def of_strength(self, contender: Contender, direction: int) -> list[Contender]:
        """The same with the next stronger prior (1), or weaker (-1), if there is one."""
        if len(self._shrinkages(False)) == 1:  # the user gave it
            return []
        grid = shrinkage_grid(grouped=self.plan.training.grouped)
        strengths = _beside(grid, contender.strength, direction)
        return [self._contender(s, *contender.kind) for s in strengths]

    def of_epochs(self, contender: Contender, direction: int) -> list[Contender]:
        """The same with twice the epochs (1), or half of them (-1), if there may be so many."""
        strength, (paired, interactions, n_epochs) = contender.strength, contender.kind
        numbers = _beside(self._epochs, n_epochs, direction)
        return [self._contender(strength, paired, interactions, n) for n in numbers]

    def judge(
        self, contenders: list[Contender], rung: int, numbers: Sequence[int]
    ) -> list[Contender]:
        """Train networks of each, less the rows of this rung; the contenders, best first."""
        jobs = [
            replace(self.plan_for(c).job(*self.splits[rung], number, c.setting), is_trial=True)
            for c in contenders
            for number in numbers
        ]
        trained = self.run(jobs)
        n = len(numbers)
        for i, contender in enumerate(contenders):
            mine = slice(i * n, (i + 1) * n)
            loss = self._committee_loss(jobs[mine], trained[mine])
            contender.losses.append((loss, self.n_judges))
            self.trained.setdefault(contender, trained[mine][0])
        return ranked(contenders)

    def _committee_loss(self, jobs: list[Job], trained: list[Trained]) -> float:
        """Loss that a committee of `n_networks` would have, from one network or from two.

        Averaging n networks takes a part (n - 1) / n of what they disagree by from the squared
        error (Krogh & Vedelsby 1995, Neural Network Ensembles, Cross Validation, and Active
        Learning, NIPS 7), and weakly shrunk networks disagree most. What two lose together tells
        half of it.
        """
        alone = float(np.mean([one.held_out_loss for one in trained]))
        if len(trained) == 1 or not np.isfinite(alone):
            return alone
        held_out, p = jobs[0].held_out, self.plan.p
        assert held_out is not None
        inputs = held_out.inputs if held_out.rows is None else held_out.inputs.take(held_out.rows)
        scores = np.mean([one.network.predict(inputs) for one in trained], axis=0)
        loss = make_loss(self.plan.loss, jobs[0].config.n_outputs, p.quantile)
        weight = None if held_out.weight is None else held_out.part(held_out.weight)
        together = loss.value(scores, held_out.part(held_out.target), weight)
        disagreement = 2 * (alone - together)
        return alone - (1 - 1 / self.n_networks) * disagreement

    @property
    def _may_multiply(self) -> bool:
        """Whether products of vectors are open, and there are two to multiply."""
        several = len(self.plan.training.schema.vocabularies) > 1
        return self.plan.p.interactions == "auto" and several

    @property
    def _epochs(self) -> list[int]:
        return epoch_grid(self.plan.p)

    def _contender(
        self, strength: float, paired: bool, interactions: str, n_epochs: int
    ) -> Contender:
        by_table = self._shrinkages(paired, (strength,)).get(strength)
        if by_table is None:  # the user gave it
            ((strength, by_table),) = self._shrinkages(paired).items()
        return Contender(paired, strength, Setting(by_table, interactions, n_epochs))

    def _with(self, paired: bool) -> Plan:
        if paired not in self._plans:
            self._plans[paired] = self.plan.of(with_pairs(self.plan.training, self.pairs))
        return self._plans[paired]

    def _shrinkages(self, paired: bool, *grid: tuple[float]) -> dict[float, tuple[float, ...]]:
        plan = self._with(paired)
        n_tables = len(plan.dims + plan.knot_dims)
        return shrinkages(plan.p, plan.training.schema, n_tables, *grid)


def _beside(grid: Sequence[Number], value: Number, direction: int) -> list[Number]:
    """The next value of a grid, up (1) or down (-1); none at its end."""
    place = grid.index(value) + direction
    return [grid[place]] if 0 <= place < len(grid) else []


def ranked(contenders: Iterable[Contender]) -> list[Contender]:
    """The best first."""
    return sorted(contenders, key=lambda c: c.handicapped)


def search(
    plan: Plan, run: Run, n_networks: int, *, judged: bool
) -> tuple[Plan, Setting, Mapping[float, float]]:
    """Choose by held-out loss what the parameters leave open.

    Parameters
    ----------
    plan : Plan
        For all rows.
    run : callable
        Trains networks.
    n_networks : int
        Of the committee that is wanted.
    judged : bool
        Whether networks are wanted at all; else nothing is tried.

    Returns
    -------
    plan : Plan
        For all rows, with the pairs that were chosen.
    setting : Setting
    tried : dict of float to float
        Held-out loss of the climb by strength of the prior, with the pairs and interactions that
        were chosen and the epochs that were best; empty if no strengths were compared.
    """
    share = first_share = plan.p.validation_fraction
    if share and plan.training.ties.time is None:
        first_share = max(share, FIRST_SHARE)
    sample = _sample(plan.for_trials(), FIRST_ROWS)
    pairs = candidate_pairs(sample.training) if judged and plan.p.pairs == "auto" else []
    first = Trials(sample, pairs, first_share, n_networks, run)
    if not judged or first.n_judges == 0 or first.n_open == 0:
        return plan, first.untried().setting, {}

    everyone = _climb(first)
    if not np.isfinite(everyone[0].loss):  # training will say what broke down, and the remedy
        return plan, first.untried().setting, {}
    plan = plan.with_widths(_widths(first, everyone[0]))
    last = Trials(_sample(plan.for_trials(), LAST_ROWS), pairs, share, n_networks, run)
    best = _final(last, _finalists(last, everyone, first.plan))
    denser = _denser(plan, last.plan)
    if denser > DENSER:
        best = _of_denser(last, best, denser)
    elif len(plan.training) > len(last.plan.training):
        best = _longer(last, best)

    tried = _by_strength(c for c in everyone if c.kind[:2] == best.kind[:2])
    of = best.strength, tried, best.setting.n_epochs
    logger.info("shrinkage %g chosen by held-out loss, of %s; %d epochs", *of)
    if best.paired:
        plan = plan.of(with_pairs(plan.training, pairs))
    return plan, best.setting, tried if len(tried) > 1 else {}


def reckoned_trials(p: SharedParameters, n_rows: int) -> int:
    """Networks that a search will about train, before anything is known but the number of rows."""
    if "auto" not in (p.shrinkage, p.n_epochs, p.pairs, p.interactions):
        return 0
    n_parts = -(-FEW_JUDGES // max(int(FIRST_SHARE * n_rows), 1))
    return TRIALS * min(n_parts, PARTS)


def _by_strength(contenders: Iterable[Contender]) -> dict[float, float]:
    """The least loss by strength of the prior, weakest first; none of what broke down."""
    losses: dict[float, float] = {}
    for c in sorted(contenders, key=lambda c: c.strength):
        if not np.isfinite(c.loss):
            continue
        losses[c.strength] = min(c.loss, losses.get(c.strength, c.loss))
    return losses


def _splits(plan: Plan, share: float) -> list[Split]:
    """Rows to train on and which of them to hold out, by rung or part; no mask where none are.

    In time each rung is judged by a stretch of its own, from what was before it: one stretch alone
    says how well a network fits what that month was like.
    """
    rows = np.arange(len(plan.training))
    masks = plan.held_out(rows, PARTS, share)
    if masks is None:
        return [(rows, None)] * MOST_RUNGS
    if plan.training.ties.time is None:
        return [(rows, mask) for mask in masks]
    splits: list[Split] = []
    while masks is not None and len(splits) < MOST_RUNGS:
        splits.append((rows, masks[0]))
        rows = rows[~masks[0]]
        masks = plan.held_out(rows, 1, share)
    return splits + splits[-1:] * (MOST_RUNGS - len(splits))


def _climb(trials: Trials) -> list[Contender]:
    """From the best of some strengths to its best neighbour, and on; all contenders, best first.

    In a small table each is trained several times, to be judged by other rows each time.
    """
    number = 2 * MOST_RUNGS  # a seed of its own: in time all have the same held-out rows
    everyone: dict[tuple[float, bool, str, int], Contender] = {}
    new = trials.starts()
    n_parts = min(len(trials.splits), -(-FEW_JUDGES // trials.n_judges))
    while new:
        for part in range(n_parts):
            trials.judge(new, part, [number + part])
        everyone |= {c.key: c for c in new}
        groups = trials.neighbours(ranked(everyone.values())[0])
        fresh = ([c for c in group if c.key not in everyone] for group in groups)
        new = next(filter(None, fresh), [])
    return ranked(everyone.values())


def _finalists(last: Trials, everyone: list[Contender], seen: Plan) -> list[Contender]:
    """The best of the climb and some near it; of more rows than it saw also what these ask for.

    The first of these has pairs if the best is without, or is without if the best has them: pairs
    are worth more to a committee than to a single network, which is noisier than the difference.
    More rows bear a weaker prior and more epochs, unless they are more of the same groups: what
    rows of a group have in common is learned by heart the sooner. What was lost in the climb counts
    no more: it was a single network's, too.
    """
    best = everyone[0]
    most = best.handicapped + NEAR * abs(best.handicapped)
    near = [c for c in everyone[1:] if c.handicapped <= most]
    others = [c for c in near if c.paired != best.paired][:1]
    found = [best, *others, *(c for c in near if c not in others)]
    more_rows = len(last.plan.training) > len(seen.training)
    found = found[: FEW_FINALISTS if more_rows else MANY_FINALISTS]
    keys = [c.key for c in found]
    if more_rows:
        longer = -1 if _denser(last.plan, seen) > DENSER else 1
        asked = last.of_strength(best, -longer) + last.of_epochs(best, longer)
        found += [c for c in asked if c.key not in keys]
    return [replace(c, losses=[]) for c in found]


def _widths(first: Trials, best: Contender) -> dict[str, int]:
    """Width of the vectors by column that the best contender's network supports."""
    training = first.plan.training
    network = first.trained[best].network
    tables = [network.vectors(c) for c in range(len(training.schema.vocabularies))]
    return supported_dims(first.plan.p, training.schema, tables, training.arrays.codes)


def _final(last: Trials, contenders: list[Contender]) -> Contender:
    """The best contender, once rows enough have judged; of priors as good as its, the strongest.

    In time, and where rows are grouped, all are judged by each of the rungs.
    """
    if len(contenders) == 1:
        return contenders[0]
    for rung in range(MOST_RUNGS):
        best, *others = last.judge(contenders, rung, [2 * rung, 2 * rung + 1])
        if last.bound:  # nobody is behind before the last one
            continue
        contenders = [best, *(c for c in others if not _is_behind(c, best, LEAD))][:FEW_FINALISTS]
        if len(contenders) == 1 or (rung + 1) * last.n_judges >= JUDGES:
            break
    as_good = [c for c in others if c.kind == best.kind and not _is_behind(c, best)]
    return max([best, *as_good], key=lambda c: c.strength)


def _longer(last: Trials, best: Contender) -> Contender:
    """The best with twice the epochs, as more rows than it saw bear, unless they are very many."""
    for longer in last.of_epochs(best, 1):
        if last.plan.n_rows * longer.setting.n_epochs <= MOST_ROW_EPOCHS:
            return longer
    return best


def _of_denser(last: Trials, best: Contender, denser: float) -> Contender:
    """The best where groups have so many times the rows: as many steps, priors as strong by row."""
    for _ in range(round(math.log2(denser))):
        best = next(iter(last.of_epochs(best, -1)), best)
    for _ in range(round(math.log10(denser))):
        best = next(iter(last.of_strength(best, 1)), best)
    return best


def _denser(plan: Plan, part: Plan) -> float:
    """How many times the rows of a group are in the plan than in a part of it; 1 for no groups."""
    groups, some = plan.training.ties.groups, part.training.ties.groups
    if groups is None or some is None or not plan.training.grouped:
        return 1.0
    mean_rows = len(groups) / len(np.unique(groups)), len(some) / len(np.unique(some))
    return mean_rows[0] / mean_rows[1]


def _is_behind(contender: Contender, best: Contender, times: float = 1.0) -> bool:
    """Whether by more than so many times what chance may make of it."""
    return contender.handicapped > best.handicapped + times * best.luck


def _sample(plan: Plan, most_rows: int) -> Plan:
    """The plan for at most so many rows, drawn at random; fewer where there are many tables."""
    training = plan.training
    most_rows = most_rows * FEW_TABLES // max(training.schema.n_tables, FEW_TABLES)
    held_out = training.held_out
    if held_out is not None and len(held_out) > most_rows:
        rng = np.random.default_rng([plan.seed, 4])
        rows = np.sort(rng.permutation(len(held_out))[:most_rows])
        training = replace(training, held_out=replace(held_out, rows=rows))
    if len(training) > most_rows:
        rng = np.random.default_rng([plan.seed, 1])
        rows = np.sort(rng.permutation(len(training))[:most_rows])
        training = training.take(rows)
    return plan if training is plan.training else plan.of(training)
