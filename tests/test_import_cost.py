"""What an import costs: a service that reads saved vectors loads no training code."""

import subprocess
import sys

HEAVY = ["numba", "polars", "sklearn", "torch"]  # pandas is pyarrow's to load, where it is there


def heavy_after(statements: str) -> list[str]:
    """The heavy packages that a fresh Python has loaded after `statements`."""
    script = f"{statements}\nimport sys\nprint([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return [name for name in HEAVY if f"'{name}'" in done.stdout]


def test_import_catvec_is_light():
    assert heavy_after("import catvec") == []


def test_listing_the_public_names_is_light():
    assert heavy_after("import catvec; dir(catvec); catvec.__all__") == []


def test_saved_vectors_need_no_training_code():
    assert heavy_after("from catvec import CategoryVectors") == []


def test_the_check_can_fail():
    assert heavy_after("import catvec, polars") == ["polars"]
    assert "sklearn" in heavy_after("from catvec import EmbeddingEncoder")
