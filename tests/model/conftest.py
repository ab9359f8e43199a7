from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from model.network import Start
from tests.model.runs import TINY, tiny_pixels, tiny_start


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that threads would mostly wait for each other, minutes long on a busy machine.

    One thread also adds up in one order, so that runs of different processes can be compared bit for bit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def pixels() -> torch.Tensor:
    return tiny_pixels()


@pytest.fixture(scope="session")
def start(tmp_path_factory) -> Start:
    return tiny_start(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="session")
def finished(pixels, start, tmp_path_factory) -> Path:
    """The folder of a run that nothing interrupted; not to be changed."""
    from model.train import pretrain  # most tests here train nothing

    torch.set_num_threads(1)  # like every test here; a fixture of the session is made before theirs
    run = tmp_path_factory.mktemp("finished")
    pretrain(pixels, start, TINY, run)
    return run
