"""One file → its hash and its previews, in a pool of processes: every core decodes, and a decoder that dies or never
ends takes only its own file.

Small files travel to the processes in bundles, for the way there costs as much as decoding one of them. Previews are
written without waiting for the disk: whoever commits a batch to the catalog calls `settle` before, once for all of it.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BufferedReader, BytesIO

from indexer.decoders import TooLong, end, given, pool_of, waited_for, without_main
from indexer.home import Home
from indexer.parts import WHOLE, Cutting, part_id
from indexer.sources import MAX_FILE_BYTES, TOO_LARGE, Source, batches, opened, read, unreadable
from model.errors import CannotDecode
from model.exif import Tags
from model.files import HASHED_AT_ONCE, write_named_by_hash, write_whole
from model.images import PREVIEW_SIDE, Preview, make_preview, read_tags, tiled
from model.info import Preparation
from model.parts import Part, is_slide, previews_of_parts, previews_of_slide
from model.progress import Line

SUFFIXES = ("jpg", "png")  # of previews
BUNDLE_FILES, BUNDLE_BYTES = 16, 1 << 20  # in one message to a process, at most
LONGEST = 120.0  # seconds for a whole file: a picture of the most pixels takes ten; tiles take what they take
MOST_HELD = 256 << 20  # bytes out of zips in memory at once, where they are more than one file
SLOWEST = 1e6  # bytes a second that a disk gives at least: this comes on top


@dataclass(frozen=True)
class Digest:
    """What a worker process found in one file, or in one part of it. The preview is written when this arrives."""

    sha256: str
    preview_sha256: str
    preview: Preview | None  # without its data; with the square of an encoder if one was asked for
    bytes: int
    refused: str | None = None  # why; a `Line` where the reason is ours
    again: bool = False  # it could not be read this time, which says nothing about next time
    known: bool = False  # the catalog has this content, and its preview is there: it was not decoded
    tags: Tags | None = None  # of what is known: others may have been written into another file of this picture
    parent: str | None = None  # of a part: the hash of the file
    part: Part | None = None


@dataclass(frozen=True)
class Work:
    """One file for a process: its bytes when they come from a zip, and the contents that it may turn out to be."""

    source: Source
    data: bytes | None
    candidates: frozenset[tuple[str, str]]  # hash and preview's suffix of catalogued contents of the same size


def digested(
    sources: Sequence[Source],
    home: Home,
    workers: int,
    by_size: Mapping[int, frozenset[tuple[str, str]]] | None = None,
    cutting: Cutting = WHOLE,
    preparation: Preparation | None = None,
) -> Iterator[tuple[Source, list[Digest]]]:
    """Decode in parallel, in order, with a bounded number of files in memory.

    `by_size` has (hash, preview's suffix) of known contents by their size in bytes: a moved or copied file is not
    decoded again.
    `preparation` is of the encoder that is to have the pictures' squares; parts of files come without.
    """
    pool = pool_of(workers)
    window: deque[tuple[list[Work], Future[list[list[Digest]]]]] = deque()
    nobody: frozenset[tuple[str, str]] = frozenset()
    held = 0  # bytes out of zips that wait for a process, or are with one

    def submit(bundle: list[Work]) -> Future[list[list[Digest]]]:
        with without_main():
            return given(pool, digest_bundle, bundle, home, cutting, preparation)

    def finish() -> Iterator[tuple[Source, list[Digest]]]:
        nonlocal pool, held
        bundle, future = window.popleft()
        try:
            waiting = [work for some, _ in window for work in some]
            results = waited_for(pool, future, _longest([*bundle, *waiting], cutting))
        except (BrokenProcessPool, TooLong):
            # The files that were in flight now go one by one, so only the one that kills is lost.
            end(pool)
            for place, (other, other_future) in enumerate(window):
                if not _succeeded(other_future):
                    window[place] = (other, _done(_one_by_one(other, home, cutting, preparation)))
            results = _one_by_one(bundle, home, cutting, preparation)
            pool = pool_of(workers)
        held -= _held(bundle)
        yield from zip((work.source for work in bundle), results, strict=True)

    try:
        bundle: list[Work] = []
        size = 0
        for archive, group in batches(sources):
            for source in group:
                coming = source.size if archive is not None else 0
                while window and (len(window) >= 4 * workers or held + coming > MOST_HELD):
                    yield from finish()
                data: bytes | None = None
                if archive is not None:
                    try:
                        data = read(source, archive)
                    except OSError as error:
                        window.append(([Work(source, None, nobody)], _done([[_failed(unreadable(error))]])))
                        continue
                if bundle and (len(bundle) == BUNDLE_FILES or size + source.size > BUNDLE_BYTES):
                    window.append((bundle, submit(bundle)))
                    held += _held(bundle)
                    bundle, size = [], 0
                bundle.append(Work(source, data, (by_size or {}).get(source.size, nobody)))
                size += source.size
        if bundle:
            window.append((bundle, submit(bundle)))
            held += _held(bundle)
        while window:
            yield from finish()
    finally:
        end(pool, [future for _, future in window])


def digest_bundle(
    bundle: Sequence[Work], home: Home, cutting: Cutting, preparation: Preparation | None
) -> list[list[Digest]]:
    """Digest some files, one after the other. Runs in a worker process."""
    return [digest_file(work, home, cutting, preparation) for work in bundle]


def digest_file(work: Work, home: Home, cutting: Cutting, preparation: Preparation | None = None) -> list[Digest]:
    """Read, hash, decode and write the previews of one file."""
    source = work.source
    try:
        if (cutting.tile or source.size > MAX_FILE_BYTES) and (tiles := _slide(work, home, cutting)) is not None:
            return tiles
    except CannotDecode as error:
        return [_failed(error.reason)]
    try:
        data = read(source) if work.data is None else work.data
    except OSError as error:
        return [_failed(unreadable(error), again=True)]
    sha256 = hashlib.sha256(data).hexdigest()
    try:
        if cutting:
            found = _parts(data, sha256, source, home, cutting)
        elif any((sha256, suffix) in work.candidates and home.preview(sha256, suffix).exists() for suffix in SUFFIXES):
            found = [Digest(sha256, "", None, len(data), known=True, tags=_tags(data, source))]
        else:
            squared = preparation.square_of if preparation is not None else None
            found = [_written(home, sha256, make_preview(data, source.name, PREVIEW_SIDE, squared), len(data), data)]
    except CannotDecode as error:
        return [_failed(error.reason)]
    if source.stored:
        _keep(home.original(sha256), data)
    return found


def _tags(data: bytes, source: Source) -> Tags | None:
    try:
        return read_tags(data, source.name)
    except CannotDecode:  # it has a preview: another version could read it
        return None


def _slide(work: Work, home: Home, cutting: Cutting) -> list[Digest] | None:
    """The tiles of a TIFF that cannot be held in memory; None for a file that can."""
    source = work.source
    with ExitStack() as stack:
        try:  # around what is read alone: a disk that takes no more is no fault of the file
            file: BufferedReader | BytesIO = opened(source) if work.data is None else BytesIO(work.data)
            stack.callback(file.close)
            slide = is_slide(file, source.name, MAX_FILE_BYTES)
            if not (cutting.tile and slide):
                if source.size > MAX_FILE_BYTES:
                    raise CannotDecode(source.name, tiled(TOO_LARGE) if slide else TOO_LARGE)
                return None
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            return [_failed(unreadable(error), again=True)]
        parts = previews_of_slide(file, source.name, PREVIEW_SIDE, cutting.tile, cutting.pages)
        found = [_written_part(home, sha256, part, preview, source.size) for part, preview in parts]
        if source.stored:
            folder = home.original(sha256).parent
            folder.mkdir(parents=True, exist_ok=True)
            file.seek(0)
            write_named_by_hash(folder, "", iter(lambda: file.read(HASHED_AT_ONCE), b""))
    return found


def _parts(data: bytes, sha256: str, source: Source, home: Home, cutting: Cutting) -> list[Digest]:
    """The pages, tiles, or tiles of pages of one file; a file of one page that is not tiled stays whole."""
    found: list[Digest] = []
    for part, preview in previews_of_parts(data, source.name, PREVIEW_SIDE, cutting.tile, cutting.pages):
        if not part:
            return [_written(home, sha256, preview, len(data))]
        found.append(_written_part(home, sha256, part, preview, len(data)))
    return found


def _written_part(home: Home, sha256: str, part: Part, preview: Preview, size: int) -> Digest:
    return replace(_written(home, part_id(sha256, part), preview, size), parent=sha256, part=part)


def _written(home: Home, sha256: str, preview: Preview, size: int, file: bytes = b"") -> Digest:
    """`file`: the bytes that `sha256` is of, if at hand: a small JPEG with nothing beside its pixels is its preview."""
    _keep(home.preview(sha256, preview.suffix), preview.data)
    preview_sha256 = sha256 if preview.data == file else hashlib.sha256(preview.data).hexdigest()
    return Digest(sha256, preview_sha256, replace(preview, data=b""), size)


def _keep(path: os.PathLike[str], content: bytes) -> None:
    """Write a file that `settle` will make durable. One that is there may be torn by a power cut: write it again."""
    folder = os.path.dirname(path)
    try:
        write_whole(path, content)
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        write_whole(path, content)


def _held(bundle: Sequence[Work]) -> int:
    return sum(len(work.data) for work in bundle if work.data is not None)


def _one_by_one(
    bundle: Sequence[Work], home: Home, cutting: Cutting, preparation: Preparation | None
) -> list[list[Digest]]:
    """Digest each file by itself; the process that one of them kills is replaced."""
    results: list[list[Digest]] = []
    while len(results) < len(bundle):
        with without_main():
            pool = pool_of(1)
            try:
                for work in bundle[len(results) :]:
                    future = given(pool, digest_bundle, [work], home, cutting, preparation)
                    results.append(waited_for(pool, future, _longest([work], cutting))[0])
            except TooLong:
                # A disk that stood still looks the same; but tried with every import it would cost each these minutes.
                words = "takes more than {n:g} seconds to decode: --retry opens it again"
                results.append([_failed(Line("too_long", words, n=LONGEST))])
            except BrokenProcessPool:
                results.append([_failed(Line("crashed", "made the decoder crash"))])
            finally:
                end(pool)
    return results


def _longest(works: Sequence[Work], cutting: Cutting) -> float | None:
    """Seconds for the first of these, while all of them are read from one disk."""
    return None if cutting else LONGEST + sum(work.source.size for work in works) / SLOWEST


def _succeeded(future: Future[list[list[Digest]]]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _done(digests: list[list[Digest]]) -> Future[list[list[Digest]]]:
    future: Future[list[list[Digest]]] = Future()
    future.set_result(digests)
    return future


def _failed(reason: str, again: bool = False) -> Digest:
    return Digest("", "", None, 0, refused=reason, again=again)
