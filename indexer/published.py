"""What `current.json` says about the index that is live, and the files it names.

A small index is one file, `<sha256>.faiss`. A large one is three: `<faiss>.faiss` (short forms and their graph, read
into memory), `<matrix>.vectors` (float32, mapped: exact cosines and the probe need it) and `<ids>.ids`. Pictures added
later are a *tail*: rows appended behind those of the matrix, which only count once `current.json` says so.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from indexer.errors import DamagedIndex, NoIndex
from model.files import write_atomically
from model.progress import Line

CURRENT = "current.json"
EXACT, GRAPH = "exact float32", "graph"
EARLIER = ("exact float16", "inverted lists float16")  # kinds that there are no more


@dataclass(frozen=True)
class Published:
    """One index as it was published. What is None has a default, so that earlier versions' files are read."""

    sha256: str  # of everything it is made of: another whenever anything changes
    count: int  # vectors, the tail's among them
    dim: int
    kind: str
    created_at: str
    faiss: str | None = None  # the SHA-256 of the FAISS part; None: that is `sha256` itself
    matrix: str | None = None  # ... of the matrix without its tail; None: FAISS holds the float32 vectors
    ids: str | None = None  # ... of the ids
    tail: int = 0  # how many of the last vectors are not in the FAISS part and are compared one by one
    tail_sha256: str | None = None
    effort: int | None = None  # how many near ones a walk holds; 0: none finds enough, searches compare with all
    recall: float | None = None  # recall@10 against exact search, of vectors held out of this very index
    recall_100: float | None = None  # ... at 100 places
    held_out: int | None = None  # on how many that was measured
    slack: float | None = None  # by how much a short form may say too little of a cosine

    @property
    def base(self) -> int:
        """How many vectors the FAISS part holds."""
        return self.count - self.tail

    def described(self) -> dict[str, Any]:
        """For people and programs: which kind of index it is, and how well it finds."""
        said = {"kind": self.kind, "vectors": self.count, "added_since": self.tail, "created_at": self.created_at}
        if self.effort is not None:
            said |= {"effort": self.effort}
        if self.kind == EXACT:
            return {
                **said,
                "recall_at_10": 1.0,
                "recall_at_100": 1.0,
                "measured_on": None,
            }  # it compares with every vector
        measured = {"recall_at_10": self.recall, "recall_at_100": self.recall_100, "measured_on": self.held_out}
        return said | measured


def sentence(described: dict[str, Any]) -> Line:
    """The same in words."""
    if described["kind"] == EXACT:
        return Line("index_exact", "Search compares with every picture: it is exact.")
    return Line(
        "index_graph",
        "Search finds {share} of the ten most alike (measured on {n:,} pictures of this collection; graph).",
        share=f"{described['recall_at_10']:.1%}",
        n=described["measured_on"],
    )


def whole(*parts: str | None) -> str:
    """The SHA-256 that stands for an index of these parts."""
    return hashlib.sha256("\n".join(part or "" for part in parts).encode()).hexdigest()


def files_of(folder: Path, published: Published) -> dict[str, Path]:
    """The files of an index: `faiss`, and for a large one `matrix` and `ids`."""
    named = {"faiss": folder / f"{published.faiss or published.sha256}.faiss"}
    if published.matrix is not None:
        named |= {"matrix": folder / f"{published.matrix}.vectors", "ids": folder / f"{published.ids}.ids"}
    return named


def read_published(folder: Path) -> Published:
    """What is live in this folder; cheap."""
    path = os.path.join(folder, CURRENT)
    try:
        there = os.stat(path)
        # Every request asks. Never written in place: another file has another number or another time.
        return _parsed(path, there.st_ino, there.st_mtime_ns, there.st_size)
    except FileNotFoundError as error:
        raise NoIndex("There is no index yet: run `likeness index`.") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise damaged(folder / CURRENT) from error


@functools.lru_cache(maxsize=256)
def _parsed(path: str, number: int, changed_ns: int, size: int) -> Published:
    """The file as it is read the first time that it is seen."""
    with open(path, "rb") as file:
        published = Published(**json.loads(file.read()))
    if published.kind not in (EXACT, GRAPH):
        if published.kind not in EARLIER:
            raise ValueError(f"{published.kind!r} is no kind of index")
        raise NoIndex("The index was made by another version of Likeness: run `likeness index` to make it again.")
    return published


def make_current(folder: Path, published: Published) -> None:
    """The commit: from here on this index is the live one. Then what only earlier ones used goes."""
    kept = {name: value for name, value in asdict(published).items() if value is not None}
    write_atomically(folder / CURRENT, json.dumps(kept, indent=2).encode())
    used = set(files_of(folder, published).values())
    for pattern in ("*.faiss", "*.vectors", "*.ids", "*.sketch"):
        for old in folder.glob(pattern):
            if old not in used:
                old.unlink(missing_ok=True)  # whoever has it open keeps it: it was read into memory, or is mapped


def damaged(path: Path, how: str = "damaged") -> DamagedIndex:
    return DamagedIndex(f"{path} is {how}: run `likeness index` to make the index again.")
