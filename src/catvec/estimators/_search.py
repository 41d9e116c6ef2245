"""The choice of shrinkage, pairs, interactions and epochs: a climb on held-out rows, then a final.

A contender is a strength of the prior and a number of epochs, without or with pairs of columns,
without or with products of vectors; one network, with fewer hidden units than a committee's, tells
how it does. The climb starts with three strengths and a quarter of the epochs, tries the neighbours
of the best (the next strengths and half the epochs; then pairs; then twice the epochs, which cost
most; then products), and goes on from these while one of them is better. It sees a part of a large
table, and holds out more rows than a committee does: with a tenth of amazon_access to judge by,
pairs were refused on two folds of three, though worth 0.010 of log loss.

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

Last comes what every second network has instead. For rows to come, of later days or other groups,
it may be what another finalist has, with other pairs or products: on four stretches of
rossmann_200k, each predicted from what was before it, networks without pairs had a mean MAPE of
0.1080, those with pairs 0.1042 and both together 0.1002, as what is best in one stretch is not in
the next. Else it may be to do without batch norm. Such networks are no better, but err elsewhere:
on rows apart log loss of kick was 0.2983 with batch norm, 0.2971 without and 0.2953 with both kinds
(amazon_access 0.1166, 0.1169, 0.1154; RMSE of movielens_100k 0.902, 0.899, 0.898). Two with it and
one without tell what a committee of both would lose. Nothing amplifies vectors without it, so that
a strong prior may flatten them: the next weaker one is tried, too, and twice the epochs where they
are few. For rows to come they are worse (MAPE of rossmann_200k 0.099, 0.111, 0.102; AUC of
nycflights 0.722 and, with both, 0.716), and are not tried.

So it is with networks that see effects in place of vectors, of which two for one number of epochs
tell what committees with a quarter and a half of them would lose: see `Trials.effect_networks`.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np

from catvec.estimators._choice import supported_dims
from catvec.estimators._effects_apart import fits_into_memory
from catvec.estimators._pairs import candidate_pairs, with_pairs
from catvec.estimators._parameters import SharedParameters
from catvec.estimators._plan import Plan
from catvec.estimators._settings import Settings
from catvec.estimators._trials import (
    ASUNDER,
    HOPELESS,
    MOST_RUNGS,
    PARTS,
    Contender,
    Run,
    Trials,
    ranked,
)

FIRST_ROWS, LAST_ROWS = 50_000, 100_000  # that the climb and the final look at, at most
MOST_ROW_EPOCHS = 20_000_000  # of a network, up to which a larger table gets twice the epochs
FEW_TABLES = 40  # with more, they look at as many cells as so many tables have in those rows
FIRST_SHARE = 0.2  # of the rows judge the climb, unless rows are ordered in time
FEW_JUDGES = 1_000  # held-out rows that the climb is judged by at least, in up to PARTS fits each
TRIALS = 16  # networks of a search that are reckoned with, by part: eight to twenty
JUDGES = 5_000  # held-out rows after which the final is over
MANY_FINALISTS, FEW_FINALISTS = 3, 2  # of the climb, where it saw all rows and where it did not;
# few go on to the second rung, too
DENSER = 1.2  # times the rows of each group, from which more rows are more of the same groups
NEAR = 0.05  # part of the best loss by which others of the climb may be worse to be finalists
FAR = 0.3  # the same for pairs that more rows may be better for, of a committee of two kinds
LEAD = 2.0  # times what chance may make of a loss, by which one is clearly ahead

logger = logging.getLogger("catvec")


def search(
    plan: Plan, run: Run, n_networks: int, *, judged: bool, effect_networks: bool = False
) -> tuple[Plan, Settings, Mapping[float, float]]:
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
    effect_networks : bool, default=False
        Whether some of the networks may see effects in place of vectors.

    Returns
    -------
    plan : Plan
        For all rows, with the pairs that some of the networks see.
    settings : Settings
    tried : dict of float to float
        Held-out loss of the climb by strength of the prior, with the pairs and interactions that
        were chosen and the epochs that were best; empty if no strengths were compared.
    """
    share = first_share = plan.p.validation_fraction
    if share and not plan.training.in_time:
        first_share = max(share, FIRST_SHARE)
    sample = _sample(plan.for_trials(), FIRST_ROWS)
    pairs = candidate_pairs(sample.training) if judged and plan.p.pairs == "auto" else []
    first = Trials(sample, pairs, first_share, n_networks, run)
    if not judged or first.n_judges == 0 or first.n_open == 0:
        return plan, Settings(first.untried().setting), {}

    everyone = _climb(first)
    if not np.isfinite(everyone[0].loss):  # training will say what broke down, and the remedy
        return plan, Settings(first.untried().setting), {}
    plan = plan.with_widths(_widths(first, everyone[0]))
    last = Trials(_sample(plan.for_trials(), LAST_ROWS), pairs, share, n_networks, run)
    chosen, seen = everyone[:1], None
    if last.n_judges:  # a share so small holds nothing out
        best, others = _final(last, _finalists(last, everyone, first.plan))
        chosen = [best, *last.second(best, others)]
        seen = last.effect_networks(best) if effect_networks else None
    denser = _denser(plan, last.plan)
    if denser > DENSER:
        chosen = [_of_denser(last, c, denser) for c in chosen]
    elif len(plan.training) > len(last.plan.training):
        chosen = [_longer(last, c) for c in chosen]

    best, *others = chosen
    settings = Settings(best.setting, others[0].setting if others else None, seen)
    tried = _by_strength(c for c in everyone if c.kind[:2] == best.kind[:2])
    of = best.strength, tried, best.setting.n_epochs
    logger.info("shrinkage %g chosen by held-out loss, of %s; %d epochs", *of)
    found = _with_pairs(plan, pairs, settings.within(n_networks))
    if seen is not None and not fits_into_memory(found.training):
        settings = replace(settings, effect_networks=None)
        found = _with_pairs(plan, pairs, settings)
    return found, settings.within(n_networks), tried if len(tried) > 1 else {}


def _with_pairs(plan: Plan, pairs: list[tuple[str, str]], settings: Settings) -> Plan:
    """The plan with the pairs, if some networks see them or their effects."""
    seen = settings.paired or settings.effect_networks is not None
    return plan.of(with_pairs(plan.training, pairs)) if pairs and seen else plan


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
    Where rows come in time or in groups it may be a good deal worse, for a committee may be made of
    both, and pairs gain most by more rows.
    More rows bear a weaker prior and more epochs, unless they are more of the same groups: what
    rows of a group have in common is learned by heart the sooner. What was lost in the climb counts
    no more: it was a single network's, too.
    """
    best, more_rows = everyone[0], len(last.plan.training) > len(seen.training)
    near, apart = _within(everyone, NEAR), NEAR
    if last.bound:
        apart = FAR if more_rows and not best.paired else HOPELESS
    others = [c for c in _within(everyone, apart) if c.paired != best.paired][:1]
    found = [best, *others, *(c for c in near if c not in others)]
    found = found[: FEW_FINALISTS if more_rows else MANY_FINALISTS]
    keys = [c.key for c in found]
    if more_rows:
        longer = -1 if _denser(last.plan, seen) > DENSER else 1
        asked = last.of_strength(best, -longer) + last.of_epochs(best, longer)
        found += [c for c in asked if c.key not in keys]
    return [replace(c, losses=[]) for c in found]


def _within(everyone: list[Contender], part: float) -> list[Contender]:
    """Those after the best that are worse by no more than a part of its loss."""
    most = everyone[0].handicapped + part * abs(everyone[0].handicapped)
    return [c for c in everyone[1:] if c.handicapped <= most]


def _widths(first: Trials, best: Contender) -> dict[str, int]:
    """Width of the vectors by column that the best contender's network supports."""
    training = first.plan.training
    network = first.trained[best][0][0].network
    tables = [network.vectors(c) for c in range(len(training.schema.vocabularies))]
    return supported_dims(first.plan.p, training.schema, tables, training.arrays.codes)


def _final(last: Trials, contenders: list[Contender]) -> tuple[Contender, list[Contender]]:
    """The best contender, once rows enough have judged, and the others, best first.

    Of priors as good as its the strongest is taken.
    """
    if len(contenders) == 1:
        return contenders[0], []
    for rung in range(MOST_RUNGS):
        best, *others = last.judge(contenders, rung, [2 * rung, 2 * rung + 1])
        contenders = [best, *_not_behind(last, best, others)]
        if not last.bound and (len(contenders) == 1 or (rung + 1) * last.n_judges >= JUDGES):
            break
    as_good = [c for c in others if c.kind == best.kind and not _is_behind(c, best)]
    winner = max([best, *as_good], key=lambda c: c.strength)
    return winner, [c for c in (best, *others) if c is not winner]


def _not_behind(last: Trials, best: Contender, others: list[Contender]) -> list[Contender]:
    """Which of the others go on to the next rung.

    Where rows are grouped all of them. In time those that may still make up for it in another
    stretch, and the best of another kind in any case, as a committee may be of both.
    """
    if last.plan.training.in_time:
        most = best.handicapped + ASUNDER * abs(best.handicapped)
        unlike = [c for c in others if c.kind[:2] != best.kind[:2]][:1]
        return [c for c in others if c.handicapped <= most or c in unlike]
    if last.bound:
        return others
    return [c for c in others if not _is_behind(c, best, LEAD)][: FEW_FINALISTS - 1]


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
