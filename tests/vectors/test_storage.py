"""The folder on disk: all or nothing, strict about damage, never in somebody else's folder."""

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from catvec.errors import ArtifactError, ArtifactVersionError, ParameterError
from catvec.vectors import CategoryVectors, load_artifact, read_artifact, write_artifact
from catvec.vectors._schema import checksum, jsonable
from tests.vectors.examples import small_vectors

ROOT = Path(__file__).parents[2]


def _contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def _edit_schema(folder, change, *, sign=True):
    """Change ``schema.json`` in place, with its checksum made right again or not."""
    schema = json.loads((folder / "schema.json").read_text())
    change(schema)
    if sign:
        schema["checksum"] = checksum(schema)
    (folder / "schema.json").write_text(json.dumps(schema))


@pytest.fixture
def saved(tmp_path):
    folder = tmp_path / "a.catvec"
    small_vectors().save(folder)
    return folder


# --- any content ------------------------------------------------------------------------


def test_bytes_and_writers_come_back(tmp_path):
    files = {"network.safetensors": b"\0\1", "notes.json": lambda path: path.write_text("{}")}
    write_artifact(tmp_path / "a", {"model": {"dims": np.array([1, 2])}}, files)
    artifact = read_artifact(tmp_path / "a")
    assert artifact.schema["model"] == {"dims": [1, 2]}
    assert artifact.read("network.safetensors") == b"\0\1"
    assert artifact.verified_path("notes.json").read_text() == "{}"
    assert "notes.json" in artifact
    assert "column_00.parquet" not in artifact


def test_names_carry_the_hash_of_the_content(tmp_path):
    write_artifact(tmp_path / "a", {}, {"network.json": b"{}"})
    # The SHA-256 of "{}" begins like this.
    assert sorted(_contents(tmp_path / "a")) == ["network.44136fa355b3678a.json", "schema.json"]


def test_the_schema_says_what_wrote_it(saved):
    schema = json.loads((saved / "schema.json").read_text())
    assert (schema["format"], schema["format_version"]) == ("catvec", 1)
    assert schema["catvec_version"].count(".") == 2
    assert {entry["name"] for entry in schema["files"].values()} < set(_contents(saved))


@pytest.mark.parametrize("name", ["../a.json", "a", "a.txt", "A.json", "a.b.json", ""])
def test_logical_names_are_plain(tmp_path, name):
    with pytest.raises(ParameterError, match="`files` must be named like"):
        write_artifact(tmp_path / "a", {}, {name: b""})
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("name", ["format", "files", "checksum"])
def test_sections_do_not_replace_the_format(tmp_path, name):
    with pytest.raises(ParameterError, match=f"must not set '{name}'"):
        write_artifact(tmp_path / "a", {name: 1}, {})


def test_jsonable_takes_numpy_and_refuses_the_rest():
    given = {"a": np.int8(1), "b": (np.float32(0.5), True, None), "c": {"d": np.arange(2)}}
    assert jsonable(given, "x") == {"a": 1, "b": [0.5, True, None], "c": {"d": [0, 1]}}
    with pytest.raises(ParameterError, match=r"`x\.a\[1\]` must be numbers.*got object"):
        jsonable({"a": [0, object()]}, "x")
    with pytest.raises(ParameterError, match=r"`x` must be .*text keys.*got dict"):
        jsonable({1: 2}, "x")


# --- where an artifact may go -----------------------------------------------------------


def test_parents_are_made(tmp_path):
    small_vectors().save(tmp_path / "deep" / "er" / "a.catvec")
    assert CategoryVectors.load(tmp_path / "deep" / "er" / "a.catvec") == small_vectors()


def test_an_empty_folder_is_fine(tmp_path):
    small_vectors().save(tmp_path)
    assert CategoryVectors.load(tmp_path) == small_vectors()


def test_an_artifact_is_replaced_and_stale_files_go(saved):
    before = set(_contents(saved))
    small_vectors(seed=1).save(saved)
    assert CategoryVectors.load(saved) == small_vectors(seed=1)
    assert set(_contents(saved)) & before == {"schema.json"}
    assert len(_contents(saved)) == 3


def test_a_file_of_the_users_in_the_folder_stays(saved):
    (saved / "README.txt").write_text("mine")
    small_vectors(seed=1).save(saved)
    assert (saved / "README.txt").read_text() == "mine"


def test_saving_repairs_a_damaged_file(saved):
    (file, *_) = saved.glob("*.parquet")
    file.write_bytes(b"damage")
    small_vectors().save(saved)
    assert CategoryVectors.load(saved) == small_vectors()


def test_a_foreign_folder_is_left_alone(tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"mine")
    with pytest.raises(ArtifactError, match=r"not empty and is not an artifact.*'photo\.jpg'"):
        small_vectors().save(tmp_path)
    assert _contents(tmp_path) == {"photo.jpg": b"mine"}


@pytest.mark.parametrize("schema", ["{}", "[1]", "no json", '{"format": "other"}'])
def test_a_foreign_schema_is_left_alone(tmp_path, schema):
    (tmp_path / "schema.json").write_text(schema)
    with pytest.raises(ArtifactError, match="nothing was saved"):
        small_vectors().save(tmp_path)
    assert _contents(tmp_path) == {"schema.json": schema.encode()}


def test_a_file_is_left_alone(tmp_path):
    (tmp_path / "a").write_text("mine")
    with pytest.raises(ArtifactError, match="is a file; an artifact is a folder"):
        small_vectors().save(tmp_path / "a")
    with pytest.raises(ArtifactError, match="could not make"):
        small_vectors().save(tmp_path / "a" / "b")
    assert (tmp_path / "a").read_text() == "mine"


# --- damage -----------------------------------------------------------------------------


def _truncate(file):
    file.write_bytes(file.read_bytes()[:-10])


def _flip(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(bytes(content))


DAMAGE = {
    "truncated file": (_truncate, "bytes instead of"),
    "edited file": (_flip, "was changed after it was saved"),
    "empty file": (lambda file: file.write_bytes(b""), "has 0 bytes instead of"),
    "missing file": (lambda file: file.unlink(), "is missing"),
    "folder for a file": (lambda file: (file.unlink(), file.mkdir()), "cannot be read"),
    "truncated schema": (lambda file: _truncate(file.with_name("schema.json")), "not valid JSON"),
    "empty schema": (lambda file: file.with_name("schema.json").write_text(""), "not valid JSON"),
    "binary schema": (
        lambda file: file.with_name("schema.json").write_bytes(b"\xff\xfe\0"),
        "not valid JSON",
    ),
    "deep schema": (
        lambda file: file.with_name("schema.json").write_text("[" * 200_000),
        "not valid JSON",
    ),
    "schema of another kind": (
        lambda file: file.with_name("schema.json").write_text("[]"),
        "is not of catvec",
    ),
    "missing schema": (lambda file: file.with_name("schema.json").unlink(), "did not end"),
    "edited schema": (
        lambda file: _edit_schema(file.parent, lambda s: s["metadata"].update(seed=1), sign=False),
        "schema.json was changed after",
    ),
    "no checksum": (
        lambda file: _edit_schema(file.parent, lambda s: s.pop("checksum"), sign=False),
        "schema.json was changed after",
    ),
    "no files": (
        lambda file: _edit_schema(file.parent, lambda s: s.pop("files")),
        "schema.json was changed after",
    ),
    "file outside": (
        lambda file: _edit_schema(
            file.parent, lambda s: s["files"]["column_00.parquet"].update(name="../../x.parquet")
        ),
        "describes the file 'column_00.parquet' wrongly",
    ),
    "no version": (
        lambda file: _edit_schema(file.parent, lambda s: s.pop("format_version")),
        "format version is None",
    ),
    "odd version": (
        lambda file: _edit_schema(file.parent, lambda s: s.update(format_version=True)),
        "format version is True",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_one_clear_error(saved, damage):
    do, message = DAMAGE[damage]
    do(next(saved.glob("column_00.*")))
    with pytest.raises(ArtifactError, match=message) as caught:
        CategoryVectors.load(saved)
    assert "a.catvec" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_not_there_cannot_be_loaded(tmp_path):
    with pytest.raises(ArtifactError, match="no such folder"):
        CategoryVectors.load(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"has no schema\.json: it is no artifact"):
        CategoryVectors.load(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="is a file; an artifact of catvec is a folder"):
        CategoryVectors.load(tmp_path / "file")


def test_a_newer_format_is_refused(saved):
    _edit_schema(saved, lambda s: s.update(format_version=99, catvec_version="9.1"), sign=False)
    with pytest.raises(ArtifactVersionError, match=r"by catvec 9\.1 in format 99.*upgrade catvec"):
        CategoryVectors.load(saved)


def test_spaces_in_the_schema_do_not_matter(saved):
    schema = json.loads((saved / "schema.json").read_text())
    (saved / "schema.json").write_text(json.dumps(schema, indent=8, sort_keys=True))
    assert CategoryVectors.load(saved) == small_vectors()


# --- a save that fails ------------------------------------------------------------------


def _fail_at(monkeypatch, n):
    """The n-th call that touches the disk finds it full; a list that counts the calls."""
    calls = []

    def failing(real):
        def call(*args, **kwargs):
            calls.append(real)
            if len(calls) == n:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(*args, **kwargs)

        return call

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(os, "replace", failing(os.replace))
    monkeypatch.setattr(Path, "write_bytes", failing(Path.write_bytes))
    return calls


def _new_vectors():
    """One column as in the old artifact, and one that is not."""
    old, new = small_vectors(), small_vectors(seed=1)
    return CategoryVectors([old["Store"], new["city"]], metadata={"seed": 1})


@pytest.mark.parametrize("n", range(1, 9))
def test_a_full_disk_leaves_the_old_artifact(saved, monkeypatch, n):
    before = _contents(saved)
    with monkeypatch.context() as patch:
        _fail_at(patch, n)
        with pytest.raises(ArtifactError, match="No space left on device") as caught:
            _new_vectors().save(saved)
    assert isinstance(caught.value.__cause__, OSError)
    assert _contents(saved) == before


def test_all_points_of_failure_are_covered(saved, monkeypatch):
    with monkeypatch.context() as patch:
        calls = _fail_at(patch, 9)  # the folder's names, after the new artifact stands
        _new_vectors().save(saved)
    assert len(calls) == 9
    assert CategoryVectors.load(saved) == _new_vectors()


@pytest.mark.parametrize("n", [3, 6, 10])  # the first two make the names of folders lasting
def test_a_full_disk_leaves_nothing_where_nothing_was(tmp_path, monkeypatch, n):
    with monkeypatch.context() as patch:
        _fail_at(patch, n)
        with pytest.raises(ArtifactError, match="could not save"):
            small_vectors().save(tmp_path / "deep" / "a.catvec")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("SafetensorError")])
def test_a_writer_that_fails_leaves_the_old_artifact(saved, error):
    def write(path):
        path.write_bytes(b"half")
        raise error

    before = _contents(saved)
    expected = ArtifactError if isinstance(error, Exception) else KeyboardInterrupt
    with pytest.raises(expected):
        write_artifact(saved, {}, {"a.json": b"{}", "network.safetensors": write})
    assert _contents(saved) == before


def test_an_interrupt_after_the_new_schema_stands_keeps_the_new(saved, monkeypatch):
    replace = os.replace

    def interrupted(source, target):
        replace(source, target)
        if Path(target).name == "schema.json":
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", interrupted)
        with pytest.raises(KeyboardInterrupt):
            small_vectors(seed=1).save(saved)
    assert CategoryVectors.load(saved) == small_vectors(seed=1)


def _python(script, *args):
    return subprocess.Popen(
        [sys.executable, "-c", script, *map(str, args)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


FULL = """
import resource, sys
from tests.vectors.examples import make_column
from catvec.errors import ArtifactError
from catvec.vectors import CategoryVectors
vectors = CategoryVectors([make_column("n", range(20_000), dim=16)])
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    vectors.save(sys.argv[1])
except ArtifactError as error:
    print(error, type(error.__cause__).__name__)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there are no limits for a process there")
def test_a_disk_that_really_refuses_leaves_the_old_artifact(saved):
    before = _contents(saved)
    out, err = _python(FULL, saved).communicate(timeout=60)
    assert "could not save" in out, err
    assert out.endswith("OSError\n")
    assert _contents(saved) == before


# --- a save that is killed --------------------------------------------------------------

KILLED = """
import os, signal, sys
from tests.vectors.examples import small_vectors

def die_at(n):
    # Odd calls die before they are done, even ones after.
    calls = []
    def deadly(real):
        def call(*args, **kwargs):
            calls.append(real)
            if len(calls) == n and n % 2:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **kwargs)
            if len(calls) == n:
                os.kill(os.getpid(), signal.SIGKILL)
            return result
        return call
    os.fsync, os.replace, os.unlink = deadly(os.fsync), deadly(os.replace), deadly(os.unlink)

vectors = small_vectors(seed=1)
for n, folder in enumerate(sys.argv[1:], start=1):
    child = os.fork()
    if child == 0:
        die_at(n)
        vectors.save(folder)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def _killed_saves(folders):
    """Save into each folder, killed at the first, second, ... step; the exit codes."""
    out, err = _python(KILLED, *folders).communicate(timeout=60)
    assert err == ""
    return list(map(int, out.split()))


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_save_leaves_the_old_artifact_or_the_new(saved, tmp_path):
    # Two files: write and name each; schema: write, fsync the folder, replace, fsync; two stale.
    folders = [shutil.copytree(saved, tmp_path / f"killed {n}") for n in range(1, 12)]
    assert _killed_saves(folders) == [-9] * 10 + [0]
    old, new = small_vectors(), small_vectors(seed=1)
    found = [CategoryVectors.load(folder) for folder in folders]
    assert [vectors == old for vectors in found] == [True] * 7 + [False] * 4
    assert [vectors == new for vectors in found] == [False] * 7 + [True] * 4
    for folder in folders:  # and the next save clears up
        new.save(folder)
        assert len(_contents(folder)) == 3


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL there")
def test_a_killed_first_save_can_be_done_again(tmp_path):
    folders = [tmp_path / str(n) for n in range(1, 8)]
    assert _killed_saves(folders) == [-9] * 7  # the last just before the schema stands
    for folder in folders:
        with pytest.raises(ArtifactError, match=r"has no schema\.json"):
            CategoryVectors.load(folder)
        small_vectors().save(folder)
        assert CategoryVectors.load(folder) == small_vectors()
        assert len(_contents(folder)) == 3


# --- several at once --------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="saves keep apart by flock")
def test_saves_and_loads_at_once_meet_whole_artifacts(saved):
    known = [small_vectors(seed=seed) for seed in range(3)]
    failures = []

    def work(vectors):
        try:
            for _ in range(8):
                vectors.save(saved)
                assert CategoryVectors.load(saved) in known
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(vectors,)) for vectors in known]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(_contents(saved)) == 3


def test_an_artifact_replaced_while_it_is_read_is_read_again(saved):
    seen = []

    def build(artifact):
        seen.append(artifact)
        if len(seen) == 1:
            small_vectors(seed=1).save(saved)
        return CategoryVectors.from_artifact(artifact)

    assert load_artifact(saved, build) == small_vectors(seed=1)
    assert len(seen) == 2
