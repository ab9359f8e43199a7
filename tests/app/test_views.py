"""Positive pairs before a training: over HTTP, as a picture from the command line, and at the sizes of the training."""

import io
from dataclasses import asdict

import numpy as np
import pytest
from PIL import Image

from app import cli, plan, training, work
from app.views import sight
from indexer.catalog import collection_named, create_collection
from indexer.sources import scan
from model.errors import Cancelled
from tests import pictures
from tests.app.conftest import EACH, SUBJECTS


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)))


def grey_collection(workspace, folder, count=9):
    pictures.write_folders(folder, ("gravel",), count)
    collection = create_collection(workspace.engine, "grey")
    work.import_found(workspace, collection, scan([folder]))
    return collection


def test_pairs_are_ids_and_the_addresses_of_pictures(indexed):
    said = indexed.post("/v1/collections/photos/pairs", json={"preset": "texture", "count": 5}).json()

    assert (said["preset"], said["warnings"], len(said["pairs"])) == ("texture", [], 5)
    for pair in said["pairs"]:
        answers = [indexed.get(address) for address in (pair["preview"], *pair["views"])]
        assert [answer.status_code for answer in answers] == [200] * 3
        assert answers[1].headers["content-type"] == "image/png"
        one, other = (opened(answer.content) for answer in answers[1:])
        assert one.shape == other.shape == (said["image_size"], said["image_size"], 3)
        assert not np.array_equal(one, other)
        assert indexed.get(pair["views"][0]).content == answers[1].content


def test_another_seed_shows_others_and_what_is_left_out_is_the_collections_own(indexed):
    indexed.patch("/v1/collections/photos", json={"preset": "drawing,mirror=0"})

    first, second = (indexed.post("/v1/collections/photos/pairs", json={"seed": seed}).json() for seed in (0, 1))

    assert first["preset"] == "drawing,mirror=0"
    assert [p["image_id"] for p in first["pairs"]] != [p["image_id"] for p in second["pairs"]]
    assert len({p["image_id"] for p in first["pairs"]}) == len(first["pairs"]) == 12
    assert len(indexed.post("/v1/collections/photos/pairs", json={"count": 48}).json()["pairs"]) == len(SUBJECTS) * EACH


@pytest.mark.parametrize(
    "body",
    [{"preset": "nonsense"}, {"preset": "photo,grey=7"}, {"count": 49}, {"image_size": 4096}, {"presett": "photo"}],
)
def test_what_cannot_be_shown_is_422_and_one_sentence(indexed, body):
    answer = indexed.post("/v1/collections/photos/pairs", json=body)

    assert (answer.status_code, answer.json()["error"]) == (422, "BadInput")
    assert answer.json()["detail"]


@pytest.mark.parametrize("query", ["", "?preset=photo&image_size=64", "?preset=x&image_size=64&side=96"])
def test_a_view_without_a_proper_address_is_422(indexed, query):
    image = indexed.get("/v1/collections/photos/images?limit=1").json()["items"][0]["id"]

    assert indexed.get(f"/v1/images/{image}/view{query}").status_code == 422


def test_too_few_pictures_to_learn_from_are_409_and_a_sentence(client, workspace, tmp_path):
    grey_collection(workspace, tmp_path / "in", count=3)

    answer = client.post("/v1/collections/grey/pairs")

    assert (answer.status_code, answer.json()["error"]) == (409, "TooFewImages")
    assert "8 or more" in answer.json()["detail"]


@pytest.mark.parametrize("chosen", [{}, {"image_size": 32, "preset": "texture", "seed": 3}])
def test_pairs_are_drawn_at_the_sizes_of_the_training(indexed, workspace, monkeypatch, chosen):
    import model.pixels

    given = {}

    class Seen(Exception):
        pass

    def load_pixels(sources, side, fit, *rest):
        given.update(side=side, fit=fit)
        raise Seen

    monkeypatch.setattr(model.pixels, "load_pixels", load_pixels)
    real = plan.sensible
    monkeypatch.setattr(plan, "sensible", lambda *a, **k: given.update(k) or real(*a, **k))
    collection = collection_named(workspace.engine, "photos")
    with pytest.raises(Seen):
        training.train(workspace, collection, {"init": "random", **chosen})

    seen = asdict(sight(workspace, collection, {"init": "random", **chosen}))

    assert seen == {"seed": 0, **given}


@pytest.mark.parametrize(("name", "format_name"), [("pairs.png", "PNG"), ("pairs.JPG", "JPEG")])
def test_the_command_line_writes_one_picture_of_pairs_and_trains_nothing(
    indexed, workspace, monkeypatch, capsys, tmp_path, name, format_name
):
    monkeypatch.setenv("LIKENESS_HOME", str(workspace.home.root))
    before = sorted(path.name for path in workspace.home.models.iterdir())

    code = cli.main(["pretrain", "--preset", "photo", "--preview-pairs", str(tmp_path / name), "--json"])

    assert code == 0
    said = capsys.readouterr().out
    assert f'"pairs": "{tmp_path / name}", "preset": "photo", "warnings": []' in said
    with Image.open(tmp_path / name) as made:
        assert (made.format, made.width > 1000, made.height > 500) == (format_name, True, True)
    assert sorted(path.name for path in workspace.home.models.iterdir()) == before


@pytest.mark.parametrize("name", ["pairs.gif", "pairs", "no/such/folder/pairs.png"])
def test_a_file_that_cannot_be_written_is_refused_in_a_sentence(
    indexed, workspace, monkeypatch, capsys, tmp_path, name
):
    monkeypatch.setenv("LIKENESS_HOME", str(workspace.home.root))

    code = cli.main(["pretrain", "--preview-pairs", str(tmp_path / name)])

    assert code == 1
    assert "likeness: " in capsys.readouterr().err
    assert list(tmp_path.glob("pairs*")) == []


def test_grey_pictures_under_a_preset_for_colour_are_said_before_the_first_step(client, workspace, tmp_path):
    collection, remarks = grey_collection(workspace, tmp_path / "in"), []
    chosen = {"init": "random", "epochs": 3, "batch_size": 4, "image_size": 32}

    with pytest.raises(Cancelled):
        training.train(workspace, collection, chosen, stop=lambda: True, remark=remarks.append)

    assert client.post("/v1/collections/grey/pairs").json()["warnings"] == remarks
    assert "are grey" in remarks[0]
