"""The choice of shrinkage, pairs and interactions: successive halving over held-out rows.

Jamieson & Talwalkar 2016 (arXiv 1502.07943): all contenders are tried on the first held-out rows,
the best ones on the next, until rows enough have judged. Contenders are each strength of the prior,
without and with pairs of columns, and then variants of the best of these: a weaker prior, where the
best is the weakest, and products of vectors. A contender is a network of its own; where the trials
saw all rows, the winner's networks are the first ones of the committee.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from catvec.estimators._choice import GRID_STEP, MIDDLE, shrinkages
from catvec.estimators._pairs import candidate_pairs, with_pairs
from catvec.estimators._plan import Plan, Setting
from catvec.network import INTERACTIONS, Job, Trained

CHOICE_ROWS = 50_000  # rows that trials look at: a prior is as strong on a part as on the whole
JUDGES = 6_000  # held-out rows after which the choice is made
PLAIN, *PRODUCTS = INTERACTIONS
MOST_RUNGS = 3
KEPT = (3, 2)  # contenders after each rung
GAIN = 0.005  # part of the held-out loss by which pairs, or products, have to be better

logger = logging.getLogger("catvec")

Run = Callable[[list[Job]], list[Trained]]


@dataclass(eq=False)
class Contender:
    """A setting of networks for a plan, and how its networks did."""

    plan: Plan
    strength: float
    setting: Setting
    trained: list[Trained] = field(default_factory=list)

    @property
    def loss(self) -> float:
        """Mean held-out loss."""
        losses = [np.inf if t.held_out_loss is None else t.held_out_loss for t in self.trained]
        return float(np.mean(losses))

    @property
    def handicapped(self) -> float:
        """The loss to compare: what is more complicated has to be clearly better."""
        n_extras = bool(self.plan.training.schema.pairs) + (self.setting.interactions != PLAIN)
        return self.loss + GAIN * n_extras * abs(self.loss)


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
        Held-out loss by strength of the prior, with these pairs; empty if it was not chosen.
    trained : list of Trained
        The first networks of the committee, if trials have trained them.
    """
    sample = _sample(plan)
    contenders = _contenders(sample)
    rows = np.arange(len(sample.training))
    masks = sample.held_out(rows, MOST_RUNGS) if judged else None
    can_tell = judged and (masks is not None or sample.training.held_out is not None)
    if can_tell and plan.p.pairs == "auto":
        names = candidate_pairs(sample.training)
        paired = _contenders(plan.of(with_pairs(sample.training, names))) if names else []
        contenders += paired
    if not can_tell or (len(contenders) == 1 and plan.p.interactions != "auto"):
        middle = next((c for c in contenders if c.strength == MIDDLE), contenders[0])
        return plan, middle.setting, {}, []
    best, tried = _halved(contenders, rows, masks, run)
    logger.info("shrinkage %g chosen by held-out loss, of %s", best.strength, tried)
    if sample is plan:
        return best.plan, best.setting, tried, best.trained
    names = [(pair.first, pair.second) for pair in best.plan.training.schema.pairs]
    if plan.p.pairs == "auto" and names:
        plan = plan.of(with_pairs(plan.training, names))
    return plan, best.setting, tried, []


def _sample(plan: Plan) -> Plan:
    """The plan for at most `CHOICE_ROWS` rows, drawn at random."""
    training = plan.training
    held_out = training.held_out
    if held_out is not None and len(held_out) > CHOICE_ROWS:
        rng = np.random.default_rng([plan.seed, 4])
        rows = np.sort(rng.permutation(len(held_out))[:CHOICE_ROWS])
        training = replace(training, held_out=replace(held_out, rows=rows))
    if len(training) > CHOICE_ROWS:
        rng = np.random.default_rng([plan.seed, 1])
        rows = np.sort(rng.permutation(len(training))[:CHOICE_ROWS])
        training = training.take(rows)
    return plan if training is plan.training else plan.of(training)


def _contenders(plan: Plan) -> list[Contender]:
    n_tables = len(plan.dims + plan.knot_dims)
    by_strength = shrinkages(plan.p, plan.training.schema, n_tables)
    plain = PLAIN if plan.p.interactions == "auto" else plan.p.interactions
    return [Contender(plan, s, Setting(by_table, plain)) for s, by_table in by_strength.items()]


def _halved(
    contenders: list[Contender], rows: np.ndarray, masks: list[np.ndarray] | None, run: Run
) -> tuple[Contender, dict[float, float]]:
    """The best contender, and the losses of those like it by strength."""
    everyone = contenders
    given = contenders[0].plan.training.held_out
    n_judges = len(given) if given is not None else int(masks[0].sum()) if masks else len(rows)
    n_rungs = min(MOST_RUNGS, -(-JUDGES // max(n_judges, 1)))
    for rung in range(n_rungs):
        mask = None if masks is None else masks[rung]
        jobs = [c.plan.job(rows, mask, rung, c.setting) for c in contenders]
        for contender, trained in zip(contenders, run(jobs), strict=True):
            contender.trained.append(trained)
        contenders = sorted(contenders, key=lambda c: c.handicapped)
        if rung == 0:
            variants = _variants(contenders[0], everyone)
            jobs = [c.plan.job(rows, mask, rung, c.setting) for c in variants]
            for contender, trained in zip(variants, run(jobs), strict=True):
                contender.trained.append(trained)
            everyone = [*everyone, *variants]
            contenders = sorted([*contenders, *variants], key=lambda c: c.handicapped)
        contenders = contenders[: KEPT[min(rung, len(KEPT) - 1)]]
    best = contenders[0]
    alike = [
        c
        for c in everyone
        if c.plan is best.plan and c.setting.interactions == best.setting.interactions
    ]
    tried = {c.strength: c.loss for c in sorted(alike, key=lambda c: c.strength)}
    return best, tried if len(tried) > 1 else {}


def _variants(best: Contender, everyone: list[Contender]) -> list[Contender]:
    """A weaker prior than the best, if that is the weakest; and products of its vectors."""
    plan, strengths = best.plan, [c.strength for c in everyone if c.plan is best.plan]
    variants = []
    if len(strengths) > 1 and best.strength == min(strengths):
        grid = (best.strength / GRID_STEP,)
        n_tables = len(best.setting.shrinkage)
        ((weaker, by_table),) = shrinkages(plan.p, plan.training.schema, n_tables, grid).items()
        setting = replace(best.setting, shrinkage=by_table)
        variants.append(Contender(plan, weaker, setting))
    if plan.p.interactions == "auto" and len(plan.training.schema.vocabularies) > 1:
        for kind in PRODUCTS:
            setting = replace(best.setting, interactions=kind)
            variants.append(Contender(plan, best.strength, setting))
    return variants
