"""The choice of shrinkage, pairs and interactions: successive halving over held-out rows.

Jamieson & Talwalkar 2016 (arXiv 1502.07943): all contenders are tried on the first held-out rows,
the best ones on the next, until rows enough have judged. Contenders are each strength of the prior,
without and with pairs of columns, and then variants of the best of these: a weaker prior, where the
best is the weakest, and products of vectors. A contender is a network of its own.

The first trials see a part of a large table, and hold out more rows than a committee does: with a
tenth of amazon_access to judge by, pairs were refused on two folds of three, though worth 0.010 of
log loss. A prior that is best for a part is, if anything, too strong for the whole, so the next
weaker one is among the last trials, which see more. Where these saw all rows, the winner's networks
are the first ones of the committee.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from catvec.estimators._choice import (
    FEW_NETWORKS,
    GRID_STEP,
    MANY_NETWORKS,
    MIDDLE,
    shrinkages,
    supported_dims,
)
from catvec.estimators._pairs import candidate_pairs, with_pairs
from catvec.estimators._plan import Plan, Setting
from catvec.network import INTERACTIONS, Job, Trained, make_loss

FIRST_ROWS, LAST_ROWS = 50_000, 200_000  # that the first and the last trials look at, at most
FEW_TABLES = 40  # with more, trials look at as many cells as so many tables have in those rows
FIRST_SHARE = 0.2  # of the rows judge the first trials, unless rows are ordered in time
JUDGES = 6_000  # held-out rows after which the choice is made
MOST_RUNGS = 3  # of which the first one is for all contenders
KEPT = (3, 2)  # contenders after the first rung, and after the next
PLAIN, *PRODUCTS = INTERACTIONS
GAIN = 0.005  # part of the held-out loss by which pairs, or products, have to be better
LUCK = 0.3  # more of it, over the root of the rows that judged: what chance may make of a loss

logger = logging.getLogger("catvec")

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
    def handicapped(self) -> float:
        """The loss to compare: what is more complicated has to be clearly better."""
        n_extras = self.paired + (self.setting.interactions != PLAIN)
        n_judged = sum(n_judges for _, n_judges in self.losses)
        return self.loss + (GAIN + LUCK / n_judged**0.5) * n_extras * abs(self.loss)

    def is_like(self, other: Contender) -> bool:
        """Whether all but the strength is the same."""
        alike = self.setting.interactions == other.setting.interactions
        return alike and self.paired == other.paired

    def afresh(self) -> Contender:
        """The same, not tried yet."""
        return replace(self, losses=[])


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
    run : callable
        Trains networks.
    """

    def __init__(self, plan: Plan, pairs: list[tuple[str, str]], share: float, run: Run) -> None:
        self.plan, self.pairs, self.run = plan, pairs, run
        self.rows = np.arange(len(plan.training))
        self.masks = plan.held_out(self.rows, MOST_RUNGS, share)
        given = plan.training.held_out
        self.n_judges = len(given) if given is not None else 0
        if self.masks is not None:
            self.n_judges = int(self.masks[0].sum())
        self.trained: dict[Contender, list[Trained]] = {}
        self._plans = {False: plan}

    def plan_for(self, contender: Contender) -> Plan:
        """For these rows, with the pairs that the contender has."""
        return self._with(contender.paired)

    def contenders(self, *, paired: bool) -> list[Contender]:
        """One by strength of the prior."""
        given = self.plan.p.interactions
        plain = PLAIN if given == "auto" else given
        return [
            Contender(paired, strength, Setting(by_table, plain))
            for strength, by_table in self._shrinkages(paired).items()
        ]

    def weaker(self, contender: Contender) -> list[Contender]:
        """The same with the next weaker prior; none where the user gave its strength."""
        if len(self._shrinkages(contender.paired)) == 1:
            return []
        grid = (contender.strength / GRID_STEP,)
        ((strength, by_table),) = self._shrinkages(contender.paired, grid).items()
        setting = replace(contender.setting, shrinkage=by_table)
        return [Contender(contender.paired, strength, setting)]

    def multiplied(self, contender: Contender) -> list[Contender]:
        """The same with products of vectors."""
        if self.plan.p.interactions != "auto" or len(self.plan.training.schema.vocabularies) < 2:
            return []
        return [
            replace(contender, losses=[], setting=replace(contender.setting, interactions=kind))
            for kind in PRODUCTS
        ]

    def judge(
        self, contenders: list[Contender], rung: int, numbers: Sequence[int]
    ) -> list[Contender]:
        """Train networks of each, less the rows of this rung; the contenders, best first."""
        mask = None if self.masks is None else self.masks[rung]
        jobs = [
            self.plan_for(c).job(self.rows, mask, number, c.setting)
            for c in contenders
            for number in numbers
        ]
        trained = self.run(jobs)
        n = len(numbers)
        for i, contender in enumerate(contenders):
            mine = slice(i * n, (i + 1) * n)
            loss = self._committee_loss(jobs[mine], trained[mine])
            contender.losses.append((loss, self.n_judges))
            self.trained.setdefault(contender, []).append(trained[mine][0])
        return ranked(contenders)

    def _committee_loss(self, jobs: list[Job], trained: list[Trained]) -> float:
        """Loss that a committee of `FEW_NETWORKS` would have, from one network or from two.

        Averaging n networks takes a part (n - 1) / n of what they disagree by from the squared
        error (Krogh & Vedelsby 1995, Neural Network Ensembles, Cross Validation, and Active
        Learning, NIPS 7), and weakly shrunk networks disagree most. What two lose together tells
        half of it.
        """
        alone = float(np.mean([one.held_out_loss for one in trained]))
        if len(trained) == 1:
            return alone
        held_out, p = jobs[0].held_out, self.plan.p
        assert held_out is not None
        inputs = held_out.inputs if held_out.rows is None else held_out.inputs.take(held_out.rows)
        scores = np.mean([one.network.predict(inputs) for one in trained], axis=0)
        loss = make_loss(self.plan.loss, jobs[0].config.n_outputs, p.quantile)
        weight = None if held_out.weight is None else held_out.part(held_out.weight)
        together = loss.value(scores, held_out.part(held_out.target), weight)
        disagreement = 2 * (alone - together)
        return alone - (1 - 1 / FEW_NETWORKS) * disagreement

    def _with(self, paired: bool) -> Plan:
        if paired not in self._plans:
            self._plans[paired] = self.plan.of(with_pairs(self.plan.training, self.pairs))
        return self._plans[paired]

    def _shrinkages(self, paired: bool, *grid: tuple[float]) -> dict[float, tuple[float, ...]]:
        plan = self._with(paired)
        n_tables = len(plan.dims + plan.knot_dims)
        return shrinkages(plan.p, plan.training.schema, n_tables, *grid)


def ranked(contenders: list[Contender]) -> list[Contender]:
    """The best first."""
    return sorted(contenders, key=lambda c: c.handicapped)


def search(
    plan: Plan, run: Run, *, judged: bool
) -> tuple[Plan, Setting, Mapping[float, float], list[Trained]]:
    """Choose by held-out loss what the parameters leave open.

    Parameters
    ----------
    plan : Plan
        For all rows.
    run : callable
        Trains networks.
    judged : bool
        Whether networks are wanted at all; else nothing is tried.

    Returns
    -------
    plan : Plan
        For all rows, with the pairs that were chosen.
    setting : Setting
    tried : dict of float to float
        Held-out loss of the first trials by strength of the prior, with the pairs and interactions
        that were chosen; empty if no strengths were compared.
    trained : list of Trained
        The first networks of the committee, if trials have trained them.
    """
    share = first_share = plan.p.validation_fraction
    if share and plan.training.ties.time is None:
        first_share = max(share, FIRST_SHARE)
    sample = _sample(plan, FIRST_ROWS)
    pairs = candidate_pairs(sample.training) if judged and plan.p.pairs == "auto" else []
    first = Trials(sample, pairs, first_share, run)
    contenders = first.contenders(paired=False)
    contenders += first.contenders(paired=True) if pairs else []
    n_open = len(contenders) + (plan.p.interactions == "auto")
    if not judged or first.n_judges == 0 or n_open == 1:
        middle = next((c for c in contenders if c.strength == MIDDLE), contenders[0])
        return plan, middle.setting, {}, []

    everyone = _first_rung(first, contenders)
    plan = plan.with_widths(_widths(first, everyone[0]))
    larger = _sample(plan, LAST_ROWS)
    last = Trials(larger, pairs, share, run)
    if larger.training is sample.training:
        best = _last_rungs(last, everyone[: KEPT[0]], first.n_judges)
    else:
        best = _last_rungs(last, _finalists(last, everyone), 0)

    alike = sorted((c for c in everyone if c.is_like(best)), key=lambda c: c.strength)
    tried = {c.strength: c.losses[0][0] for c in alike}
    logger.info("shrinkage %g chosen by held-out loss, of %s", best.strength, tried)
    tried = tried if len(tried) > 1 else {}
    if larger is plan:
        return last.plan_for(best), best.setting, tried, last.trained.get(best, [])
    if best.paired:
        plan = plan.of(with_pairs(plan.training, pairs))
    return plan, best.setting, tried, []


def _first_rung(first: Trials, contenders: list[Contender]) -> list[Contender]:
    """All contenders and variants of the best of them, best first."""
    numbers = [MOST_RUNGS]  # a seed of its own: in time all rungs have the same held-out rows
    contenders = first.judge(contenders, 0, numbers)
    best = contenders[0]
    is_weakest = best.strength == min(c.strength for c in contenders)
    variants = first.multiplied(best) + (first.weaker(best) if is_weakest else [])
    return ranked(contenders + (first.judge(variants, 0, numbers) if variants else []))


def _finalists(last: Trials, everyone: list[Contender]) -> list[Contender]:
    """Those to compare on more rows: the two best, and the best with a weaker prior."""
    two = everyone[: KEPT[0] - 1]
    weaker = [
        c
        for c in last.weaker(two[0])
        if not any(c.is_like(other) and c.strength == other.strength for other in two)
    ]
    return [c.afresh() for c in two + weaker]


def _widths(first: Trials, best: Contender) -> dict[str, int]:
    """Width of the vectors by column that the best contender's network supports."""
    training = first.plan.training
    network = first.trained[best][0].network
    tables = [network.vectors(c) for c in range(len(training.schema.vocabularies))]
    return supported_dims(first.plan.p, training.schema, tables, training.arrays.codes)


def _last_rungs(last: Trials, contenders: list[Contender], n_judged: int) -> Contender:
    """The best contender, once rows enough have judged."""
    for rung in range(MOST_RUNGS - 1):
        if n_judged >= JUDGES or len(contenders) == 1:
            break
        contenders = last.judge(contenders, rung, (rung, MANY_NETWORKS + rung))[: KEPT[-1]]
        n_judged += last.n_judges
    return contenders[0]


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
