"""Contenders of a search, and networks that tell how they do on rows held out."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from catvec.estimators._choice import MIDDLE, epoch_grid, shrinkage_grid, shrinkages
from catvec.estimators._effects_apart import can_be_apart
from catvec.estimators._judged import Judged
from catvec.estimators._pairs import with_pairs
from catvec.estimators._plan import Plan
from catvec.estimators._settings import PLAIN, PRODUCTS, EffectNetworks, Setting, Settings
from catvec.network import Job, Trained, make_loss

PARTS = 5  # fits in which the climb judges a contender of a small table, at most
MOST_RUNGS = 2  # of the final
FEW_ROWS = 30_000  # in which a quarter of the epochs are few steps, and a half takes no time: from
# a quarter ten cuts of employee_salaries had a mean R2 of 0.9063 and nine of amazon_access a log
# loss of 0.1366, from a half 0.9081 and 0.1365; larger tables were alike, adult 0.2835 and 0.2826
GAIN = 0.005  # part of the held-out loss by which pairs, or products, have to be better
LUCK = 0.3  # part of a loss, over the root of the rows that judged, that chance may make of it
ASUNDER = 0.04  # part of the loss by which a committee of two kinds may be told to be worse where
# rows come in time: on ten of 21 cuts of rossmann and rossmann_200k it was told to be worse by 0.7
# to 2.6%, and had on what came a MAPE of 0.1047, one kind alone 0.1080 (better on eight of them)
HOPELESS = 0.15  # part of the loss by which that of a network that sees effects may be larger; on
# movielens_100k 0.08 was still worth 0.6% of the committee's, and on rossmann_200k 0.27 nothing
EVERY = (4, 2)  # networks, of which one sees effects
TOLD_LESS = 0.0075  # part of a loss by which trials say less of a committee of both kinds than it
# is worth: whole ones on rows apart were better by 0.2 to 0.9% than told, on seven of eight tables

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
        With pairs of columns that were not asked for; its setting is paired with asked ones, too.
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
        self.asked = bool(plan.training.schema.pairs)  # pairs that all networks are to have
        if pairs:
            plan = plan.of(with_pairs(plan.training, pairs))
        self.plan, self.pairs, self.n_networks, self.run = plan, pairs, n_networks, run
        # Rows of a stretch, or of a group, err together.
        self.bound = plan.training.grouped or plan.training.in_time
        self.splits = _splits(plan, share)
        given, mask = plan.training.held_out, self.splits[0][1]
        self.n_judges = 0 if given is None else len(given)
        if mask is not None:
            self.n_judges = int(mask.sum())
        self.trained: dict[Contender, list[list[Trained]]] = {}  # networks by rung or part
        self.seconds: list[list[Trained]] = []  # by rung, where a committee has a second setting

    @property
    def n_open(self) -> int:
        """Questions that the parameters leave open."""
        n_strengths, n_epochs = len(self._shrinkages(False)), len(self._epochs)
        return n_strengths - 1 + n_epochs - 1 + len(self.pairs) + self._may_multiply

    def starts(self) -> list[Contender]:
        """One by strength of the prior, plain, with a quarter of the epochs.

        With half of them where the rows are few, and in time, where the one stretch that judges
        may like few epochs by chance.
        """
        given = self.plan.p.interactions
        plain = PLAIN if given == "auto" else given
        training = self.plan.training
        n_halvings = 1 if len(training) < FEW_ROWS or training.in_time else 2
        kind = False, plain, self._epochs[-1 - n_halvings :][0]
        return [self._contender(s, *kind) for s in self._shrinkages(False)]

    def untried(self) -> Contender:
        """What is taken where nothing can be tried."""
        starts = self.starts()
        middle = next((c for c in starts if c.strength == MIDDLE), starts[0])
        return self._contender(middle.strength, *middle.kind[:2], self._epochs[-1])

    def neighbours(self, contender: Contender) -> list[list[Contender]]:
        """What differs in one thing; with pairs, whose combinations are rare, also in strength.

        One list after the other is to be tried where nothing of those before it is better: what
        takes no longer, pairs, twice the epochs, and products, which seldom are.
        """
        strength, (paired, interactions, n_epochs) = contender.strength, contender.kind
        stronger, weaker = (self.of_strength(contender, direction) for direction in (1, -1))
        cheap = [*stronger, *weaker, *self.of_epochs(contender, -1)]
        strengths = [strength, *(c.strength for c in stronger or weaker)]
        asked = strengths if self.pairs and not paired else []
        those_paired = [self._contender(s, True, interactions, n_epochs) for s in asked]
        products = PRODUCTS if self._may_multiply and interactions == PLAIN else []
        multiplied = [self._contender(strength, paired, kind, n_epochs) for kind in products]
        return [cheap, those_paired, self.of_epochs(contender, 1), multiplied]

    def of_strength(self, contender: Contender, direction: int) -> list[Contender]:
        """The same with the next stronger prior (1), or weaker (-1), if there is one."""
        if len(self._shrinkages(False)) == 1:  # the user gave it
            return []
        grid = shrinkage_grid(grouped=self.plan.training.grouped)
        strengths = _beside(grid, contender.strength, direction)
        return [self._varied(contender, strength=s) for s in strengths]

    def of_epochs(self, contender: Contender, direction: int) -> list[Contender]:
        """The same with twice the epochs (1), or half of them (-1), if there may be so many."""
        numbers = _beside(self._epochs, contender.setting.n_epochs, direction)
        return [self._varied(contender, n_epochs=n) for n in numbers]

    def judge(
        self, contenders: list[Contender], rung: int, numbers: Sequence[int]
    ) -> list[Contender]:
        """Train networks of each, less the rows of this rung; the contenders, best first."""
        jobs = [self._job(c.setting, rung, number) for c in contenders for number in numbers]
        trained = self.run(jobs)
        n = len(numbers)
        for i, contender in enumerate(contenders):
            mine = slice(i * n, (i + 1) * n)
            judged, kinds = self._judged([trained[mine]], rung)
            loss = judged.committee_loss(kinds, self.n_networks)
            contender.losses.append((loss, self.n_judges))
            self.trained.setdefault(contender, []).append(trained[mine])
        return ranked(contenders)

    def second(self, best: Contender, others: Sequence[Contender]) -> list[Contender]:
        """The contender that every second network is to follow, if any.

        Of every four networks one does, where some see effects.
        Where rows come in time or in groups another finalist, else one without batch norm. None
        where a committee half of which are such networks would be worse.
        """
        if self.n_networks < 2:
            return []
        if not self.bound:
            return self._without_norm(best)
        return self._other_finalist(best, others) if others else []

    def _other_finalist(self, best: Contender, others: Sequence[Contender]) -> list[Contender]:
        """One with other pairs or products, with which the best would not be too much worse.

        Rows to come differ from those of each rung as these do from one another, and where one of
        two kinds does badly the mean of both does less so (`ASUNDER`). So it is in time. Other
        groups are like those that judge: whole days of nycflights apart, two fits in which both
        kinds lost 0.1 and 0.4% more than the best had an AUC of 0.687 and 0.677, and without the
        second 0.698 and 0.683.
        """
        rungs = range(len(self.trained[best]))
        rivals = [c for c in others if c.kind[:2] != best.kind[:2] and np.isfinite(c.loss)]

        def together(other: Contender) -> float:
            found = []
            for rung in rungs:
                both = [self.trained[best][rung], self.trained[other][rung]]
                judged, kinds = self._judged(both, rung)
                found.append(judged.committee_loss(kinds, self.n_networks))
            return float(np.mean(found))

        losses = {c: together(c) for c in rivals}
        logger.debug("losses alone and with others: %s, %s", best.loss, list(losses.values()))
        found = min(losses, key=losses.__getitem__, default=best)
        most = ASUNDER if self.plan.training.in_time else 0.0
        if found is best or losses[found] > best.loss + most * abs(best.loss):
            return []
        self.seconds = self.trained[found]
        return [found]

    def _without_norm(self, best: Contender) -> list[Contender]:
        """The best without batch norm, or with a weaker prior or more epochs; none of no layers.

        Told by networks as large as a committee's, which bear no weaker prior than these: of those
        that have few units the next weaker one was better on one cut of kick by 0.4%, and of a
        committee's worse by 1%. What took few epochs takes more of them without batch norm: on
        three cuts of amazon_access eight networks had a log loss of 0.151, 0.143 and 0.144 after 12
        epochs, of 0.156, 0.149 and 0.147 after 6 with a weaker prior, and else of 0.156 to 0.163.
        """
        if self.plan.p.batch_norm != "auto" or not self.plan.hidden_sizes:
            return []

        normed = self._normed(best)[0]
        longer = self.of_epochs(best, 1) if 2 * best.setting.n_epochs < max(self._epochs) else []
        alike = [best, *self.of_strength(best, -1), *longer]
        unnormed = [replace(c, setting=replace(c.setting, batch_norm=False)) for c in alike]
        others = self.run([self._of_full_size(self._job(c.setting, 0, 3)) for c in unnormed])
        judged, (with_norm, *without) = self._judged([normed, *([one] for one in others)], 0)
        committees = [[with_norm], *([with_norm, kind] for kind in without)]
        losses = np.array([judged.committee_loss(one, self.n_networks) for one in committees])
        logger.debug("losses of committees with batch norm, and of both kinds: %s", losses)
        losses[1:] -= TOLD_LESS * abs(losses[0])
        least = int(np.argmin(losses))
        if least == 0:
            return []
        self.seconds = [[others[least - 1]]]
        return [unnormed[least - 1]]

    def effect_networks(self, best: Contender) -> EffectNetworks | None:
        """How many networks had better see effects, and their epochs; None for none.

        They see those of all pairs worth a thought: what effects a network does not need it learns
        from all rows, not category by category. In time no stretch may lose more by them than is
        gained in the mean: on two of rossmann_200k a committee with a quarter of them was told to
        lose 5.5% less and 5.7% more, and on the next it had a MAPE of 0.107, without them 0.098.
        """
        rows, mask = self.splits[0]
        train, training = rows if mask is None else rows[~mask], self.plan.training
        if self.n_networks < 2 or training.grouped or not can_be_apart(training, train):
            return None
        firsts, grid = self._normed(best), self._epochs
        job = self._effects_job(best, grid[0], 0, 1)
        fewest = int(best.setting.n_epochs > grid[0])  # where vectors take few, effects may, too
        told = self._told(job, grid[fewest : fewest + 2])
        nearest = _least(told)
        alone = float(np.mean([_loss(one) for one in firsts[0]]))
        if not _loss(told[nearest]) <= alone + HOPELESS * abs(alone):
            return None
        told |= self._told(job, _beside(grid, nearest, -1 if nearest == min(told) else 1))
        n_epochs = _least(told)
        # Rows that the user gave judge all rungs alike.
        several = training.in_time and training.held_out is None
        rungs = range(len(firsts) if several else 1)
        others = self.run([self._effects_job(best, n_epochs, rung, 3) for rung in rungs])
        seeing = [[other] for other in others]
        seeing[0].append(told[n_epochs])

        choices = [EffectNetworks(every, n_epochs) for every in EVERY if every <= self.n_networks]
        losses = np.array([self._with_effects(best, choices, rung, seeing[rung]) for rung in rungs])
        logger.debug("losses of committees without effects, and with: %s", losses)
        gains = losses[:, :1] - losses
        steady = gains.mean(axis=0) >= -gains.min(axis=0)
        most = int(np.argmax(np.where(steady, gains.mean(axis=0), 0.0)))
        return choices[most - 1] if most else None

    def _with_effects(
        self, best: Contender, choices: list[EffectNetworks], rung: int, seeing: list[Trained]
    ) -> list[float]:
        """Loss of a committee none of whose networks see effects, then by choice of which do."""
        seconds = self.seconds[rung : rung + 1]
        of_vectors = [self.trained[best][rung], *seconds]
        judged, kinds = self._judged([*of_vectors, seeing], rung)
        losses = [judged.committee_loss(kinds[:-1], self.n_networks)]
        others = best.setting if seconds else None  # any: only which networks they are counts
        for choice in choices:
            shares = Settings(best.setting, others, choice).shares(self.n_networks)
            losses.append(judged.committee_loss(kinds, self.n_networks, shares))
        return losses

    def _normed(self, best: Contender) -> list[list[Trained]]:
        """Two networks of the contender, with batch norm, by rung."""
        if best not in self.trained:
            self.judge([best], 0, [0, 1])
        return self.trained[best]

    def _told(self, job: Job, epochs: Sequence[int]) -> dict[int, Trained]:
        """By number of epochs the network of a job, which sees effects."""
        jobs = [replace(job, training=replace(job.training, n_epochs=n)) for n in epochs]
        trained = self.run(jobs)
        return dict(zip(epochs, trained, strict=True))

    def _effects_job(self, best: Contender, n_epochs: int, rung: int, number: int) -> Job:
        return self._job(best.setting.seeing_effects(n_epochs), rung, number)

    def _job(self, setting: Setting, rung: int, number: int) -> Job:
        job = self.plan.job(*self.splits[rung], number, setting)
        return replace(job, is_trial=True)

    def _of_full_size(self, job: Job) -> Job:
        hidden_sizes = tuple(self.plan.p.hidden_sizes)
        return replace(job, config=replace(job.config, hidden_sizes=hidden_sizes))

    def _judged(self, kinds: Sequence[Sequence[Trained]], rung: int) -> tuple[Judged, list[range]]:
        """By the rows that this rung holds out, with all pairs' codes; the places of each kind."""
        job = self._job(replace(self.starts()[0].setting, paired=True), rung, 0)
        loss = make_loss(self.plan.loss, job.config.n_outputs, self.plan.p.quantile)
        ends = np.cumsum([0, *map(len, kinds)]).tolist()
        trained = [one for kind in kinds for one in kind]
        return Judged(trained, job, loss), list(map(range, ends, ends[1:]))

    @property
    def _may_multiply(self) -> bool:
        """Whether products of vectors are open, and there are two to multiply."""
        several = len(self.plan.training.schema.vocabularies) > 1
        return self.plan.p.interactions == "auto" and several

    @property
    def _epochs(self) -> list[int]:
        return epoch_grid(self.plan.p, grouped=self.plan.training.grouped)

    def _contender(
        self, strength: float, paired: bool, interactions: str, n_epochs: int
    ) -> Contender:
        by_table = self._shrinkages(paired, (strength,)).get(strength)
        if by_table is None:  # the user gave it
            ((strength, by_table),) = self._shrinkages(paired).items()
        setting = Setting(by_table, interactions, n_epochs, paired or self.asked)
        return Contender(paired, strength, setting)

    def _varied(
        self, contender: Contender, *, strength: float | None = None, n_epochs: int | None = None
    ) -> Contender:
        """The same, untried, but for what is given."""
        of, setting = contender.strength if strength is None else strength, contender.setting
        n_epochs = setting.n_epochs if n_epochs is None else n_epochs
        varied = self._contender(of, contender.paired, setting.interactions, n_epochs)
        return replace(varied, setting=replace(varied.setting, batch_norm=setting.batch_norm))

    def _shrinkages(self, paired: bool, *grid: tuple[float]) -> dict[float, tuple[float, ...]]:
        plan, schema = self.plan, self.plan.training.schema
        n_tables = len(plan.dims + plan.knot_dims)
        if not (paired or self.asked):
            n_tables -= len(schema.pairs)
        return shrinkages(plan.p, schema, n_tables, *grid)


def _loss(trained: Trained) -> float:
    return np.inf if trained.held_out_loss is None else trained.held_out_loss


def _least(told: Mapping[int, Trained]) -> int:
    """The number of epochs with the least loss."""
    return min(told, key=lambda n: _loss(told[n]))


def _beside(grid: Sequence[Number], value: Number, direction: int) -> list[Number]:
    """The next value of a grid, up (1) or down (-1); none at its end."""
    place = grid.index(value) + direction
    return [grid[place]] if 0 <= place < len(grid) else []


def ranked(contenders: Iterable[Contender]) -> list[Contender]:
    """The best first."""
    return sorted(contenders, key=lambda c: c.handicapped)


def _splits(plan: Plan, share: float) -> list[Split]:
    """Rows to train on and which of them to hold out, by rung or part; no mask where none are.

    In time each rung is judged by a stretch of its own, from what was before it: one stretch alone
    says how well a network fits what that month was like.
    """
    rows = np.arange(len(plan.training))
    masks = plan.held_out(rows, PARTS, share)
    if masks is None:
        return [(rows, None)] * MOST_RUNGS
    if not plan.training.in_time:
        return [(rows, mask) for mask in masks]
    splits: list[Split] = []
    while masks is not None and len(splits) < MOST_RUNGS:
        splits.append((rows, masks[0]))
        rows = rows[~masks[0]]
        masks = plan.held_out(rows, 1, share)
    return splits + splits[-1:] * (MOST_RUNGS - len(splits))
