"""Where pictures come from: folders, single files, zips and uploads, as one stream of sources.

Nothing is opened here but folders and zips; whatever is not a plain file is reported with a reason and never read.
"""

from __future__ import annotations

import errno
import fnmatch
import json
import os
import stat
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path, PurePosixPath

from model.errors import BadInput
from model.progress import Line

MAX_FILE_BYTES = 1 << 30  # one picture file, but for TIFFs that are read in tiles; a 120 MP one with 16 bits is 720 MB
TOO_LARGE = Line("file_too_large", "is larger than {n} GB", n=MAX_FILE_BYTES >> 30)
_IF_TIFF = "{why}: unpack it; if it is a TIFF, import it by itself with --tile (on the page: Options)"
_LARGE_IN_ZIP = Line("large_in_zip", _IF_TIFF, why=TOO_LARGE)  # tiles are read here and there; a zip, from the front
MAX_ZIP_BYTES = 64 << 30  # all members of one zip together, unpacked
MAX_RATIO = 200  # unpacked over packed: photographs stay near 1, bombs reach 1,000
MAX_CONTENTS = 64 << 20  # bytes of a zip's list of members, which is read whole: half a million with names of 80 bytes
_SYSTEM = {  # what the operating system says most often
    errno.EACCES: Line("no_permission", "Permission denied"),
    errno.ENOENT: Line("file_gone", "No such file or directory"),
    errno.EIO: Line("disk_fault", "Input/output error"),
}
_FOLDER_LINK = Line("folder_link", "is a link to a folder: import its target instead")
_IGNORED = {"thumbs.db", "desktop.ini", "__macosx"}
NAMES = "names.json"  # beside uploaded files: what the person called them


@dataclass(frozen=True)
class Source:
    """One file that may be a picture: its bytes are at `path`, or in `member` of the zip at `path`."""

    path: bytes  # as the operating system has it; for a zip member the zip's path, "!" and the member's name
    name: str
    folder: str  # for people and filters: "Photos/2024"
    size: int
    mtime_ns: int
    depth: int  # folders between it and what was imported: only deeper files take a class from their folder
    member: str | None = None
    stored: bool = False  # its bytes must be kept: they came over HTTP or in a zip
    lasting: bool = True  # whether the path will still be there tomorrow; an upload's is not


@dataclass
class Scan:
    """What a scan found: files to look at, and what was skipped with the reason."""

    sources: list[Source] = field(default_factory=list)
    refused: list[tuple[str, Line]] = field(default_factory=list)  # (path for people, reason)
    roots: list[bytes] = field(default_factory=list)  # the paths that were asked for: what else lay below them is gone


def scan(paths: Sequence[Path], exclude: Sequence[str] = (), allow_empty: bool = False) -> Scan:
    """List every file below `paths`; a path that does not exist raises `BadInput` before anything is read.

    What fits a pattern of `exclude` is passed over: "*.psd", "raw", "2019/*". With `allow_empty` a path may be gone.
    """
    found = Scan()
    for path in paths:
        root = Path(os.path.abspath(path))
        found.roots.append(os.fsencode(root))
        if not os.path.lexists(path):
            if allow_empty:
                continue
            words = (
                "{path} does not exist: check the path, and that its disk is there (--allow-empty marks what was "
                "imported from it as missing)."
            )
            raise BadInput(Line("path_gone", words, path=readable(os.fsencode(path))))
        if root.is_dir():
            _scan_folder(root, found, exclude)
        elif root.suffix.lower() == ".zip":
            scan_zip(root, root.stem, found)
        else:
            _add_file(os.fsencode(root), root.parent.name, 0, root.parent, found)
    unique: dict[bytes, Source] = {}
    for source in found.sources:  # a folder and one inside it may both have been asked for
        unique.setdefault(source.path, source)
    return Scan(list(unique.values()), list(dict.fromkeys(found.refused)), found.roots)


def scan_upload(batch: Path) -> Scan:
    """The files of one upload, under the names they had on the person's machine."""
    found = Scan()
    names: dict[str, str] = json.loads((batch / NAMES).read_text())
    for stored_as, name in names.items():
        path, relative = batch / stored_as, PurePosixPath(name.replace("\\", "/"))
        folder = "/".join(part for part in relative.parent.parts if part not in ("/", "..", "."))
        if relative.suffix.lower() == ".zip":
            folder = "/".join(filter(None, (folder, relative.stem)))
            scan_zip(path, _shown(folder), found, called=_shown(name), lasting=False)
            continue
        info = path.stat()
        found.sources.append(
            Source(os.fsencode(path), _shown(relative.name) or stored_as, _shown(folder), info.st_size,
                   info.st_mtime_ns, depth=len(folder.split("/")) if folder else 0, stored=True, lasting=False)
        )  # fmt: skip
    return found


def scan_zip(path: Path, folder: str, found: Scan, called: str | None = None, lasting: bool = True) -> None:
    """List a zip's members. Names become labels for people only; nothing is ever unpacked to them."""
    called = called or readable(os.fsencode(path))
    try:
        if _size_of_contents(path) > MAX_CONTENTS:
            reason = Line("long_zip", "lists more files than we read: split it into several zips")
            found.refused.append((called, reason))
            return
        with zipfile.ZipFile(path) as archive:
            # By name, for that is how they are read: of two members with one name, zipfile reads the last.
            members = [info for info in archive.NameToInfo.values() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        found.refused.append((called, Line("no_zip", "not a zip we can read ({why})", why=str(error))))
        return
    if sum(info.file_size for info in members) > MAX_ZIP_BYTES:
        reason = Line("large_zip", "holds more than {n} GB unpacked", n=MAX_ZIP_BYTES >> 30)
        found.refused.append((called, reason))
        return
    mtime_ns = path.stat().st_mtime_ns
    for info in members:
        inside = PurePosixPath(info.filename.replace("\\", "/"))
        if _ignored(inside.parts):
            continue
        refusal = None
        if info.flag_bits & 0x1:
            refusal = Line("encrypted", "is encrypted: unpack it first")
        elif info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Of the others zipfile unpacks all that it has read at once: ten megabytes may become a hundred gigabytes.
            refusal = Line("other_packing", "is packed in a way that we do not unpack: make an ordinary zip")
        elif inside.suffix.lower() == ".zip":
            refusal = Line("zip_in_zip", "is a zip inside a zip: import it by itself")
        elif info.file_size > MAX_FILE_BYTES:
            refusal = _LARGE_IN_ZIP
        elif info.file_size > 1 << 20 and info.file_size > MAX_RATIO * max(info.compress_size, 1):
            refusal = Line("zip_bomb", "unpacks to far more than a picture would: it looks like a zip bomb")
        if refusal:
            found.refused.append((f"{called}!{_shown(info.filename)}", refusal))
            continue
        parts = [_shown(part) for part in inside.parent.parts if part not in ("/", "..", ".")]
        found.sources.append(
            Source(os.fsencode(path) + b"!" + info.filename.encode("utf-8", "surrogateescape"), _shown(inside.name),
                   "/".join([folder, *parts]).strip("/"), info.file_size, mtime_ns,
                   depth=len(parts), member=info.filename, stored=True, lasting=lasting)
        )  # fmt: skip


def _size_of_contents(path: Path) -> int:
    """Bytes of the list of members at a zip's end, before any of it is read: each entry becomes an object of 700."""
    with open(path, "rb") as file:
        # zipfile's own look at the end, for another reader could be made to see another end.
        end = zipfile._EndRecData(file)  # type: ignore[attr-defined]
    return int(end[5]) if end else 0


def read(source: Source, archive: zipfile.ZipFile | None = None) -> bytes:
    """The bytes of a source, never more than it declared; raises OSError with the reason."""
    if source.member is None:
        with opened(source) as file:
            size = os.fstat(file.fileno()).st_size  # Python takes as much memory as it is told to read
            data = file.read(min(size, MAX_FILE_BYTES) + 1)
        if len(data) > MAX_FILE_BYTES:
            raise OSError(TOO_LARGE)
        return data
    if archive is None:
        raise OSError(Line("zip_gone", "its zip is gone, or is none any more"))
    try:
        with archive.open(source.member) as file:
            data = file.read(source.size + 1)
    except Exception as error:  # zipfile raises BadZipFile, zlib.error, RuntimeError, EOFError, ...
        raise OSError(Line("not_unpacked", "cannot be unpacked ({why})", why=str(error))) from error
    if len(data) > source.size:
        raise OSError(Line("larger_than_said", "is larger than the zip says"))
    return data


def opened(source: Source) -> BufferedReader:
    """The open file of a source that lies in no zip."""
    # O_NONBLOCK: a file that became a FIFO since the scan must not hang us.
    return os.fdopen(os.open(source.path, os.O_RDONLY | os.O_NONBLOCK), "rb")


def readable(path: bytes) -> str:
    """A path that can be shown, logged and put into JSON, whatever bytes it has."""
    text = path.decode("utf-8", "backslashreplace")
    return _shown(text)


def _shown(text: str) -> str:
    if text.isprintable():  # as nearly all: a character at a time is slow
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _scan_folder(root: Path, found: Scan, exclude: Sequence[str]) -> None:
    inside = os.path.realpath(root)
    for folder, subfolders, names in os.walk(os.fsencode(root), onerror=lambda e: _unreadable(e, found)):
        if exclude:
            below = os.path.relpath(os.fsdecode(folder), root)
            subfolders[:] = [name for name in subfolders if not _excluded(below, name, exclude)]
            names = [name for name in names if not _excluded(below, name, exclude)]
        subfolders[:] = sorted(name for name in subfolders if not _ignored((os.fsdecode(name),)))
        for link in (os.path.join(folder, name) for name in subfolders):
            if os.path.islink(link):  # never followed: it may lead out of the folder, or round in a circle
                found.refused.append((readable(link), _FOLDER_LINK))
        relative = os.path.relpath(os.fsdecode(folder), root.parent)
        depth = len(Path(relative).parts) - 1
        label = readable(os.fsencode(relative))
        for name in sorted(names):
            if not _ignored((os.fsdecode(name),)):
                _add_file(os.path.join(folder, name), label, depth, Path(inside), found)


def _excluded(folder: str, name: bytes, patterns: Sequence[str]) -> bool:
    """Whether a pattern fits the name itself, or the path from the folder that was asked for."""
    called = os.fsdecode(name)
    path = called if folder == "." else f"{folder}/{called}"
    return any(fnmatch.fnmatchcase(text, pattern.rstrip("/")) for pattern in patterns for text in (called, path))


def _add_file(path: bytes, folder: str, depth: int, root: Path, found: Scan) -> None:
    """Add one path when it is a plain file; say why when it is not."""
    linked_out = False
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            info = os.stat(path)
            linked_out = not os.path.realpath(path).startswith(os.fsencode(root) + b"/")
    except OSError as error:
        found.refused.append((readable(path), unreadable(error)))
        return
    if not stat.S_ISREG(info.st_mode):
        found.refused.append((readable(path), Line("not_plain", "is not a plain file")))
    elif linked_out:
        reason = Line("link_outside", "is a link to outside the folder: import its target instead")
        found.refused.append((readable(path), reason))
    else:
        name = readable(os.path.basename(path))
        found.sources.append(Source(path, name, folder, info.st_size, info.st_mtime_ns, depth))


def _unreadable(error: OSError, found: Scan) -> None:
    found.refused.append((readable(os.fsencode(error.filename)), unreadable(error)))


def unreadable(error: OSError) -> Line:
    """What an error of the operating system, or of `read`, says of a file."""
    if error.args and isinstance(error.args[0], Line):
        return error.args[0]
    why = _SYSTEM.get(error.errno or 0) or error.strerror or str(error)
    return Line("unreadable", "cannot be read ({why})", why=why)


def _ignored(parts: Sequence[str]) -> bool:
    """Hidden files and the leavings of file managers are not pictures anybody meant to import."""
    return any((part.startswith(".") and part not in ("..", ".")) or part.lower() in _IGNORED for part in parts)


def batches(sources: Sequence[Source]) -> Iterator[tuple[zipfile.ZipFile | None, list[Source]]]:
    """Sources grouped so that each zip is opened once."""
    group: list[Source] = []
    for source in sources:
        if group and _archive(group[0]) != _archive(source):
            yield from _opened(group)
            group = []
        group.append(source)
    if group:
        yield from _opened(group)


def _opened(group: list[Source]) -> Iterator[tuple[zipfile.ZipFile | None, list[Source]]]:
    archive = _archive(group[0])
    if archive is None:
        yield None, group
        return
    try:
        opened = zipfile.ZipFile(os.fsdecode(archive))
    except (OSError, zipfile.BadZipFile):  # it vanished, or was overwritten, since the scan: `read` says so
        yield None, group
        return
    with opened:
        yield opened, group


def _archive(source: Source) -> bytes | None:
    if source.member is None:
        return None
    return source.path[: -len(b"!" + source.member.encode("utf-8", "surrogateescape"))]
