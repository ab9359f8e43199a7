from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """The networks here are so small that threads would mostly wait for each other, minutes long on a busy machine.

    One thread also adds up in one order, so that runs of different processes can be compared bit for bit.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
