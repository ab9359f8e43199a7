"""Batches of pictures on the device before the step that needs them: from its own memory, from RAM, or from disk.

No step waits for the host, or for pixels to arrive: a thread reads the next batches into buffers, and on CUDA a stream
of its own carries them over while the last one is learnt from.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from queue import SimpleQueue
from threading import Thread
from types import TracebackType

import torch
from torch import Tensor

AHEAD = 3  # batches that are read before they are asked for
UNDER_WAY = 2  # batches whose copy to the GPU the host does not wait for


class Feed:
    """Pictures (N, 3, H, H) uint8 for a training on `device`; `where` says in words where they lie meanwhile.

    On CUDA all of them move to the GPU when they fit in half of its free memory; the other half is for the training.
    Pictures in a file, as `load_pixels` makes one, are read from it batch by batch.
    """

    def __init__(self, pixels: Tensor, device: torch.device) -> None:
        self.device = device
        self._shape = pixels.shape[1:]
        self._rows = as_words(pixels)
        self._file = self._rows.untyped_storage().filename  # None in RAM
        cuda = device.type == "cuda"
        if cuda and pixels.nbytes <= torch.cuda.mem_get_info(device)[0] / 2:
            self._rows, self._file = self._rows.to(device), None
            self.where = "in the GPU's memory"
        elif self._file is not None:
            self.where = "on disk"
        else:
            self.where = "in memory"
        self._resident = self._rows.device.type == device.type and self._file is None

    def batches(self, order: Tensor, size: int, first: int = 0) -> Iterator[Tensor]:
        """Batch b, (size, 3, H, H), is the pictures order[b * size : (b + 1) * size]; from b = `first` on.

        `order` is int64 on the CPU; an incomplete last batch is left out. Every batch is a tensor of its own. Closing
        the iterator ends its thread; what goes wrong in the thread is raised here.
        """
        plan = [order[b * size : (b + 1) * size] for b in range(first, len(order) // size)]
        if not plan:
            return iter(())
        if self._resident:
            return self._chosen(order, size, first)
        return (self._sent if self.device.type == "cuda" else self._read_ahead)(plan)

    def rows(self, rows: Tensor) -> Tensor:
        """Some pictures (M, 3, H, H) on the device, at once; `rows` (M,) int64 on the CPU."""
        if self._resident:
            return self._pictures(self._rows.index_select(0, self._on_device(rows)))
        return self._pictures(self._on_device(self._read(rows, self._rows.new_empty(len(rows), self._rows.shape[1]))))

    def _chosen(self, order: Tensor, size: int, first: int) -> Iterator[Tensor]:
        order = self._on_device(order)
        for b in range(first, len(order) // size):
            yield self._pictures(self._rows.index_select(0, order[b * size : (b + 1) * size]))

    def _read_ahead(self, plan: Sequence[Tensor]) -> Iterator[Tensor]:
        shape = (len(plan[0]), self._rows.shape[1])
        with ReadAhead(self._read, plan, (self._rows.new_empty(shape) for _ in range(AHEAD))) as reader:
            for _ in plan:
                batch = reader.take()
                reader.give(torch.empty_like(batch))
                yield self._pictures(batch)

    def _sent(self, plan: Sequence[Tensor]) -> Iterator[Tensor]:
        """Read ahead into pinned buffers, and one batch ahead sent to the GPU.

        Every call to CUDA is made by the thread that asks for the batches: one from another would break the capture of
        a CUDA graph.
        """
        shape = (len(plan[0]), self._rows.shape[1])
        buffers = (torch.empty(shape, dtype=self._rows.dtype, pin_memory=True) for _ in range(AHEAD + UNDER_WAY))
        side = torch.cuda.Stream(self.device)
        under_way: deque[tuple[Tensor, torch.cuda.Event]] = deque()
        with ReadAhead(self._read, plan, buffers) as reader:

            def send() -> tuple[Tensor, torch.cuda.Event]:
                buffer, sent = reader.take(), torch.cuda.Event(blocking=True)
                with torch.cuda.stream(side):
                    batch = buffer.to(self.device, non_blocking=True)
                    sent.record(side)
                under_way.append((buffer, sent))
                if len(under_way) > UNDER_WAY:
                    read_again, arrived = under_way.popleft()
                    arrived.synchronize()
                    reader.give(read_again)
                return batch, sent

            upcoming = send()
            for left in reversed(range(len(plan))):
                batch, sent = upcoming
                if left:
                    upcoming = send()
                training = torch.cuda.current_stream(self.device)
                training.wait_event(sent)
                batch.record_stream(training)  # or its memory, of `side`, would be written to while it is still read
                yield self._pictures(batch)
                del batch
                # Nothing more is sent before the steps asked for until here are done. Otherwise a host that is far
                # ahead would fill the GPU's memory with batches; so it is at most `UNDER_WAY` steps and one ahead.
                side.wait_stream(torch.cuda.current_stream(self.device))

    def _read(self, rows: Tensor, into: Tensor) -> Tensor:
        if self._file is not None:
            self._announce(rows)
        return torch.index_select(self._rows, 0, rows, out=into)

    def _announce(self, rows: Tensor) -> None:
        """Have the kernel read all rows at once, in the order on disk, where touching them would read one by one.

        Faster also on a solid-state disk. No more than a hint: without it the rows are read all the
        same, so it matters neither if the file has lost its name by now.
        """
        if self._file is None or not hasattr(os, "posix_fadvise"):
            return
        width, item = self._rows.shape[1], self._rows.element_size()
        with suppress(OSError):
            descriptor = os.open(self._file, os.O_RDONLY)
            try:
                for row in rows.sort().values.tolist():
                    start = self._rows.storage_offset() + row * self._rows.stride(0)
                    os.posix_fadvise(descriptor, start * item, width * item, os.POSIX_FADV_WILLNEED)
            finally:
                os.close(descriptor)

    def _on_device(self, tensor: Tensor) -> Tensor:
        """From the CPU without a wait for what the device is doing."""
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _pictures(self, rows: Tensor) -> Tensor:
        return rows.view(torch.uint8).view(-1, *self._shape)


class ReadAhead:
    """A thread that fills buffers, each with the next batch of `plan`, as long as it has empty ones.

    `read(rows, buffer)` fills one. The thread ends with the `with` block.
    """

    def __init__(
        self, read: Callable[[Tensor, Tensor], object], plan: Sequence[Tensor], buffers: Iterable[Tensor]
    ) -> None:
        self._read, self._plan = read, plan
        self._empty: SimpleQueue[Tensor | None] = SimpleQueue()
        self._full: SimpleQueue[Tensor | BaseException] = SimpleQueue()
        self._wanted = True
        for buffer in buffers:
            self._empty.put(buffer)
        self._thread = Thread(target=self._run, name="read-ahead", daemon=True)

    def __enter__(self) -> ReadAhead:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._wanted = False
        self._empty.put(None)  # wakes the thread if it waits for a buffer
        self._thread.join()

    def take(self) -> Tensor:
        """The next batch of the plan, once it is read; raises what kept it from being read."""
        batch = self._full.get()
        if isinstance(batch, BaseException):
            raise batch
        return batch

    def give(self, buffer: Tensor) -> None:
        """One more buffer to fill, new or no longer used."""
        self._empty.put(buffer)

    def _run(self) -> None:
        try:
            for rows in self._plan:
                buffer = self._empty.get()
                if buffer is None or not self._wanted:
                    return
                self._read(rows, buffer)
                self._full.put(buffer)
        except BaseException as error:
            self._full.put(error)


def as_words(pixels: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) uint8 as (N, 3 H W / 8) int64 where that divides evenly, else (N, 3 H W) uint8.

    A GPU gathers element by element: an eighth of them take an eighth of the time.
    """
    rows = pixels.flatten(1)
    even = rows.shape[1] % 8 == 0 and rows.stride(0) % 8 == 0 and rows.storage_offset() % 8 == 0
    return rows.view(torch.int64) if even else rows
