"""The demonstration, on a few thousand flights; all of them in the slow test."""

import dataclasses
import os
import time

import numpy as np
import pandas as pd
import pytest

from catvec import CategoryVectors, EmbeddingClassifier, demo
from catvec.cli import _demo
from catvec.cli import run as run_catvec
from catvec.demo import CATEGORIES, NUMBERS, Contender
from catvec.errors import MissingDependencyError

ROWS = 2000
ACTUAL = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time", "hour", "minute")


@pytest.fixture(scope="module")
def steps():
    """What `run` said it was doing."""
    return []


@pytest.fixture(scope="module")
def epochs():
    """The progress that `run` told."""
    return []


@pytest.fixture(scope="module")
def found(tmp_path_factory, steps, epochs, larger_batches):
    out = tmp_path_factory.mktemp("demo") / "flights.catvec"
    with pytest.MonkeyPatch.context() as patched, larger_batches():
        patched.setattr(demo, "EPOCHS", 2)
        return demo.run(out, rows=ROWS, on_step=steps.append, on_epoch=epochs.append)


def test_only_what_is_known_before_departure_is_used(found):
    columns = [*found.train.X.columns]
    assert sorted(columns) == sorted([*CATEGORIES, *NUMBERS])
    assert not set(columns) & set(ACTUAL)
    assert found.train.X.sched_dep_min.between(0, 24 * 60 - 1).all()


def test_clock_times_become_minutes():
    assert demo.minutes(pd.Series([5, 1545, 2359])).tolist() == [5, 945, 1439]


def test_whole_days_are_held_out(found):
    assert not set(found.train.day) & set(found.test.day)
    n_days = found.train.n_days + found.test.n_days
    assert found.test.n_days == round(0.2 * n_days)
    assert len(found.train) + len(found.test) <= found.n_flights == ROWS


def test_every_contender_is_scored(found):
    names = [contender.name for contender in found.contenders]
    assert len(set(names)) == 5
    assert [contender.ours for contender in found.contenders] == [False] * 3 + [True] * 2
    for contender in found.contenders:
        assert 0 < contender.auc < 1
        assert 0 < contender.log_loss < 1
        assert contender.seconds >= 0
    assert found.contenders[0].auc == 0.5


def test_the_model_is_saved_and_answers_the_same(found):
    loaded = EmbeddingClassifier.load(found.path)
    head = found.test.X.head(20)
    assert np.array_equal(loaded.predict_proba(head), found.model.predict_proba(head))
    assert CategoryVectors.load(found.path).columns == tuple(CATEGORIES)
    sample = pd.read_csv(found.sample)
    assert [*sample.columns] == [*found.test.X.columns, "late"]


def test_an_airport_never_seen_has_no_effect(found):
    assert (found.answer.effect, found.answer.confidence) == (0.0, 0.0)
    assert 0 < found.answer.never_seen < 1
    assert demo.NEVER_SEEN not in found.model.vectors_["dest"]


def test_neighbors_have_names(found):
    for column, of_column in found.neighbors.items():
        assert of_column
        for category, similar in of_column.items():
            assert len(similar) == 3
            assert found.names[column][category]


@pytest.mark.usefixtures("found")
def test_steps_and_epochs_are_told(steps, epochs):
    assert steps[0] == "reading the flights"
    assert "EmbeddingClassifier" in steps
    assert {epoch.stage for epoch in epochs} >= {"training"}


def test_without_the_flights_it_says_how_to_get_them(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(demo, "find_spec", lambda _: None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'catvec\[demo\]'"):
        demo.find_data()
    monkeypatch.setattr(_demo, "find_spec", lambda _: None)
    assert run_catvec(["demo", "--out", str(tmp_path / "m")]) == 2
    assert capsys.readouterr().err == f"catvec: {_demo.INSTALL}\n"


# --- the page -----------------------------------------------------------------------------


@pytest.fixture
def page(found, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    _demo.print_page(_demo.Output(), found)
    return capsys.readouterr().out


def test_the_page_tells_everything(page, found):
    for words in [
        "What was learned about each column",
        "How well the held-out days were predicted",
        "An airport never seen",
        "flights.catvec",
        *CATEGORIES,
        *(contender.name for contender in found.contenders),
    ]:
        assert words in page
    titles = [line for line in page.splitlines() if line and not line.startswith(" ")]
    assert len(titles) == 7


def test_the_page_fits_a_terminal_and_a_file(page, found):
    lines = [line for line in page.splitlines() if str(found.path.parent) not in line]
    assert max(map(len, lines)) <= 80
    assert all(c.isprintable() or c == "\n" for c in page)


def test_the_commands_it_proposes_work(tmp_path, monkeypatch, page, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line.split(" | ")[0] for line in page.splitlines() if "  catvec " in line]
    assert len(commands) == 4
    for command in commands:
        assert run_catvec(command.split()[1:]) == 0, capsys.readouterr().err
    assert "airports" in os.listdir()


def contenders(**scores: tuple[float, float]) -> list[Contender]:
    return [Contender(name, name[0] == "E", *pair, 1.0) for name, pair in scores.items()]


def test_plain_words_where_a_baseline_wins():
    (told,) = _demo.verdicts(contenders(mean=(0.5, 0.6), boosting=(0.7, 0.5), E=(0.65, 0.45)))
    assert "AUC of 0.6500 loses to boosting (0.7000)" in told
    assert "log loss of 0.4500 beats every baseline (best: boosting, 0.5000)" in told
    (told,) = _demo.verdicts(contenders(boosting=(0.7, 0.5), E=(0.7001, 0.6)))
    assert "is level with boosting (0.7000)" in told
    assert "its log loss of 0.6000 loses to boosting" in told
    (slow,) = _demo.verdicts(
        [
            dataclasses.replace(c, seconds=9.0 if c.ours else 0.5)
            for c in contenders(boosting=(0.6, 0.5), E=(0.7, 0.4))
        ]
    )
    assert slow.endswith("It takes 9.0 s, where boosting takes 0.5 s.")


@pytest.mark.slow(reason="90 seconds; the tests above run it on some of the flights")
def test_all_flights(tmp_path, capsys):
    start = time.perf_counter()
    assert run_catvec(["demo", "--out", str(tmp_path / "flights.catvec")]) == 0
    assert time.perf_counter() - start < 300  # 90 where nothing else runs
    assert "336,776 flights" in capsys.readouterr().out
