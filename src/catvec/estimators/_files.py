"""Saving and loading estimators: the vectors' artifact, with a section and a file more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.numpy
from sklearn.base import BaseEstimator

from catvec._packing import PackedRows
from catvec.errors import ArtifactError
from catvec.estimators._choice import Choice, told_by_code
from catvec.estimators._growth import Continuation
from catvec.estimators._settings import EffectNetworks, Setting
from catvec.estimators._transfer import WITHOUT_INIT
from catvec.frames import Schema, Target
from catvec.network import Network, NetworkConfig
from catvec.vectors import Artifact, CategoryVectors, load_artifact, write_artifact
from catvec.vectors._storage import PathLike

if TYPE_CHECKING:
    from catvec.estimators._base import EmbeddingEstimator

NETWORK = "network.safetensors"
CONTINUATION = "continuation.safetensors"
RETIRED = ("n_iter_no_change",)  # parameters that older artifacts have
PLAIN = (bool, int, float, str, type(None), np.bool_, np.integer, np.floating)


def save(estimator: EmbeddingEstimator, path: PathLike) -> None:
    """Write a fitted estimator; see `EmbeddingEstimator.save`."""
    schema, files = estimator.vectors_.to_parts()
    networks = getattr(estimator, "networks_", [])
    model = {
        "class": type(estimator).__name__,
        "parameters": _plain_parameters(estimator),
        "schema": estimator.schema_.to_json(),
        "target": estimator.target_.to_json(),
        "choice": {**asdict(estimator.choice_), "tried": list(estimator.choice_.tried.items())},
        "history": estimator.history_,
        "loss": getattr(estimator, "loss_", None),
        "validation_scores": getattr(estimator, "validation_scores_", None),
        "column_importances": getattr(estimator, "column_importances_", None),
        "transfer_report": estimator.transfer_report_,
        "networks": [asdict(network.config) for network in networks],
        "coded": list(estimator._coded),
        "output": getattr(estimator, "output_", None),
    }
    if estimator._continuation is not None:
        section, arrays = estimator._continuation.to_parts()
        learned = [one.network for one in estimator._continuation.learned]
        model["continuation"] = {
            **section,
            "networks": [] if networks else [asdict(one.config) for one in learned],
        }
        if not networks:
            arrays |= _arrays(learned)
        files = {**files, CONTINUATION: lambda to: safetensors.numpy.save_file(arrays, to)}
    if networks:
        files = {**files, NETWORK: lambda to: safetensors.numpy.save_file(_arrays(networks), to)}
    write_artifact(path, {**schema, "model": model}, files)


def load(path: PathLike, kinds: Sequence[type[EmbeddingEstimator]]) -> EmbeddingEstimator:
    """Read an estimator of one of these classes."""
    return load_artifact(path, lambda artifact: _restored(artifact, kinds))


def _restored(artifact: Artifact, kinds: Sequence[type[EmbeddingEstimator]]) -> EmbeddingEstimator:
    model = artifact.schema.get("model")
    if not isinstance(model, dict):
        raise ArtifactError(
            "the artifact holds vectors only, no estimator; open it by CategoryVectors.load"
        )
    kind = next((k for k in kinds if k.__name__ == model.get("class")), None)
    if kind is None:
        raise ArtifactError(
            f"the artifact holds an {model.get('class')}, not an"
            f" {' or '.join(k.__name__ for k in kinds)}; load it by its own class, or start a fit"
            " from its vectors (`init`)"
        )
    try:
        return _estimator(kind, artifact, model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, ArtifactError):
            raise
        raise artifact.damage(
            f"the section `model` of its schema.json does not fit ({error})"
        ) from error


def _estimator(
    kind: type[EmbeddingEstimator], artifact: Artifact, model: dict[str, Any]
) -> EmbeddingEstimator:
    estimator = kind(**_parameters(model["parameters"]))
    vectors = CategoryVectors.from_artifact(artifact)
    vocabularies = [vectors[name].vocabulary for name in model["schema"]["categorical"]]
    estimator.vectors_ = vectors
    pairs = [vectors.pairs[name].pair for name in model["schema"].get("pairs", [])]
    estimator.schema_ = schema = Schema.from_json(model["schema"], vocabularies, pairs)
    estimator.target_ = Target.from_json(model["target"])
    estimator.choice_ = _choice(model["choice"])
    estimator.history_ = model["history"]
    estimator.transfer_report_ = model.get("transfer_report")  # older ones lack it
    estimator.n_features_in_ = len(schema.names)
    if schema.named:
        estimator.feature_names_in_ = np.asarray(schema.names, dtype=object)
    configs = [NetworkConfig(**config) for config in model["networks"]]
    arrays = safetensors.numpy.load(artifact.read(NETWORK)) if configs else {}
    estimator.networks_ = _networks(configs, arrays, vectors)
    estimator._coded = model.get("coded", told_by_code(schema))
    if "output" in model["parameters"]:  # what only encoders have; older ones had nothing "auto"
        estimator.output_ = model.get("output", model["parameters"]["output"])
    if "continuation" in model:  # older artifacts lack it, and cannot learn on
        estimator._continuation = _continuation(artifact, model, estimator.networks_)
    if model["loss"] is not None:  # what only predictors have
        estimator.loss_ = model["loss"]
        estimator.validation_scores_ = model["validation_scores"]
        # Older artifacts have none: as if no rows had been held out.
        estimator.column_importances_ = model.get("column_importances") or {}
    if estimator.target_.classes is not None and hasattr(kind, "predict_proba"):
        estimator.classes_ = estimator.target_.classes
    return estimator


def _continuation(
    artifact: Artifact, model: dict[str, Any], networks: list[Network]
) -> Continuation:
    section = model["continuation"]
    arrays = safetensors.numpy.load(artifact.read(CONTINUATION))
    of_network = {name: array for name, array in arrays.items() if name[0].isdigit()}
    own = {name: array for name, array in arrays.items() if name not in of_network}
    configs = [NetworkConfig(**config) for config in section["networks"]]
    return Continuation.from_parts(section, own, networks or _networks(configs, of_network, None))


def _choice(stored: dict[str, Any]) -> Choice:
    return Choice(
        tuple(stored["dims"]),
        tuple(stored["knot_dims"]),
        tuple(stored["shrinkage"]),
        dict(map(tuple, stored["tried"])),
        tuple((first, second) for first, second in stored.get("pairs", [])),  # older ones lack it
        stored.get("interactions", "concatenate"),
        stored.get("n_epochs", 1),
        stored.get("rows_together", 1),
        stored.get("paired", bool(stored.get("pairs"))),
        _setting(stored["second"]) if stored.get("second") else None,
        EffectNetworks(**stored["effect_networks"]) if stored.get("effect_networks") else None,
    )


def _setting(stored: dict[str, Any]) -> Setting:
    return Setting(**{**stored, "shrinkage": tuple(stored["shrinkage"])})


def _arrays(networks: Sequence[Network]) -> dict[str, np.ndarray]:
    return {
        f"{i}.{name}": np.ascontiguousarray(array)
        for i, network in enumerate(networks)
        for name, array in network.state().items()
    }


def _networks(
    configs: list[NetworkConfig],
    arrays: dict[str, np.ndarray],
    vectors: CategoryVectors | None,
) -> list[Network]:
    """Networks of their arrays; packed ones share the coordinates of packed vectors."""
    states: list[dict[str, np.ndarray]] = [{} for _ in configs]
    for key, array in arrays.items():
        number, name = key.split(".", 1)
        states[int(number)][name] = array
    stored = [] if vectors is None else [vectors[name].stored for name in vectors]
    coordinates = {
        tables[0]: rows.coordinates
        for rows, tables in zip(
            stored, configs[0].composition.tables if configs else (), strict=False
        )
        if isinstance(rows, PackedRows)
    }
    return [
        Network.from_state(config, state, coordinates)
        for config, state in zip(configs, states, strict=True)
    ]


def _plain_parameters(estimator: EmbeddingEstimator) -> dict[str, Any]:
    """Parameters that JSON can hold; widths by a function as the widths it gave."""
    plain = plain_parameters(estimator)
    if "init" not in plain:  # vectors: what they gave is learned
        plain |= WITHOUT_INIT
    if "embedding_dim" not in plain:
        names = estimator.schema_.categorical_names
        # After those of columns come those of pairs.
        plain["embedding_dim"] = dict(zip(names, estimator.choice_.dims, strict=False))
    if isinstance(plain.get("class_weight"), dict):  # whose keys need not be texts, as JSON's are
        plain["class_weight"] = [_listed([*of_class]) for of_class in plain["class_weight"].items()]
    return plain


def plain_parameters(estimator: BaseEstimator) -> dict[str, Any]:
    """Parameters that JSON can hold."""
    parameters = estimator.get_params(deep=False)
    return {name: _listed(value) for name, value in parameters.items() if _is_plain(value)}


def _parameters(stored: dict[str, Any]) -> dict[str, Any]:
    kept = {name: value for name, value in stored.items() if name not in RETIRED}
    if isinstance(kept.get("class_weight"), list):
        kept["class_weight"] = {label: weight for label, weight in kept["class_weight"]}
    return {**kept, "hidden_sizes": tuple(kept["hidden_sizes"])}


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(k, PLAIN) and _is_plain(v) for k, v in value.items())
    if isinstance(value, list | tuple | np.ndarray):
        return all(_is_plain(v) for v in value)
    return isinstance(value, PLAIN)


def _listed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _listed(v) for key, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_listed(v) for v in value]
    return value.item() if isinstance(value, np.generic) else value
