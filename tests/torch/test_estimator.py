"""Fitted estimators as modules, and back, without losing a digit."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from catvec import EmbeddingClassifier, EmbeddingEncoder, EmbeddingRegressor
from catvec.errors import InputError, ParameterError
from catvec.torch import RowwiseAdagrad, from_estimator, parameter_groups, to_estimator, to_vectors
from tests.torch.conftest import make_table

pytestmark = pytest.mark.usefixtures("few_steps")

QUICK = {"random_state": 0, "n_epochs": 2, "shrinkage": 1.0, "n_networks": 2}
SHAPES = {
    "pairs": {"pairs": [("shop", "day")], "interactions": "concatenate"},
    "product": {"pairs": None, "interactions": "product"},
    "machine": {"pairs": None, "interactions": "factorization_machine"},
    "linear": {"pairs": None, "hidden_sizes": (), "n_knots": 0},
}


def labels(y, n):
    return pd.cut(y, n, labels=list("abc")[:n]).astype(str)


MODELS = {
    "squared": (EmbeddingRegressor, {}, lambda y: y),
    "quantile": (EmbeddingRegressor, {"loss": "quantile", "quantile": 0.8}, lambda y: y),
    "poisson": (EmbeddingRegressor, {"loss": "poisson"}, lambda y: np.floor(abs(y) / 1000)),
    "logistic": (EmbeddingClassifier, {}, lambda y: labels(y, 2)),
    "softmax": (EmbeddingClassifier, {}, lambda y: labels(y, 3)),
}
CASES = [("squared", shape) for shape in SHAPES] + [(m, "pairs") for m in MODELS if m != "squared"]


def answers(model, X):
    return model.predict_proba(X) if hasattr(model, "predict_proba") else model.predict(X)


@pytest.mark.parametrize(("kind", "shape"), CASES)
def test_a_module_predicts_what_the_estimator_does_and_so_does_what_comes_back(kind, shape):
    frame, y = make_table()
    new, _ = make_table(100, seed=1)
    new.loc[:5, "shop"] = "never seen"
    new.loc[:5, "price"] = np.nan  # training saw none missing
    cls, parameters, target = MODELS[kind]
    model = cls(**QUICK, **SHAPES[shape], **parameters).fit(frame, target(y))
    module = from_estimator(model)
    expected = answers(model, new)
    np.testing.assert_allclose(module.predict(new), expected, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(module.predict(new, chunk_size=7), expected, rtol=1e-5, atol=1e-5)
    back = to_estimator(module)
    np.testing.assert_array_equal(answers(back, new), expected)
    assert type(back) is type(model)
    for name in model.vectors_:
        assert back.vectors_[name] == model.vectors_[name]
    assert back.vectors_.pairs == model.vectors_.pairs


def test_numbers_that_are_nearly_the_same_are_told_apart_as_the_estimator_does():
    frame, y = make_table()
    near = 1 + 0.01 * np.random.default_rng(2).normal(size=len(frame))
    frame = frame.assign(bid=frame["price"] * near)
    frame.loc[3:40, "bid"] = np.nan
    frame.loc[30:60, "price"] = np.nan
    model = EmbeddingRegressor(**QUICK).fit(frame, y)
    assert len(model.schema_.minor_components)
    expected = model.predict(frame)
    np.testing.assert_allclose(from_estimator(model).predict(frame), expected, rtol=1e-5, atol=1e-5)


def test_scores_are_on_the_link_scale_in_the_targets_units(fitted, table):
    frame, y = table
    module = from_estimator(fitted)
    scores = module(*module.inputs(frame)).detach()
    np.testing.assert_allclose(scores[:, 0], fitted.predict(frame), rtol=1e-5, atol=1e-3)
    model = EmbeddingClassifier(**QUICK, pairs=None).fit(frame, labels(y, 2))
    module = from_estimator(model)
    scores = module(*module.inputs(frame)).detach()
    np.testing.assert_allclose(scores[:, 0], model.decision_function(frame), atol=1e-5)


def test_the_loss_is_the_estimators(fitted, table):
    frame, y = table
    module = from_estimator(fitted)
    error = (fitted.predict(frame) - y) / np.std(y)
    loss = module.loss(*module.inputs(frame), torch.tensor(y)).item()
    assert loss == pytest.approx(0.5 * np.mean(error**2), rel=1e-4)


def test_a_column_of_targets_is_not_taken_for_a_table(fitted, table):
    module = from_estimator(fitted)
    x, y = module.inputs(table[0]), torch.tensor(table[1])
    with pytest.raises(InputError, match=r"y must be a tensor of shape \(400,\), got \(400, 1\)"):
        module.loss(*x, y[:, None])
    with pytest.raises(InputError, match=r"y must be a tensor of shape \(400,\), got list"):
        module.loss(*x, y.tolist())
    with pytest.raises(InputError, match="the mean loss of no rows is no number"):
        module.train().loss(*(part[:0] for part in x), y[:0])


def test_a_module_refuses_unknown_categories_where_the_estimator_does():
    frame, y = make_table()
    model = EmbeddingRegressor(**QUICK, pairs=None, handle_unknown="error").fit(frame, y)
    frame.loc[0, "shop"] = "never seen"
    for predict in (model.predict, from_estimator(model).predict):
        with pytest.raises(InputError, match="never seen"):
            predict(frame)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu_a_module_predicts_what_the_estimator_does(fitted, table):
    module = from_estimator(fitted, device="auto")
    assert {p.device.type for p in (*module.parameters(), *module.buffers())} == {"cuda"}
    expected = fitted.predict(table[0])
    np.testing.assert_allclose(module.predict(table[0]), expected, rtol=1e-4)
    np.testing.assert_array_equal(to_estimator(module).predict(table[0]), expected)


def test_an_encoder_gives_its_joint_score_and_comes_back(table):
    frame, y = table
    encoder = EmbeddingEncoder(**QUICK, pairs=None).fit(frame, y)
    module = from_estimator(encoder)
    place = encoder.get_feature_names_out().tolist().index("joint_score")
    expected = encoder.transform(frame)[:, place] * np.std(y) + np.mean(y)
    found = module(*module.inputs(frame)).detach()[:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    again = to_estimator(module)
    np.testing.assert_array_equal(again.transform(frame), encoder.transform(frame))


def test_training_the_module_changes_what_comes_back_and_not_the_estimator(fitted, table, tmp_path):
    frame, y = table
    before = fitted.predict(frame)
    module = from_estimator(fitted).train()
    codes, numbers = module.inputs(frame)
    target = torch.tensor(y)
    tables, weights = parameter_groups(module, embedding_lr=1e-2)
    optimizers = [RowwiseAdagrad([tables]), torch.optim.AdamW([weights], lr=1e-2)]
    losses = []
    for _ in range(20):
        loss = module.loss(codes, numbers, target)
        losses.append(loss.item())
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()
    assert losses[-1] < 0.8 * losses[0]
    back = to_estimator(module)
    # Thousands in float32: where one is near 0, its own size is no measure.
    np.testing.assert_allclose(back.predict(frame), module.predict(frame), rtol=1e-5, atol=2e-3)
    assert np.abs(back.predict(frame) - before).max() > 1
    np.testing.assert_array_equal(fitted.predict(frame), before)
    assert fitted.validation_scores_  # of the old weights, hence not the new one's
    assert back.validation_scores_ == back.column_importances_ == {}
    assert back.vectors_["shop"] != fitted.vectors_["shop"]
    assert to_vectors(module)["shop"] == back.vectors_["shop"]
    back.save(tmp_path / "tuned.catvec")
    again = EmbeddingRegressor.load(tmp_path / "tuned.catvec")
    np.testing.assert_array_equal(again.predict(frame), back.predict(frame))
    for of_module in (back, again):  # no optimizer knows of these networks
        with pytest.raises(ParameterError, match=r"not those that this model's own fit .* fit it"):
            of_module.partial_fit(frame, y)
        assert of_module.drift_report(frame, y).effects is not None


def made_in(way, n_networks):
    """A model with vectors that its networks' tables alone do not tell, and its table."""
    frame, y = make_table()
    frame = frame[["shop", "day"]]
    quick = {**QUICK, "n_networks": n_networks, "pairs": None, "embedding_dim": 3}
    model = EmbeddingRegressor(**quick).fit(frame, y)
    if way == "grown":
        assert model.vectors_
        return model.partial_fit(frame.replace("shop 1", "a new shop"), y), frame
    return EmbeddingRegressor(**quick, init=model.vectors_, freeze=way).fit(frame, y), frame


WAYS = ["grown", "never", "first", "always"]


@pytest.mark.parametrize("n_networks", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_a_module_that_nobody_trained_gives_the_vectors_it_came_with_bit_for_bit(way, n_networks):
    model, _ = made_in(way, n_networks)
    module = from_estimator(model)
    assert to_vectors(module) == to_estimator(module).vectors_ == model.vectors_


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("way", WAYS)
def test_vectors_follow_what_tables_say_and_not_their_turns_and_shifts(way, seed):
    model, _ = made_in(way, 3)
    module, column = from_estimator(model), model.vectors_["shop"]
    vectors, counts = column.by_code()[0], column.vocabulary.counts
    tables = [network.embeddings.table("shop") for network in module.members]
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for table in tables:
            turn = torch.linalg.qr(torch.randn(3, 3, generator=generator)).Q
            table.copy_(table @ turn + torch.randn(3, generator=generator))
    found, spread = to_vectors(module)["shop"].by_code()[0], vectors.std()
    np.testing.assert_allclose(found, vectors, rtol=0, atol=1e-4 * spread)
    with torch.no_grad():
        for table in tables:
            table.mul_(2)
    doubled = 2 * vectors - counts @ vectors / counts.sum()
    found = to_vectors(module)["shop"].by_code()[0]
    # Vectors in an earlier basis are not quite the mean of those turned to where they lie.
    np.testing.assert_allclose(found, doubled, rtol=0, atol=0.1 * spread)


def test_an_estimator_that_learns_on_takes_nothing_from_its_module():
    frame, y = make_table()
    model = EmbeddingRegressor(**QUICK, pairs=None).fit(frame, y)
    module, vectors, expected = from_estimator(model), model.vectors_, model.predict(frame)
    model.partial_fit(frame.replace("shop 1", "a new shop"), y)
    assert to_vectors(module) == vectors
    back = to_estimator(module)
    np.testing.assert_array_equal(back.predict(frame), expected)
    assert back.vectors_ == vectors


def test_it_can_be_copied_pickled_compiled_and_exported(fitted, table):
    frame, _ = table
    module = from_estimator(fitted)
    expected = module.predict(frame)
    for other in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        np.testing.assert_array_equal(other.predict(frame), expected)
    few, more = module.inputs(frame[:20]), module.inputs(frame[:90])
    compiled = torch.compile(module, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(*few), module(*few))
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, few, dynamic_shapes=({0: rows}, {0: rows}))
    torch.testing.assert_close(program.module()(*more), module(*more))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(*few)
    torch.testing.assert_close(half, module(*few), rtol=0, atol=100)  # y has 1e3s, and bfloat16 1%


def test_a_target_far_from_0_keeps_its_digits():
    frame, y = make_table()
    y = 1e6 + y / np.std(y)
    model = EmbeddingRegressor(**QUICK, pairs=None).fit(frame, y)
    module = from_estimator(model)
    np.testing.assert_allclose(module.predict(frame), model.predict(frame), rtol=0, atol=1e-5)
    expected = torch.from_numpy(model.predict(frame)).float()[:, None]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = module(*module.inputs(frame))
    torch.testing.assert_close(half, expected, rtol=0, atol=0.2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_numbers_far_from_0_keep_their_digits_in_any_precision(dtype):
    frame, _ = make_table()
    rng = np.random.default_rng(0)
    frame["price"] = 1e6 + rng.normal(size=len(frame))
    frame["seconds"] = 1.7e9 + rng.integers(0, 1000, len(frame))
    y = frame["price"] - 1e6 + frame["seconds"] % 1000 / 300
    model = EmbeddingRegressor(random_state=0, n_epochs=5, shrinkage=1.0, pairs=None).fit(frame, y)
    module = from_estimator(model)
    cast = from_estimator(model).to(dtype)
    _, numbers = module.inputs(frame)
    for found, expected in zip(cast.scaling(numbers), module.scaling(numbers), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    error = 0.1 * np.std(y)  # of weights with eight bits
    np.testing.assert_allclose(cast.predict(frame), model.predict(frame), rtol=0, atol=error)
    back = to_estimator(cast)
    np.testing.assert_allclose(back.predict(frame), model.predict(frame), rtol=0, atol=error)
    other = from_estimator(model)
    other.load_state_dict(cast.state_dict())
    np.testing.assert_allclose(other.predict(frame), back.predict(frame), rtol=0, atol=1e-4)


def test_names_with_dots_twins_in_spelling_and_other_scripts(tmp_path):
    frame, y = make_table()
    frame.columns = ["a.b", "a_b", "価格", "weight"]
    model = EmbeddingRegressor(**QUICK, pairs=None, columns=["a.b", "a_b"]).fit(frame, y)
    module = from_estimator(model)
    assert not any(name in key for key in module.state_dict() for name in frame.columns[:3])
    assert (module.columns, module.numbers) == (("a.b", "a_b"), ("価格", "weight"))
    torch.save(module.state_dict(), tmp_path / "state.pt")
    other = from_estimator(model)
    other.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    np.testing.assert_array_equal(other.predict(frame), module.predict(frame))


def test_columns_and_codes_that_do_not_fit_are_named(fitted, table):
    module = from_estimator(fitted)
    codes, numbers = module.inputs(table[0])
    with pytest.raises(InputError, match=r"a column for each of 'price', 'gaps', got None"):
        module(codes)
    with pytest.raises(InputError, match="x_num must have as many rows as the codes, 400, got 5"):
        module(codes, numbers[:5])
    with pytest.raises(InputError, match="codes must be a tensor of integers, got NoneType"):
        module(None, numbers)
    with pytest.raises(ParameterError, match="`chunk_size` must be an int >= 1, got 0"):
        module.predict(table[0], chunk_size=0)
    with pytest.raises(InputError, match="codes of column 'day' must be at least 0 and below"):
        module(codes + torch.tensor([0, 90, 0]), numbers)
    with pytest.raises(InputError, match="columns of the training table are missing: 'price'"):
        module.predict(table[0].drop(columns="price"))


def test_infinite_numbers_are_refused_in_a_table_and_large_ones_in_a_tensor(fitted, table):
    frame, module = table[0].assign(price=np.inf), from_estimator(fitted)
    for predict in (fitted.predict, module.predict):
        with pytest.raises(InputError, match="column 'price' contains infinity"):
            predict(frame)
    codes, numbers = module.inputs(table[0])
    scores = []
    for most in (np.inf, 1e300):
        numbers[:3], numbers[3:6] = most, -most
        scores.append(module(codes, numbers))
    torch.testing.assert_close(*scores)


def test_a_model_of_categories_alone_is_exported_with_any_number_of_rows():
    frame, y = make_table()
    module = from_estimator(EmbeddingRegressor(**QUICK, pairs=None).fit(frame[["shop"]], y))
    codes, _ = module.inputs(frame)
    rows = torch.export.Dim("rows")
    program = torch.export.export(module, (codes[:20],), dynamic_shapes=({0: rows},))
    torch.testing.assert_close(program.module()(codes), module(codes))


def test_columns_of_lists_are_refused_by_name():
    frame, y = make_table()
    frame["shop"] = [[shop, "all"] for shop in frame["shop"]]
    model = EmbeddingRegressor(**QUICK, pairs=None).fit(frame, y)
    with pytest.raises(ParameterError, match=r"without columns of lists, .* got \['shop'\]"):
        from_estimator(model)


def test_what_has_no_networks_is_refused(table):
    with pytest.raises(ParameterError, match="`estimator` must be fitted, with networks"):
        from_estimator(EmbeddingRegressor())
    encoder = EmbeddingEncoder(output="effects").fit(*table)
    with pytest.raises(ParameterError, match="an encoder with `joint_score=True`"):
        from_estimator(encoder)
    with pytest.raises(ParameterError, match="`module` must be a module of"):
        to_estimator(torch.nn.Linear(2, 2))


def test_a_model_trained_by_torch_learns_on():
    rng = np.random.default_rng(0)
    city = rng.integers(8, size=600)
    y = np.sin(3 * city) + 0.2 * rng.normal(size=600)
    X = {"city": [f"c{i}" for i in city]}
    model = EmbeddingRegressor(
        engine="torch", n_networks=1, n_epochs=3, shrinkage=2.0, pairs=None, random_state=0
    ).fit(X, y)
    later = rng.integers(12, size=900)
    z = np.sin(3 * later) + 0.2 * rng.normal(size=900)
    new = {"city": np.array([f"c{i}" for i in later])}
    before = np.mean((model.predict(new) - z) ** 2)
    for rows in np.array_split(np.arange(900), 20):
        model.partial_fit({"city": new["city"][rows]}, z[rows])
    assert np.mean((model.predict(new) - z) ** 2) < before
    assert model.vectors_["city"].counts.sum() == 1500
