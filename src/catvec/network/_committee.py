"""Several networks side by side on threads: products and loops release the interpreter's lock."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor, as_completed
from contextlib import ExitStack, contextmanager, suppress

import numpy as np
import scipy.linalg  # noqa: F401 (its BLAS makes compiled products: it is held to one thread, too)
from threadpoolctl import threadpool_limits

from catvec.network._data import TrainingData
from catvec.network._network import NetworkConfig
from catvec.network._step import TrainingConfig
from catvec.network._training import LAST_RATE, EpochRecord, Job, OnEpoch, Trained, run

__all__ = ["SharedLimit", "learn_held_out", "train", "train_committee"]


def train(
    config: NetworkConfig,
    training: TrainingConfig,
    data: TrainingData,
    held_out: TrainingData | None = None,
    *,
    seed: int = 0,
    engine: str = "numpy",
    on_epoch: OnEpoch | None = None,
) -> Trained:
    """Train one network.

    Parameters
    ----------
    config : NetworkConfig
    training : TrainingConfig
    data, held_out : TrainingData
        Rows to learn from; rows whose loss is told after each epoch, or None.
    seed : int
        At least 0. The same seed and data give the same bits.
    engine : {"numpy", "numba"}
        As `choose_engine` returned it.
    on_epoch : callable, optional
        Called with the `EpochRecord` of each epoch.

    Returns
    -------
    Trained

    Raises
    ------
    TrainingError
        If a loss becomes infinite or NaN.
    """
    job = Job(config, training, data, held_out, seed, engine)
    return train_committee([job], on_epoch=on_epoch)[0]


def train_committee(
    jobs: Sequence[Job], *, n_jobs: int = 1, on_epoch: OnEpoch | None = None
) -> list[Trained]:
    """Train several networks, `n_jobs` at a time.

    Parameters
    ----------
    jobs : sequence of Job
        They may share their arrays, which are only read.
    n_jobs : int
        Threads, at least 1; the results have the same bits whatever it is. The library of the
        matrix products is held to one thread for the time, and given back.
    on_epoch : callable, optional
        Called with each `EpochRecord` (`network` is the job's place in `jobs`), by one thread at
        a time, though not by the caller's.

    Returns
    -------
    list of Trained
        In the order of `jobs`.

    Raises
    ------
    TrainingError
        If a loss becomes infinite or NaN. After this, an error of `on_epoch` or an interruption,
        networks under way end with their epoch and others are not begun.
    """
    with single_threaded_products(), _one_thread_each(jobs):
        if n_jobs <= 1 or len(jobs) <= 1:
            return [run(job, number, on_epoch) for number, job in enumerate(jobs)]
        return _side_by_side(jobs, n_jobs, on_epoch)


def learn_held_out(
    trained: Sequence[Trained], n_passes: int = 1, rate: float = LAST_RATE, *, n_jobs: int = 1
) -> None:
    """Let networks learn the rows they held out as well, in `n_passes` over all rows.

    The rate falls from a part of its first value, so that a network stays about where it was.
    Networks are changed in place; their held-out losses are from before.

    Parameters
    ----------
    trained : sequence of Trained
        Networks that held out rows of their own training data.
    n_passes : int
        At least 1.
    rate : float
        Where it begins, as a part of the first one of the training.
    n_jobs : int
        Threads, at least 1.
    """

    def learn(one: Trained) -> None:
        assert one.run is not None
        with np.errstate(all="ignore"):
            one.run.learn_held_out(n_passes, rate)

    jobs = [one.run.job for one in trained if one.run is not None]
    with (
        single_threaded_products(),
        _one_thread_each(jobs),
        ThreadPoolExecutor(max(1, n_jobs)) as pool,
    ):
        list(pool.map(learn, trained))


def _side_by_side(jobs: Sequence[Job], n_jobs: int, on_epoch: OnEpoch | None) -> list[Trained]:
    stopped = threading.Event()
    told = _one_at_a_time(on_epoch, stopped)
    with ThreadPoolExecutor(min(n_jobs, len(jobs))) as pool:
        # The longest first: at the end no thread waits for one that began last.
        numbers = sorted(range(len(jobs)), key=lambda number: -jobs[number].n_looks)
        futures = {number: pool.submit(run, jobs[number], number, told) for number in numbers}
        try:
            for future in as_completed(futures.values()):
                with suppress(CancelledError):  # by another network, which tells why
                    future.result()  # raises as soon as any network has
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    return [futures[number].result() for number in range(len(jobs))]


def _one_at_a_time(on_epoch: OnEpoch | None, stopped: threading.Event) -> OnEpoch:
    """`on_epoch` under a lock; ends the networks that come by after `stopped` is set."""
    lock = threading.Lock()

    def told(record: EpochRecord) -> None:
        with lock:
            if stopped.is_set():  # else Ctrl-C would wait for whole trainings
                raise CancelledError
            try:
                if on_epoch is not None:
                    on_epoch(record)
            except BaseException:
                stopped.set()  # here, since this thread goes on to the next network at once
                raise

    return told


class SharedLimit:
    """A limit in force while any fit is under way; the last one to end takes it off.

    Fits may overlap (joblib with threads): were each to restore what it found, one that began
    during another would leave the limit in place for good.

    Parameters
    ----------
    limit : callable
        Puts the limit in force and returns what takes it off.
    """

    def __init__(self, limit: Callable[[], Callable[[], object]]) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._n_fits = 0
        self._restore: Callable[[], object] | None = None

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self._n_fits += 1
            if self._n_fits == 1:
                self._restore = self._limit()
        try:
            yield
        finally:
            with self._lock:
                self._n_fits -= 1
                if self._n_fits == 0 and self._restore is not None:
                    self._restore()
                    self._restore = None


single_threaded_products = SharedLimit(
    lambda: threadpool_limits(1, user_api="blas").restore_original_limits
)


@contextmanager
def _one_thread_each(jobs: Sequence[Job]) -> Iterator[None]:
    with ExitStack() as stack:
        for backend in {id(job.backend): job.backend for job in jobs}.values():
            if backend is not None:
                stack.enter_context(backend.one_thread())
        yield
