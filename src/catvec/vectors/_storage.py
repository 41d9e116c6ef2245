"""The folder on disk: files named by their content, and a ``schema.json`` that is replaced last.

``schema.json`` names every file of the artifact with its size and its SHA-256. A save writes new
files beside the old ones, then replaces ``schema.json`` in one step, then removes what is stale, so
that whoever reads (or dies) at any moment meets the old artifact or the new one, never a mixture.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from catvec._checks import some
from catvec.errors import ArtifactError, CatvecError, ParameterError
from catvec.frames._files import file_digest
from catvec.vectors._schema import (
    SCHEMA,
    checked_schema,
    checked_sections,
    document,
    parsed_schema,
)

PathLike = str | os.PathLike[str]
FileContent = bytes | Callable[[Path], None]
T = TypeVar("T")

_LOGICAL = re.compile(r"([a-z][a-z0-9_]*)\.(parquet|safetensors|json)")
_STORED = re.compile(r"[a-z][a-z0-9_]*\.[0-9a-f]{16}\.(parquet|safetensors|json)")
_TEMPORARY = re.compile(r"\.catvec-[0-9a-f]{16}\.tmp")


class Artifact:
    """An artifact opened for reading: its schema, and its files, each checked when asked for.

    Attributes
    ----------
    path : Path
        The folder.
    schema : dict
        The content of ``schema.json``.
    """

    def __init__(self, path: Path, raw: bytes) -> None:
        self.path = path
        self.schema = checked_schema(path, raw)
        self._raw = raw

    def __contains__(self, name: object) -> bool:
        return name in self.schema["files"]

    def verified_path(self, name: str) -> Path:
        """Where a file lies, after its size and its hash were found right.

        Parameters
        ----------
        name : str
            Logical name, such as ``"network.safetensors"``.

        Returns
        -------
        Path

        Raises
        ------
        ArtifactError
            If the artifact names no such file, or the file is missing, truncated or edited.
        """
        entry = self._entry(name)
        path = self.path / entry["name"]
        try:
            size, digest = path.stat().st_size, file_digest(path)
        except FileNotFoundError as error:
            raise self.damage(f"its file {entry['name']} is missing") from error
        except OSError as error:
            raise self.damage(f"its file {entry['name']} cannot be read ({error})") from error
        if size != entry["bytes"]:
            raise self.damage(
                f"its file {entry['name']} has {size:,} bytes instead of {entry['bytes']:,}"
            )
        if digest != entry["sha256"]:
            raise self.damage(f"its file {entry['name']} was changed after it was saved")
        return path

    def read(self, name: str) -> bytes:
        """The verified bytes of a file; as `verified_path` otherwise.

        Parameters
        ----------
        name : str
            Logical name.

        Returns
        -------
        bytes

        Raises
        ------
        ArtifactError
            As `verified_path`.
        """
        return self.verified_path(name).read_bytes()

    def damage(self, what: str) -> ArtifactError:
        """The error for a damaged artifact, for whoever reads its parts.

        Parameters
        ----------
        what : str
            What is wrong, as the end of a sentence.

        Returns
        -------
        ArtifactError
        """
        return ArtifactError(
            f"the artifact {str(self.path)!r} is damaged: {what}; restore it or save it again"
        )

    def replaced(self) -> bool:
        """Whether another process has saved here since this artifact was opened."""
        try:
            return (self.path / SCHEMA).read_bytes() != self._raw
        except OSError:
            return False

    def _entry(self, name: str) -> dict[str, Any]:
        entry = self.schema["files"].get(name)
        if entry is None:
            raise self.damage(f"its {SCHEMA} names no file {name!r}")
        if not _is_entry(entry):
            raise self.damage(f"its {SCHEMA} describes the file {name!r} wrongly")
        return dict(entry)


def read_artifact(path: PathLike) -> Artifact:
    """Open an artifact. Its files are read and verified when they are asked for.

    Parameters
    ----------
    path : str or path-like
        The folder.

    Returns
    -------
    Artifact

    Raises
    ------
    ArtifactError
        If there is no folder, it is not an artifact of catvec, or its ``schema.json`` is damaged.
    ArtifactVersionError
        If a newer catvec wrote it.
    """
    folder = Path(path)
    try:
        return Artifact(folder, (folder / SCHEMA).read_bytes())
    except OSError as error:
        raise ArtifactError(_why_unreadable(folder, error)) from error


def load_artifact(path: PathLike, build: Callable[[Artifact], T]) -> T:
    """Open an artifact and build something of it, again if it is replaced meanwhile.

    Parameters
    ----------
    path : str or path-like
        The folder.
    build : callable
        Takes the `Artifact`; what it returns is returned.

    Returns
    -------
    object
        What `build` returned.

    Raises
    ------
    ArtifactError
        As `read_artifact`, and whatever `build` raises.
    """
    while True:
        artifact = read_artifact(path)
        try:
            return build(artifact)
        except ArtifactError:
            if not artifact.replaced():
                raise


def write_artifact(
    path: PathLike, schema: Mapping[str, Any], files: Mapping[str, FileContent]
) -> None:
    """Save an artifact, in place of one that may be there; all or nothing.

    Parameters
    ----------
    path : str or path-like
        The folder. It is made if absent; it may be empty or hold an artifact of catvec.
    schema : mapping
        Sections of ``schema.json``; NumPy scalars and arrays become plain JSON, and numbers that
        JSON lacks the texts "NaN", "Infinity" and "-Infinity", which ``float`` reads back (as in
        the JSON mapping of Protocol Buffers 3).
    files : mapping of str to bytes or callable
        Content by logical name (``"network.safetensors"``): bytes, or a callable that writes the
        file at the path it is given.

    Raises
    ------
    ArtifactError
        If the folder holds anything else, or the disk refuses (full, no permission): what was there
        before is then untouched, and what was written is removed.
    ParameterError
        If `schema` holds what JSON cannot, or a logical name is not one.
    """
    sections = checked_sections(schema)
    _check_logical(files)
    folder = Path(path)
    made = _make_folder(folder)
    save = _Save(folder)
    try:
        with _alone(folder):
            refuse_foreign(folder)
            entries = {name: save.add(name, content) for name, content in files.items()}
            save.commit(sections, entries)
    except BaseException as error:
        save.undo()
        _remove_folders(made)
        if isinstance(error, CatvecError) or not isinstance(error, Exception):
            raise
        # Not only OSError: the library that writes a file may wrap it in an error of its own.
        raise ArtifactError(
            f"could not save to {str(folder)!r}: {_reason(error)};"
            " what was there before is unchanged"
        ) from error


class _Save:
    """One save under way: what it has written, to be committed or undone."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.written: list[Path] = []
        self.schema: Path | None = None  # the new schema.json, until it takes its place

    def add(self, name: str, content: FileContent) -> dict[str, Any]:
        """Write a file under the name that its content gives; its entry for the schema."""
        temporary = self._temporary()
        temporary.touch()  # with the user's permissions; safetensors would make it private
        if isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            content(temporary)
        _sync(temporary)
        digest = file_digest(temporary)
        stem, ending = name.split(".")
        stored = self.folder / f"{stem}.{digest[:16]}.{ending}"
        size = temporary.stat().st_size
        if not stored.exists():  # else the artifact now in place has a file of this very content
            self.written.append(stored)
        os.replace(temporary, stored)
        return {"name": stored.name, "bytes": size, "sha256": digest}

    def commit(self, sections: dict[str, Any], entries: dict[str, dict[str, Any]]) -> None:
        """Replace ``schema.json``, then remove files that it does not name."""
        temporary = self._temporary()
        temporary.write_bytes(document(sections, entries))
        _sync(temporary)
        _sync(self.folder)  # the files' names must be on the disk before the schema that says them
        self.schema = temporary
        os.replace(temporary, self.folder / SCHEMA)
        with contextlib.suppress(OSError):  # the new artifact stands, whatever happens from here
            _sync(self.folder)
            _remove_stale(self.folder, {entry["name"] for entry in entries.values()})

    def undo(self) -> None:
        """Remove what was written, as far as the disk allows, unless it already stands."""
        if self.schema is not None and not self.schema.exists():
            return
        for path in self.written:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _temporary(self) -> Path:
        path = self.folder / f".catvec-{secrets.token_hex(8)}.tmp"
        self.written.append(path)
        return path


# --- the folder -------------------------------------------------------------------------


def _make_folder(folder: Path) -> list[Path]:
    """Make the folder and its parents; those that were absent, the innermost first."""
    absent = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise ArtifactError(
            f"{str(folder)!r} is a file; an artifact is a folder: choose another path"
        ) from error
    except OSError as error:
        _remove_folders(absent)
        raise ArtifactError(f"could not make {str(folder)!r}: {_reason(error)}") from error
    for place in absent:
        with contextlib.suppress(OSError):  # a parent we may write to but not read
            _sync(place.parent)
    return absent


def _remove_folders(folders: list[Path]) -> None:
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.rmdir()


def refuse_foreign(folder: Path) -> None:
    """Refuse to write into a folder where anything but an artifact lies."""
    names = os.listdir(folder)
    if SCHEMA in names:
        _refuse_foreign_schema(folder)
        return
    # Without a schema, our own files are the rests of a save that was killed.
    foreign = sorted(name for name in names if not _is_ours(name))
    if foreign:
        raise ArtifactError(
            f"{str(folder)!r} is not empty and is not an artifact of catvec (it holds"
            f" {some(foreign)}): choose another path"
        )


def _refuse_foreign_schema(folder: Path) -> None:
    try:
        parsed_schema(folder, (folder / SCHEMA).read_bytes())
    except ArtifactError as error:
        raise ArtifactError(
            f"{error}; nothing was saved: remove it, or choose another path"
        ) from error


def _remove_stale(folder: Path, named: set[str]) -> None:
    for name in os.listdir(folder):
        if name not in named and _is_ours(name):
            (folder / name).unlink(missing_ok=True)


def _is_ours(name: str) -> bool:
    return bool(_STORED.fullmatch(name) or _TEMPORARY.fullmatch(name))


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep other savers out of `folder`, where the system has ``flock``; it ends with the process.

    Without this, one save would remove as stale the files that another has just written.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # some network file systems have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _sync(path: Path) -> None:
    """Have the system write a file, or the names in a folder, to the disk."""
    folder = path.is_dir()
    if folder and os.name == "nt":
        return  # folders cannot be opened there
    descriptor = os.open(path, os.O_RDONLY if folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _reason(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return str(text).rstrip(".")


def _why_unreadable(folder: Path, error: OSError) -> str:
    shown = repr(str(folder))
    if not folder.exists():
        return f"there is no artifact at {shown}: no such folder"
    if not folder.is_dir():
        return f"{shown} is a file; an artifact of catvec is a folder"
    if isinstance(error, FileNotFoundError):
        ours = any(map(_is_ours, os.listdir(folder)))
        rest = "a save there did not end; save again" if ours else "it is no artifact of catvec"
        return f"{shown} has no {SCHEMA}: {rest}"
    return f"the artifact {shown} cannot be read: {_reason(error)}"


# --- names of files -------------------------------------------------------------------------


def _is_entry(entry: object) -> bool:
    """Whether a file is described as we do, by a name that stays inside the folder."""
    return (
        isinstance(entry, dict)
        and isinstance(entry.get("name"), str)
        and _STORED.fullmatch(entry["name"]) is not None
        and isinstance(entry.get("bytes"), int)
        and isinstance(entry.get("sha256"), str)
    )


def _check_logical(files: Mapping[str, FileContent]) -> None:
    wrong = [name for name in files if not _LOGICAL.fullmatch(name)]
    if wrong:
        raise ParameterError(
            f"`files` must be named like 'network.safetensors' or 'column_00.parquet', got"
            f" {some(wrong)}"
        )
