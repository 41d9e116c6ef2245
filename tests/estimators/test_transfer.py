"""`init`: vectors learned elsewhere, in the encoder, the classifier and the regressor."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone

from catvec import CategoryVectors, EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import ArtifactError, InputError, ParameterError
from catvec.estimators._transfer import SCALE, benefit
from catvec.frames import Vocabulary, one_column
from catvec.vectors import ColumnVectors

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {
    "shrinkage": 1.0,
    "pairs": None,
    "interactions": "concatenate",
    "n_networks": 2,
    "n_epochs": 6,
    "engine": "numpy",
    "random_state": 0,
}
N_ITEMS = 60


def latent():
    return np.random.default_rng(99).normal(size=(N_ITEMS, 3))


def table(n=400, seed=0, task=0):
    """Items whose hidden properties decide, in another way for each task."""
    rng, z = np.random.default_rng(seed), latent()
    item, x = rng.integers(N_ITEMS, size=n), rng.normal(size=n)
    y = z[item, 0] + z[item, 1] * x if task == 0 else np.tanh(z[item, 0] * x) + z[item, 1]
    frame = pd.DataFrame({"item": [f"i{k:02d}" for k in item], "x": x})
    return frame, y + 0.3 * rng.normal(size=n)


def made(vectors, categories, name="item", counts=None):
    """Vectors of these categories; the unknown row at 1, no row missing."""
    vocabulary, _ = Vocabulary.learn(one_column(name, list(categories)))
    counts = np.ones(len(categories)) if counts is None else counts
    vocabulary = replace(vocabulary, stored_counts=np.array([0, 0, *counts], np.int64))
    n, d = vectors.shape
    rows = np.vstack([np.ones((2, d)), vectors]).astype(np.float32)
    assert vocabulary.n_codes == n + 2
    return CategoryVectors([ColumnVectors(vocabulary, rows, np.zeros(n + 2), np.zeros(n + 2))])


NAMES = [f"i{k:02d}" for k in range(N_ITEMS)]


@pytest.fixture(scope="module")
def pretrained():
    return made(latent() * 40 + 3, NAMES)


# --- what is found ----------------------------------------------------------------------


def test_the_report_counts_what_was_found():
    X, y = table()
    X.loc[:9, "item"] = None
    X.loc[10:19, "item"] = "novel"
    init = made(np.eye(50), [*NAMES[:48], "other", "third"])
    report = EmbeddingRegressor(init=init, **QUICK).fit(X, y).transfer_report_["columns"]
    met = set(X["item"].dropna())
    covered = X["item"].isin(NAMES[:48]).mean()
    assert report == {
        "item": {
            "from": "item",
            "found": len(met & set(NAMES[:48])),
            "not_found": len({*NAMES[:48], "other", "third"} - met),
            "new": len(met - set(NAMES[:48])),
            "rows_covered": pytest.approx(covered),
        }
    }
    assert EmbeddingRegressor(**QUICK).fit(X, y).transfer_report_ is None


def test_columns_go_by_name_and_by_map(pretrained):
    X, y = table()
    X = X.rename(columns={"item": "product"}).assign(item=X["item"])
    model = EmbeddingRegressor(init=pretrained, column_map={"product": "item"}, **QUICK)
    assert list(model.fit(X, y).transfer_report_["columns"]) == ["product", "item"]
    model.set_params(column_map={"product": "item", "item": None})
    assert list(model.fit(X, y).transfer_report_["columns"]) == ["product"]
    by_place = EmbeddingRegressor(init=pretrained, column_map={0: "item"}, columns=[0], **QUICK)
    cells = X[["product", "x"]].to_numpy(dtype=object)
    cells[:, 1] = cells[:, 1].astype(float)
    assert by_place.fit(cells, y).transfer_report_["columns"]["x0"]["found"] == N_ITEMS


def test_a_saved_model_is_fitted_anew_without_what_it_began_with(pretrained, tmp_path):
    X, y = table()
    X = X.rename(columns={"item": "product"})
    model = EmbeddingRegressor(init=pretrained, column_map={"product": "item"}, **QUICK)
    model.fit(X, y).save(tmp_path / "m.catvec")
    loaded = EmbeddingRegressor.load(tmp_path / "m.catvec")
    assert loaded.transfer_report_ == model.transfer_report_
    assert loaded.fit(X, y).transfer_report_ is None


def test_integers_are_matched_by_value_whatever_their_type():
    rng = np.random.default_rng(0)
    X = pd.DataFrame({"item": rng.integers(5, size=200).astype(float)})
    init = made(np.eye(6), range(6))
    report = EmbeddingRegressor(init=init, columns=["item"], **QUICK).fit(X, X["item"])
    assert report.transfer_report_["columns"]["item"]["found"] == 5
    assert report.transfer_report_["columns"]["item"]["not_found"] == 1


# --- where vectors begin and stay -------------------------------------------------------


def test_held_vectors_are_the_given_ones_bit_for_bit(pretrained, tmp_path):
    X, y = table()
    X.loc[:9, "item"] = "novel"
    model = EmbeddingRegressor(init=pretrained, freeze="always", **QUICK).fit(X, y)
    item, given = model.vectors_["item"], pretrained["item"]
    assert item.embedding_dim > 3  # with room of its own
    np.testing.assert_array_equal([item[k][:3] for k in NAMES], given.vectors)
    np.testing.assert_array_equal(item.unknown.vector[:3], given.unknown.vector)
    assert (item["novel"][:3] != given.unknown.vector).all()
    model.save(tmp_path / "m.catvec")
    again = EmbeddingRegressor.load(tmp_path / "m.catvec")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    assert again.transfer_report_ == model.transfer_report_
    assert again.vectors_ == model.vectors_


@pytest.mark.parametrize("freeze", ["never", "first", "always"])
def test_with_a_given_width_held_rows_have_nothing_else(pretrained, freeze):
    X, y = table()
    model = EmbeddingRegressor(init=pretrained, freeze=freeze, embedding_dim=3, **QUICK).fit(X, y)
    same = np.array_equal(model.vectors_["item"].vectors, pretrained["item"].vectors)
    assert same == (freeze == "always")
    tables = [network.tables.weight(0) for network in model.networks_]
    assert np.array_equal(*tables) == (freeze == "always")


def test_overwhelming_shrinkage_leaves_vectors_where_they_began(pretrained):
    X, y = table()
    model = EmbeddingRegressor(init=pretrained, embedding_dim=3, **{**QUICK, "shrinkage": 1e8})
    item = model.fit(X, y).vectors_["item"]
    given = pretrained["item"].vectors - pretrained["item"].unknown.vector
    scaled = given / pretrained["item"].vectors.std(axis=0).mean() * SCALE
    own = item.vectors - item.unknown.vector
    correlation = np.corrcoef(own.ravel(), scaled.ravel())[0, 1]
    assert correlation > 0.9999
    assert np.abs(own).std() == pytest.approx(np.abs(scaled).std(), rel=0.1)


@pytest.mark.learns
@pytest.mark.parametrize("freeze", ["never", "always"])
def test_a_category_that_only_the_vectors_know_is_known(pretrained, freeze):
    X, y = table(2000)
    left_out = X["item"].isin(NAMES[3:15]).to_numpy()
    model = EmbeddingRegressor(init=pretrained, freeze=freeze, **QUICK)
    model.set_params(handle_unknown="error").fit(X[~left_out], y[~left_out])
    item = model.vectors_["item"]
    assert "i03" in item
    assert item.effect("i03") == 0
    assert item.confidence("i03") == 0
    assert item.counts.sum() == (~left_out).sum()
    bare = EmbeddingRegressor(**QUICK).fit(X[~left_out], y[~left_out])

    def error(m):
        return np.mean((m.predict(X[left_out]) - y[left_out]) ** 2)

    assert error(model) < 0.85 * error(bare)


def test_rare_categories_that_the_vectors_know_keep_a_row():
    X, y = table()
    X.loc[0, "item"], X.loc[1, "item"] = "rare", "rarer"
    init = made(np.eye(3), ["i00", "i01", "rare"])
    item = EmbeddingRegressor(init=init, min_frequency=2, **QUICK).fit(X, y).vectors_["item"]
    assert "rare" in item
    assert "rarer" not in item
    once = X["item"].map(X["item"].value_counts()) < 2
    assert item.unknown.count == (once & ~X["item"].isin(["rare", "i00", "i01"])).sum()


def test_missing_rows_are_matched_where_both_have_met_them():
    X, y = table()
    X.loc[:49, "item"] = None
    first = EmbeddingRegressor(**QUICK).fit(X, y)
    held = {"init": first.vectors_, "freeze": "always", "embedding_dim": 16, **QUICK}
    width = first.vectors_["item"].embedding_dim
    second = EmbeddingRegressor(**held).fit(X, y)
    given = first.vectors_["item"].missing.vector
    np.testing.assert_array_equal(second.vectors_["item"].missing.vector[:width], given)
    without = EmbeddingRegressor(**held).fit(X[50:], y[50:]).vectors_["item"]
    np.testing.assert_array_equal(without.missing.vector, without.unknown.vector)


@pytest.mark.parametrize("seed", range(3))
def test_neither_scale_nor_origin_of_the_vectors_matters(pretrained, seed):
    X, y = table(seed=seed)
    item = pretrained["item"]
    moved = ColumnVectors(item.vocabulary, item.by_code()[0] / 64 - 1, *item.by_code()[1:])
    one, other = (
        EmbeddingRegressor(init=init, **QUICK).fit(X, y).predict(X)
        for init in (pretrained, CategoryVectors([moved]))
    )
    np.testing.assert_allclose(one, other, atol=0.02)


def test_wider_vectors_are_projected_on_their_leading_directions():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(8, 8)))[0]
    wide = latent() @ np.diag([3.0, 2.0, 1.0]) @ basis[:3] + 1e-6 * rng.normal(size=(N_ITEMS, 8))
    counts = rng.integers(1, 50, N_ITEMS)
    X, y = table()
    model = EmbeddingRegressor(
        init=made(wide, NAMES, counts=counts), freeze="always", embedding_dim=3, **QUICK
    ).fit(X, y)
    own = model.vectors_["item"].vectors.astype(float)
    mean = counts @ wide / counts.sum()
    _, _, directions = np.linalg.svd((wide - mean) * np.sqrt(counts)[:, None])
    expected = np.abs(wide @ directions[:3].T)
    np.testing.assert_allclose(np.abs(own), expected, atol=1e-4)


def test_widths(pretrained):
    X, y = table()
    wide = made(np.random.default_rng(0).normal(size=(N_ITEMS, 50)), NAMES)

    def dims(**parameters):
        return EmbeddingRegressor(**{**QUICK, **parameters}).fit(X, y).choice_.dims

    (alone,) = dims(n_epochs=1)
    assert dims(init=pretrained, n_epochs=1) == (max(alone, 3),)
    assert dims(init=wide, n_epochs=1) == (32,)
    assert dims(init=wide, freeze="always", n_epochs=1) == (32 + alone,)
    assert dims(init=wide, embedding_dim=40, n_epochs=1) == (40,)
    searched = dims(init=wide, shrinkage="auto", n_epochs=1)  # which learns widths, too
    assert searched == (32,)


# --- everything that trains -------------------------------------------------------------


@pytest.mark.parametrize("freeze", ["never", "always"])
def test_the_encoder_has_folds_in_one_basis(pretrained, freeze):
    X, y = table()
    strong = {**QUICK, "shrinkage": 10.0, "category_dropout": 0.0}
    encoder = EmbeddingEncoder(init=pretrained, freeze=freeze, output="vectors", cv=3, **strong)
    Z, whole = encoder.fit_transform(X, y), encoder.transform(X)
    names = encoder.get_feature_names_out().tolist()
    assert encoder.transfer_report_["columns"]["item"]["found"] == N_ITEMS
    if freeze == "always":
        np.testing.assert_array_equal(Z[:, :3], whole[:, :3])
    assert names[:3] == ["item_00", "item_01", "item_02"]
    correlation = np.corrcoef(Z[:, :3].ravel(), whole[:, :3].ravel())[0, 1]
    assert correlation > 0.9


def test_the_classifier_takes_a_path(pretrained, tmp_path):
    pretrained.save(tmp_path / "items.catvec")
    X, y = table()
    model = EmbeddingClassifier(init=tmp_path / "items.catvec", **QUICK).fit(X, y > 0)
    same = EmbeddingClassifier(init=pretrained, **QUICK).fit(X, y > 0)
    np.testing.assert_array_equal(model.predict_proba(X), same.predict_proba(X))


def test_a_clone_shares_the_vectors_and_fits_the_same(pretrained):
    X, y = table()
    model = EmbeddingRegressor(init=pretrained, freeze="first", n_jobs=2, **QUICK)
    assert clone(model).init is pretrained
    one, other = (m.fit(X, y).predict(X) for m in (model, clone(model).set_params(n_jobs=1)))
    np.testing.assert_array_equal(one, other)


@pytest.mark.learns
def test_vectors_of_one_task_start_another():
    """With few labels they help much; the report's numbers are in docs/transfer.md."""
    options = {**QUICK, "n_epochs": 20, "shrinkage": 10.0}
    first = EmbeddingRegressor(**options).fit(*table(4000, seed=1))
    X, y = table(2000, seed=2, task=1)

    def errors(n, **more):
        found = []
        for seed in range(3):
            model = EmbeddingRegressor(**options, **more).fit(*table(n, seed=10 + seed, task=1))
            found.append(np.mean((model.predict(X) - y) ** 2))
        return np.array(found)

    scratch = errors(150)
    for freeze in ("never", "always"):
        assert (errors(150, init=first.vectors_, freeze=freeze) < 0.8 * scratch).all()


# --- what is refused --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"init": 3}, "`init` must be None, a CategoryVectors or the path of one, got 3"),
        ({"freeze": "last"}, "`freeze` must be one of 'never', 'first', 'always', got 'last'"),
        ({"init_learning_rate": -1}, r"`init_learning_rate` must be a float in \[0, inf\)"),
        ({"column_map": ["item"]}, "`column_map` must be None or a mapping"),
        ({"column_map": {"a": "item"}}, "`column_map` must be None without `init`"),
    ],
)
def test_parameters_that_do_not_fit(parameters, message):
    with pytest.raises(ParameterError, match=message):
        EmbeddingRegressor(**{**QUICK, **parameters}).fit(*table(50))


@pytest.mark.parametrize(
    ("column_map", "message"),
    [
        ({"nothing": "item"}, "no column 'nothing', which `column_map` names"),
        ({"item": "thing"}, "`column_map` names 'thing', which the vectors do not have"),
        ({"item": None}, "no categorical column .* is one of `init`"),
        ({"x": "item"}, "`column_map` names 'x', which are no categorical columns"),
    ],
)
def test_maps_that_do_not_fit(pretrained, column_map, message):
    with pytest.raises(InputError, match=message):
        EmbeddingRegressor(init=pretrained, column_map=column_map, **QUICK).fit(*table(50))


def test_vectors_that_do_not_fit(tmp_path):
    X, y = table(50)
    fit = EmbeddingRegressor(init=made(np.eye(2), ["a", "b"]), **QUICK).fit
    with pytest.raises(InputError, match=r"no category of the table is one of `init`.*'item'"):
        fit(X, y)
    with pytest.raises(InputError, match="'item' holds text values here and number"):
        EmbeddingRegressor(init=made(np.eye(3), range(3)), **QUICK).fit(X, y)
    with pytest.raises(InputError, match="no categorical column of the table"):
        EmbeddingRegressor(init=made(np.eye(2), "ab", "other"), **QUICK).fit(X, y)
    with pytest.raises(InputError, match="have effects only, no vectors: 'item'"):
        EmbeddingRegressor(init=made(np.empty((2, 0)), "ab"), **QUICK).fit(X, y)
    with pytest.raises(ArtifactError, match="nothing"):
        EmbeddingRegressor(init=tmp_path / "nothing", **QUICK).fit(X, y)


@pytest.mark.parametrize(
    "tables",
    [
        {"item": {"kind": "hashed", "n_buckets": 16}},
        {"item": {"kind": "compositional"}},
        {"other": {"share": "item"}},
    ],
)
def test_columns_without_rows_of_their_own_are_refused(pretrained, tables):
    X, y = table(50)
    X["other"] = X["item"]
    with pytest.raises(InputError, match="for 'item', whose rows are shared or compressed"):
        EmbeddingRegressor(init=pretrained, tables=tables, **QUICK).fit(X, y)
    model = EmbeddingRegressor(init=pretrained, column_map={"other": "item"}, **QUICK)
    model.set_params(tables={"item": {"kind": "compositional"}})
    with pytest.raises(InputError, match="leave them out by a None"):
        model.fit(X, y)
    model.set_params(column_map={"other": "item", "item": None}).fit(X, y)
    assert list(model.transfer_report_["columns"]) == ["other"]


def test_partial_fit_after_it_is_refused(pretrained):
    X, y = table(100)
    model = EmbeddingRegressor(init=pretrained, **QUICK).partial_fit(X, y)
    with pytest.raises(ParameterError, match="cannot go on from a fit with `init`"):
        model.partial_fit(X, y)


# --- an honest word ---------------------------------------------------------------------


def test_the_benefit_is_that_of_the_same_fit_without_them(pretrained):
    X, y = table(300, task=1)
    options = {**QUICK, "n_networks": 4, "n_epochs": 12, "shrinkage": 10.0}
    model = EmbeddingRegressor(init=pretrained, compare_init=True, **options).fit(X, y)
    found = model.transfer_report_["benefit"]
    both = [model, EmbeddingRegressor(**options).fit(X, y)]
    losses = [
        np.mean(
            [min(r["held_out_loss"] for r in m.history_ if r["network"] == i) for i in range(4)]
        )
        for m in both
    ]
    assert [found["loss_with"], found["loss_without"]] == pytest.approx(losses, rel=1e-9)
    assert found["gain"] == pytest.approx(1 - losses[0] / losses[1])
    assert found["verdict"] == "helps"
    assert found["p_value"] < 0.05
    same = EmbeddingRegressor(init=pretrained, **options).fit(X, y)
    assert "benefit" not in same.transfer_report_
    np.testing.assert_array_equal(same.predict(X), model.predict(X))  # it only looked


@pytest.mark.parametrize("asked", [{"freeze": "always"}, {"compare_init": True}])
def test_what_is_asked_of_init_needs_it(pretrained, asked, tmp_path):
    X, y = table(200, task=1)
    with pytest.raises(ParameterError, match="without `init`"):
        EmbeddingRegressor(**QUICK, **asked).fit(X, y)
    model = EmbeddingRegressor(init=pretrained, **QUICK, **asked).fit(X, y)
    model.save(tmp_path / "m.catvec")
    EmbeddingRegressor.load(tmp_path / "m.catvec").fit(X, y)


def test_the_benefit_is_told_by_as_many_networks(pretrained, monkeypatch):
    """The search without them may choose other epochs, which afford more networks."""
    sizes = iter([2, 2, 5, 5])

    def chosen(p, *_, **__):
        return next(sizes) if p.n_networks == "auto" else p.n_networks

    monkeypatch.setattr("catvec.estimators._learning.choose_n_networks", chosen)
    X, y = table(300, task=1)
    options = {**QUICK, "n_networks": "auto"}
    model = EmbeddingRegressor(init=pretrained, compare_init=True, **options).fit(X, y)
    assert len(model.networks_) == 2
    assert model.transfer_report_["benefit"]["p_value"] is not None


@pytest.mark.learns
def test_vectors_of_nothing_are_not_said_to_help():
    """But by chance, in one of twenty."""
    helped = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        X, y = table(300, seed=seed)
        vectors = made(rng.normal(size=(N_ITEMS, 3)), NAMES)
        model = EmbeddingRegressor(init=vectors, compare_init=True)
        model.set_params(**{**QUICK, "n_networks": 3, "shrinkage": 10.0})
        helped += model.fit(X, y).transfer_report_["benefit"]["verdict"] == "helps"
    assert helped <= 1


def test_the_benefit_by_hand_and_at_its_edges():
    from scipy import stats

    ours, others = [0.5, 0.6, 0.7], [0.7, 0.65, 0.9]
    found = benefit(ours, others)
    by_scipy = stats.ttest_rel(others, ours, alternative="greater")
    assert found["p_value"] == pytest.approx(by_scipy.pvalue)
    assert found["gain"] == pytest.approx(0.45 / 2.25)
    assert benefit([0.5], [0.7])["p_value"] is None
    assert benefit([0.5], [0.7])["verdict"] == "unclear"
    assert benefit([0.5, 0.5], [0.5, 0.5])["verdict"] == "unclear"
    assert benefit([0.9, 0.91], [0.5, 0.5])["verdict"] == "hurts"
    assert benefit([None], [None]) is None


def test_the_encoder_compares_and_without_vectors_refuses(pretrained):
    X, y = table(200)
    encoder = EmbeddingEncoder(init=pretrained, compare_init=True, cv=2, **QUICK)
    encoder.fit_transform(X, y)
    found = encoder.transfer_report_["benefit"]
    assert encoder.fit(X, y).transfer_report_["benefit"] == found
    nothing_held_out = encoder.set_params(validation_fraction=0.0).fit(X, y)
    assert nothing_held_out.transfer_report_["benefit"] is None
    with pytest.raises(ParameterError, match='`init` must be None with output="effects"'):
        encoder.set_params(output="effects").fit(X, y)
