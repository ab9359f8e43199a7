"""A decoder that dies, or hangs. In a module of its own because the processes of the pool import it by name."""

import os
import time
from collections.abc import Sequence

from indexer import digest
from indexer.home import Home
from indexer.parts import Cutting
from model.info import Preparation

_real = digest.digest_file


def digest_bundle(
    bundle: Sequence[digest.Work], home: Home, cutting: Cutting, preparation: Preparation | None
) -> list[list[digest.Digest]]:
    """The real one, but a file with "kills" in its name takes its process with it, as a crash in a C library does.

    One with "hangs" in its name never comes to an end.
    """
    results = []
    for work in bundle:
        if "kills" in work.source.name:
            os._exit(139)
        if "hangs" in work.source.name:
            time.sleep(3600)
        results.append(_real(work, home, cutting, preparation))
    return results
