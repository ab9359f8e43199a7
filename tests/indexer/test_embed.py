import shutil
from dataclasses import replace

import numpy as np
import pytest

from indexer import embed
from indexer.catalog import create_collection
from indexer.embed import Embedder, embed_missing
from indexer.images import contents_of
from indexer.index import VectorIndex, open_index
from indexer.publish import publish
from indexer.removal import remove
from indexer.search import search
from indexer.vectors import VectorStore
from model.encoder import Encoder, graph_of, on_cpu
from model.errors import Cancelled, DamagedModel
from model.images import decode, make_preview
from tests.faults.corrupt import DAMAGES, damage
from tests.pictures import encoded, jpeg, picture


@pytest.fixture
def store(home, encoder) -> VectorStore:
    return VectorStore(home.vectors(encoder.info.fingerprint), encoder.info.dim)


@pytest.fixture
def index(engine, home, photos, bring, folder, encoder, store) -> VectorIndex:
    """The six pictures of `folder`, encoded and indexed."""
    bring(folder)
    embed_missing(engine, home, photos, encoder)
    ids, shas, _ = zip(*contents_of(engine, photos), strict=True)
    publish(home.index(photos.id, encoder.info.fingerprint), np.array(ids), store.get(shas)[1])
    return open_index(home.index(photos.id, encoder.info.fingerprint))


def test_a_query_made_from_a_file_of_the_collection_finds_it_first_at_cosine_1(index, encoder, folder):
    for position, path in enumerate(sorted(folder.rglob("*.jpg"))):
        preview = make_preview(path.read_bytes(), path.name)
        query = encoder.encode(encoder.square(preview.data, path.name)[np.newaxis])

        hits = search(index, query, query[:0], limit=6)

        assert hits.ids[0] == index.ids[position]
        assert hits.cosines[0] >= 0.999
        assert hits.cosines[1] < 0.98  # the model tells the pictures apart, so being first means something


def test_a_large_picture_finds_itself_at_cosine_1_too(engine, home, photos, bring, tmp_path, encoder, store):
    (tmp_path / "large.jpg").write_bytes(jpeg("astronaut", 900))
    bring(tmp_path / "large.jpg")
    embed_missing(engine, home, photos, encoder)
    [(_, sha256, suffix)] = contents_of(engine, photos)

    preview = make_preview(jpeg("astronaut", 900), "query")
    query = encoder.encode(encoder.square(preview.data, "query")[np.newaxis])[0]

    assert suffix == "jpg"
    assert float(store.get([sha256])[1][0] @ query) >= 0.999


@pytest.fixture
def embedder(engine, home, encoder) -> Embedder:
    return Embedder(engine, home, encoder.info, lambda: encoder, threads=2)


def test_an_import_has_its_pictures_encoded_as_those_read_from_their_previews_are(
    engine, home, photos, bring, folder, encoder, store, embedder
):
    (folder / "large.png").write_bytes(encoded(picture("astronaut", 400), "PNG"))
    (folder / "broken.jpg").write_bytes(jpeg("moon")[:500])

    with embedder:
        bring(folder, embedder=embedder)

    shas = [sha256 for _, sha256, _ in contents_of(engine, photos)]
    assert store.missing(shas) == []
    come_in = store.get(shas)[1]
    again = replace(encoder.info, fingerprint="0" * 16)
    embed_missing(engine, home, photos, Encoder(again, encoder.encode, 64, "cpu"))
    np.testing.assert_allclose(come_in, VectorStore(home.vectors("0" * 16), again.dim).get(shas)[1], atol=1e-3)


def test_what_a_person_had_removed_is_not_encoded_when_it_comes_by_again(
    engine, home, photos, bring, folder, store, embedder
):
    bring(folder)
    (image_id, sha256, _), *others = contents_of(engine, photos)
    remove(engine, home, photos, [image_id])
    (folder / "tagged.jpg").write_bytes(jpeg("moon"))

    with embedder:
        bring(folder, embedder=embedder)

    assert store.missing([sha256, *(each[1] for each in others)]) == [sha256, *(each[1] for each in others)]
    assert store.missing([contents_of(engine, photos)[-1][1]]) == []


@pytest.mark.parametrize("how", ["while it comes in", "afterwards"])
def test_a_picture_removed_while_it_is_encoded_leaves_no_vector(
    engine, home, photos, bring, folder, encoder, store, how
):
    gone: list[str] = []

    def slow(pixels: np.ndarray) -> np.ndarray:
        if not gone:  # a person is quicker than the encoder
            (image_id, sha256, _), *_ = contents_of(engine, photos)
            remove(engine, home, photos, [image_id])
            gone.append(sha256)
        return encoder.encode(pixels)

    slowed = Encoder(encoder.info, slow, 64, "cpu")
    if how == "while it comes in":
        with Embedder(engine, home, encoder.info, lambda: slowed) as embedder:
            bring(folder, embedder=embedder)
    else:
        bring(folder)
        embed_missing(engine, home, photos, slowed)

    others = [sha256 for _, sha256, _ in contents_of(engine, photos)]
    assert len(others) == 5
    assert store.missing([*gone, *others]) == gone


def test_an_encoder_that_fails_costs_no_picture_of_the_import(engine, home, photos, bring, folder, encoder, caplog):
    def broken() -> Encoder:
        raise DamagedModel("the model is damaged")

    with Embedder(engine, home, encoder.info, broken, threads=2) as embedder:
        result = bring(folder, embedder=embedder)

    assert result.added_total == 6
    assert "not encoded while they come in: the model is damaged" in caplog.text
    assert embed_missing(engine, home, photos, encoder).encoded == 6


def test_only_contents_without_a_vector_are_encoded(engine, home, photos, bring, folder, tmp_path, encoder):
    bring(folder)
    first = embed_missing(engine, home, photos, encoder)
    (folder / "new.jpg").write_bytes(jpeg("moon"))
    bring(folder)
    second = embed_missing(engine, home, photos, encoder)
    third = embed_missing(engine, home, photos, encoder)

    assert (first.encoded, second.encoded, third.encoded) == (6, 1, 0)


def test_a_new_model_reads_learning_previews_only(engine, home, photos, bring, folder, encoder, model_folder):
    bring(folder)
    embed_missing(engine, home, photos, encoder)
    shutil.rmtree(folder)  # no picture is there any more, only what import kept of it
    newer = on_cpu(replace(encoder.info, fingerprint="0" * 16), graph_of(model_folder, encoder.info))

    result = embed_missing(engine, home, photos, newer)

    assert (result.encoded, result.unreadable) == (6, [])
    shas = [sha256 for _, sha256, _ in contents_of(engine, photos)]
    vectors = [VectorStore(home.vectors(x.info.fingerprint), x.info.dim).get(shas)[1] for x in (encoder, newer)]
    np.testing.assert_allclose(*vectors, atol=1e-3)


def test_a_content_shared_with_another_collection_is_encoded_once(engine, home, photos, bring, folder, encoder):
    other = create_collection(engine, "other")
    bring(folder)
    bring(folder, into=other)

    encoded = [embed_missing(engine, home, collection, encoder).encoded for collection in (photos, other)]

    assert encoded == [6, 0]


def test_a_stopped_run_keeps_whole_batches_and_the_next_one_goes_on(
    engine, home, photos, bring, folder, encoder, store, monkeypatch
):
    monkeypatch.setattr(embed, "BATCH", 2)
    bring(folder)
    done: list[float] = []

    with pytest.raises(Cancelled, match="Stopped after 4 of 6"):
        embed_missing(
            engine, home, photos, encoder, progress=lambda share, _: done.append(share), stop=lambda: len(done) == 2
        )
    missing = store.missing([sha256 for _, sha256, _ in contents_of(engine, photos)])
    result = embed_missing(engine, home, photos, encoder)

    assert (done, len(missing), result.encoded) == ([2 / 6, 4 / 6], 2, 2)


def test_batches_give_the_vectors_of_one_by_one(engine, home, photos, bring, folder, encoder, store, monkeypatch):
    monkeypatch.setattr(embed, "BATCH", 4)
    bring(folder)

    embed_missing(engine, home, photos, encoder)

    for _, sha256, suffix in contents_of(engine, photos):
        preview = decode(home.preview(sha256, suffix).read_bytes(), sha256)
        alone = encoder.encode(encoder.prepare(preview)[np.newaxis])[0]
        np.testing.assert_allclose(store.get([sha256])[1][0], alone, atol=1e-3)


@pytest.mark.parametrize("kind", ["small", "large"])
@pytest.mark.parametrize("how", [*DAMAGES, "missing"])
def test_a_damaged_preview_costs_only_its_own_vector(engine, home, photos, bring, tmp_path, encoder, store, how, kind):
    folder = tmp_path / "in"
    folder.mkdir()
    for name in ("cat", "moon"):
        (folder / f"{name}.jpg").write_bytes(jpeg(name, 96 if kind == "small" else 400))
    bring(folder)
    (_, sha256, suffix), (_, sound, _) = contents_of(engine, photos)
    preview = home.preview(sha256, suffix)
    if how == "missing":
        preview.unlink()
    else:
        damage(preview, how)

    result = embed_missing(engine, home, photos, encoder)

    assert store.missing([sound]) == []
    assert store.missing([sha256]) == result.unreadable
    if how in ("empty", "garbage", "cut in half", "missing"):  # a decoder may bear the others
        assert result.unreadable == [sha256]


def test_nothing_to_encode_is_no_error(engine, home, photos, encoder):
    assert embed_missing(engine, home, photos, encoder).encoded == 0
