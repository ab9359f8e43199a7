"""What can go wrong on disk; see `model.errors` for the base and the rest of the tree.

LikenessError
├── NoSuch             the name or id is not in the catalog: NoSuchCollection, NoSuchImage, NoSuchClass, ...
├── CollectionExists   the name is taken
├── ClassExists        another class has, or had, the name (a BadInput, as is BadClassName: no class can have it)
├── ClassGone          a label is for a class that was removed meanwhile
├── NoIndex            nothing can be searched yet; the message says which command makes it possible
├── Busy               another process does this kind of work on this collection; the message says which
├── NotAsSeen          what was previewed is no longer what would be done
├── NothingToUndo      the journal holds no action to take back (or to do again)
├── DamagedIndex       an index file is not what was published; `likeness index` makes it again
├── UnusableDatabase   the server that holds the catalog does not answer, or does not let us in
├── DamagedCatalog     the catalog cannot be read; it was left as it is
└── NewerCatalog       the catalog was written by a newer Likeness; it was left as it is
"""

from model.errors import BadInput, LikenessError


class NoSuch(LikenessError):
    """The name or id is not in the catalog."""


class NoSuchCollection(NoSuch):
    """There is no collection of that name."""


class NoSuchImage(NoSuch):
    """There is no image of that id, or it was removed."""


class NoSuchClass(NoSuch):
    """There is no class of that name in the collection."""


class NoSuchModel(NoSuch):
    """There is no model of that fingerprint."""


class NoSuchQuery(NoSuch):
    """There is no query of that id."""


class NoSuchJob(NoSuch):
    """There is no job of that id."""


class NoSuchSearch(NoSuch):
    """There is no saved search of that id."""


class NoSuchComparison(NoSuch):
    """There is no comparison of that id in the collection."""


class CollectionExists(LikenessError):
    """The name is taken."""


class ClassExists(BadInput):
    """Another class of the collection has, or had, that name."""


class ClassGone(LikenessError):
    """A label is for a class that its giver was shown, and that was removed meanwhile."""


class BadClassName(BadInput):
    """No class can have that name; the message says why."""


class NoIndex(LikenessError):
    """Nothing can be searched yet; the message says which command makes it possible."""


class NoMap(LikenessError):
    """The collection has no map yet, or none by its active model; the message says what makes one."""


class Busy(LikenessError):
    """Another process does this kind of work on this collection; the message says which."""


class SeveralClasses(LikenessError):
    """A picture would have several classes in a collection where it may have one."""


class NotAsSeen(LikenessError):
    """What was previewed is no longer what would be done: look again."""


class NothingToUndo(LikenessError):
    """The journal holds no action to take back, or to do again."""


class DamagedIndex(LikenessError):
    """An index file is not what was published; `likeness index` makes it again from the vectors."""


class UnusableDatabase(LikenessError):
    """The database server that holds the catalog does not answer, or does not let us in."""


class DamagedCatalog(LikenessError):
    """The catalog cannot be read. It was left as it is."""


class NewerCatalog(LikenessError):
    """The catalog was written by a newer Likeness. It was left as it is."""
