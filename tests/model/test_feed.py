import os
import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model.feed import AHEAD, Feed, ReadAhead, as_words

CPU = torch.device("cpu")
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def pictures(count: int = 60, side: int = 8) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), dtype=torch.uint8, generator=torch.manual_seed(0))


def in_file(pixels: Tensor, folder: Path) -> Tensor:
    """The same pictures, mapped from a file as `load_pixels` maps those that memory has no room for."""
    path = str(folder / "pixels")
    mapped = torch.from_file(path, shared=True, size=pixels.numel(), dtype=torch.uint8).view(pixels.shape)
    return mapped.copy_(pixels)


def readers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "read-ahead"]


@pytest.fixture(params=["in memory", "on disk"])
def where(request) -> str:
    return request.param


@pytest.fixture
def feed(where, tmp_path) -> Feed:
    return Feed(pictures() if where == "in memory" else in_file(pictures(), tmp_path), CPU)


def test_a_feed_says_where_the_pictures_lie(feed, where):
    assert feed.where == where


@pytest.mark.parametrize("first", [0, 2, 5])
def test_batches_follow_the_order_from_the_first_one_asked_for(feed, first):
    order = torch.randperm(50, generator=torch.manual_seed(1))

    batches = list(feed.batches(order, 8, first))

    assert len(batches) == 6 - first  # the last two pictures do not fill a batch
    for b, batch in enumerate(batches, start=first):
        assert torch.equal(batch, pictures()[order[b * 8 : (b + 1) * 8]])


def test_there_is_no_batch_where_the_order_is_too_short_or_at_its_end(feed):
    assert list(feed.batches(torch.arange(7), 8)) == []
    assert list(feed.batches(torch.arange(16), 8, first=2)) == []


def test_some_pictures_come_at_once(feed):
    rows = torch.tensor([40, 3, 3, 59])

    assert torch.equal(feed.rows(rows), pictures()[rows])


@pytest.mark.parametrize("side", [5, 6, 8])
def test_pictures_of_any_size_come_whole(where, side, tmp_path):
    pixels = pictures(20, side)
    feed = Feed(pixels if where == "in memory" else in_file(pixels, tmp_path), CPU)
    order = torch.arange(20).flip(0)

    batches = list(feed.batches(order, 4))

    assert torch.equal(torch.cat(batches), pixels[order])
    assert torch.equal(feed.rows(order), pixels[order])


def test_a_part_of_a_file_is_read_from_where_it_begins(tmp_path):
    feed = Feed(in_file(pictures(), tmp_path)[7::2], CPU)

    (batch,) = feed.batches(torch.tensor([0, 20, 9]), 3)

    assert feed.where == "on disk"
    assert torch.equal(batch, pictures()[7::2][[0, 20, 9]])


def test_colours_may_come_last_in_memory():
    shown = pictures().permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)  # as data sets hold them

    (batch,) = Feed(shown, CPU).batches(torch.arange(60), 60)

    assert torch.equal(batch, pictures())


def test_a_file_that_has_lost_its_name_is_read_all_the_same(tmp_path):
    feed = Feed(in_file(pictures(), tmp_path), CPU)
    os.remove(tmp_path / "pixels")

    (batch,) = feed.batches(torch.arange(60), 60)

    assert torch.equal(batch, pictures())


def test_pictures_are_indexed_by_words_where_they_divide_evenly():
    assert as_words(pictures(2, 8)).shape == (2, 3 * 8 * 8 / 8)
    assert as_words(pictures(2, 5)).shape == (2, 3 * 5 * 5)


def test_an_abandoned_iterator_ends_its_thread(tmp_path):
    feed = Feed(in_file(pictures(), tmp_path), CPU)
    batches = feed.batches(torch.arange(60), 4)
    next(batches)
    assert len(readers()) == 1

    del batches

    assert readers() == []


def test_an_iterator_at_its_end_has_no_thread(tmp_path):
    batches = Feed(in_file(pictures(), tmp_path), CPU).batches(torch.arange(60), 4)

    assert len(list(batches)) == 15

    assert readers() == []


def test_what_goes_wrong_in_the_thread_is_raised_to_whoever_asks_for_a_batch(tmp_path):
    order = torch.arange(60)
    order[9] = 60  # there is no such picture
    batches = Feed(in_file(pictures(), tmp_path), CPU).batches(order, 4)
    assert torch.equal(next(batches), pictures()[:4])
    assert torch.equal(next(batches), pictures()[4:8])

    with pytest.raises(IndexError):
        next(batches)

    assert readers() == []


def test_batches_are_read_before_they_are_asked_for_but_no_more_than_there_are_buffers():
    begun = [threading.Event() for _ in range(10)]
    plan = [torch.tensor([number]) for number in range(10)]

    def read(rows: Tensor, buffer: Tensor) -> None:
        begun[int(rows)].set()
        buffer.copy_(rows)

    with ReadAhead(read, plan, [torch.zeros(1, dtype=torch.int64) for _ in range(AHEAD)]) as reader:
        assert begun[AHEAD - 1].wait(30)  # though nothing was taken
        buffer = reader.take()
        assert int(buffer) == 0
        assert not begun[AHEAD].wait(0.1)

        reader.give(buffer)

        assert begun[AHEAD].wait(30)
        assert int(reader.take()) == 1


@needs_gpu
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("free", [1 << 40, 0])
def test_on_a_gpu_every_batch_is_whole_while_steps_are_slower_than_the_host(mapped, free, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, free))
    pixels = pictures(4000, 32)
    device = torch.device("cuda")
    feed = Feed(in_file(pixels, tmp_path) if mapped else pixels, device)
    order = torch.randperm(4000, generator=torch.manual_seed(1))
    slow = torch.randn(4096, 4096, device=device)

    copies = []
    for batch in feed.batches(order, 100):
        for _ in range(5):
            slow = torch.nn.functional.normalize(slow @ slow)
        copies.append(batch.clone())  # after the products: by then a careless feed has overwritten it

    assert feed.where == ("in the GPU's memory" if free else "on disk" if mapped else "in memory")
    assert torch.equal(torch.cat(copies).cpu(), pixels[order])
    assert torch.equal(feed.rows(order[:9]).cpu(), pixels[order[:9]])


@needs_gpu
def test_on_a_gpu_a_host_that_is_far_ahead_does_not_fill_the_memory_with_batches(monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (0, 0))
    pixels = pictures(2000, 64)
    feed = Feed(pixels, torch.device("cuda"))
    slow = torch.randn(8192, 8192, device="cuda")
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()

    for _ in feed.batches(torch.arange(2000), 20):
        torch.mm(slow, slow, out=torch.empty_like(slow))

    held = torch.cuda.max_memory_allocated() - before - slow.nbytes
    assert held <= 8 * 20 * pixels[0].nbytes  # of a hundred batches
