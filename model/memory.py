"""How many views fit through a network at once, so that training never runs out of memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import torch
from torch import Tensor, nn

from model.ram import available_memory, resident_memory

PROBED = 2  # views that are sent through, and twice as many, to learn what one more costs
SAFETY = 1.5  # over the saved activations: the gradients of the widest layers, convolutions' workspace, fragments
LOOK = 0.01  # seconds between looks at the memory of a process
TEMPORARIES = 12  # float32 copies of a view that rendering it holds at once


def bytes_per_view(network: nn.Module, example: Callable[[int], Tensor], autocast: Callable[[], torch.autocast]) -> int:
    """What training keeps of one view between forward and backward pass, every storage counted once.

    Measured on a copy, so that no batch norm remembers it. `example` makes that many views. What does not grow with
    their number, such as autocast's copies of the weights, is left out.
    """
    trial = copy.deepcopy(network)
    weights = {p.untyped_storage().data_ptr() for p in (*trial.parameters(), *trial.buffers())}

    def kept(views: int) -> int:
        storages: dict[int, int] = {}
        alive: list[Tensor] = []  # or a freed storage's address would be seen again

        def note(tensor: Tensor) -> Tensor:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in weights:
                storages[storage.data_ptr()] = storage.nbytes()
                alive.append(tensor)
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor), autocast():
            trial(example(views))
        return sum(storages.values())

    return math.ceil((kept(2 * PROBED) - kept(PROBED)) / PROBED)


def view_in_training(per_view: int, image_size: int) -> float:
    """The bytes that one view more takes at most, of which `per_view` are kept between forward and backward pass."""
    return SAFETY * per_view + TEMPORARIES * 3 * image_size**2 * 4


def parts_that_fit(views: int, per_view: int, image_size: int, embedding: int, free: int) -> int:
    """Into how many parts a batch of `views` must be cut to be trained on in `free` bytes; 0: it cannot be."""
    whole = 3 * image_size**2 * 4 * views  # the views themselves are all kept
    similarities = 4 * 4 * views**2 + 4 * embedding * views
    left = free - whole - similarities
    each = view_in_training(per_view, image_size)
    fitting = int(left / each)
    return 0 if fitting < 2 else math.ceil(views / fitting)


def free_memory(device: torch.device) -> int:
    """Bytes that a training may take on `device`: what no one uses, and on CUDA what torch keeps for reuse."""
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + kept
    return available_memory()


@contextmanager
def growth(device: torch.device) -> Iterator[Callable[[], int]]:
    """Yields a function: the bytes on `device` that this process has taken at most since, beyond what it had."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        yield lambda: torch.cuda.max_memory_allocated(device) - before
        return
    before = most = resident_memory()
    over = Event()

    def look() -> None:  # the kernel's own peak cannot be begun anew in every container
        nonlocal most
        while not over.wait(LOOK):
            most = max(most, resident_memory())

    watcher = Thread(target=look, name="memory", daemon=True)
    watcher.start()
    try:
        yield lambda: max(most, resident_memory()) - before
    finally:
        over.set()
        watcher.join()
