"""Filters combine with similarity and stay exact and current: each beside comparing with every vector, one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from app import work
from app.settings import Settings
from indexer.catalog import collection_named
from indexer.classes import update_class
from indexer.index import open_index
from indexer.labels import label
from indexer.removal import remove
from indexer.schema import now
from tests.app.conftest import EACH, SUBJECTS, do_jobs, subject_of
from tests.pictures import encoded, jpeg, views

CAMERAS = {"cat": ("Canon", "Canon EOS R5"), "coffee": ("NIKON", "D850"), "rocket": None}
TAKEN = {"cat": "2023:05:31 18:30:00", "coffee": "2024:05:31 23:59:59", "rocket": None}


@pytest.fixture(params=[1.0, 1e-9], ids=["exact", "graph"])
def settings(settings, request) -> Settings:
    """Small enough for an exact index, or as if the collection were too large for one."""
    return settings.model_copy(update={"search_ms": request.param})


class Varied:
    """A collection with what filters ask of, and what this test itself wrote into its files."""

    def __init__(self, client, workspace, root) -> None:
        self.client, self.workspace, self.root = client, workspace, root
        self.facts: dict[int, dict[str, Any]] = {}
        self.between = ""

    def bring(self) -> None:
        self.client.post("/v1/collections/photos/imports", json={"path": str(self.root)}).raise_for_status()
        do_jobs(self.workspace)

    def ids(self, keep: Callable[[dict[str, Any]], bool]) -> set[int]:
        return {image_id for image_id, facts in self.facts.items() if keep(facts)}

    def search(self, positive: list[int], **wanted: Any) -> tuple[list[int], int]:
        body = {"positive": positive, "filter": wanted, "limit": 500}
        answer = self.client.post("/v1/collections/photos/search", json=body)
        assert answer.status_code == 200, answer.text
        return [hit["image"]["id"] for hit in answer.json()["hits"]], answer.json()["total"]

    def listed(self, **wanted: Any) -> set[int]:
        answer = self.client.get("/v1/collections/photos/images", params={**wanted, "limit": 500})
        return {item["id"] for item in answer.json()["items"]}

    def ranked(self, positive: int, kept: set[int]) -> tuple[list[int], int]:
        """Every vector compared with, then only those that are kept."""
        collection = collection_named(self.workspace.engine, "photos")
        index = open_index(self.workspace.home.index(collection.id, collection.active_model))
        _, (query,) = index.vectors_of(np.array([positive]))
        order = np.lexsort((index.ids, -(index.vectors @ query)))
        found = [i for i in index.ids[order].tolist() if i in kept and i != positive]
        return found, len(found)


@pytest.fixture
def varied(client, workspace, model_folder, tmp_path) -> Varied:
    """Three subjects by different cameras, in different years and sizes; every second one came later."""
    found = Varied(client, workspace, tmp_path / "in")
    client.post("/v1/collections", json={"name": "photos"})
    written: dict[str, dict[str, Any]] = {}
    for half in (0, 1):
        for subject in SUBJECTS:
            for number, view in list(enumerate(views(subject, EACH)))[half::2]:
                exif, size = Image.Exif(), (96 + number, 80)
                if CAMERAS[subject]:
                    exif[0x010F], exif[0x0110] = CAMERAS[subject]
                    exif.get_ifd(0x8769)[0x9003] = TAKEN[subject]
                path = found.root / subject / f"{subject.title()} No{number}.jpg"
                path.parent.mkdir(parents=True, exist_ok=True)
                side = 60 + 10 * number
                path.write_bytes(encoded(view.resize((size[0] + side, side)), exif=exif))
                written[path.name] = {"subject": subject, "number": number, "side": side, "late": bool(half)}
        if half == 1:
            found.between = now()
        found.bring()
    client.post("/v1/collections/photos/indexes", json={"model": model_folder.name})
    do_jobs(workspace)
    for item in client.get("/v1/collections/photos/images", params={"limit": 500}).json()["items"]:
        found.facts[item["id"]] = written[item["name"]]
    assert len(found.facts) == len(SUBJECTS) * EACH
    return found


def test_every_filter_lists_what_comparing_with_every_vector_lists(varied):
    cats, coffees, rockets = (sorted(varied.ids(lambda f, s=s: f["subject"] == s)) for s in SUBJECTS)
    for name, some in (("pet", cats[:5]), ("drink", coffees[:5]), ("craft", rockets[:5])):
        body = {"image_ids": some, "class": name}
        varied.client.post("/v1/collections/photos/labels", json=body).raise_for_status()
    varied.client.get("/v1/collections/photos/probe")  # waits until nothing will change any more
    predicted = varied.client.get("/v1/collections/photos/predictions", params={"limit": 500}).json()["items"]
    said = {item["image"]["id"]: (item["class"], item["probability"]) for item in predicted}
    sure = sorted(probability for _, probability in said.values())
    wide = int(np.argmax(np.diff(sure[4:-4]))) + 4  # they are said to four places: a line lies between two far apart
    line = (sure[wide] + sure[wide + 1]) / 2
    labelled, everything = {*cats[:5], *coffees[:5], *rockets[:5]}, set(varied.facts)
    expected: list[tuple[dict[str, Any], set[int]]] = [
        ({"class": "pet"}, set(cats[:5])),
        ({"class": "nothing of the kind"}, set()),
        ({"labelled": True}, labelled),
        ({"labelled": False}, everything - labelled),
        ({"predicted": "drink"}, {i for i, (name, _) in said.items() if name == "drink"}),
        ({"min_probability": line}, {i for i, (_, probability) in said.items() if probability >= line}),
        ({"predicted": "pet", "min_probability": line}, {i for i, (n, p) in said.items() if n == "pet" and p >= line}),
        ({"folder": "in/coffee"}, set(coffees)),
        ({"taken_from": "2024"}, set(coffees)),
        ({"taken_to": "2023-05"}, set(cats)),
        ({"taken_from": "2023-05-31T18:30:01", "taken_to": "2024-05-31"}, set(coffees)),
        ({"camera": "Canon EOS R5"}, set(cats)),
        ({"imported_since": varied.between}, varied.ids(lambda f: f["late"])),
        ({"min_side": 95}, varied.ids(lambda f: f["side"] >= 95)),
        ({"text": "no3"}, varied.ids(lambda f: f["number"] == 3)),
        ({"text": "ROCKET"}, set(rockets)),
        ({"text": "pet"}, set(cats[:5])),
        ({"text": "in/c no1"}, varied.ids(lambda f: f["subject"] != "rocket" and f["number"] == 1)),
        ({"missing": False}, everything),
        ({"orientation": "landscape", "camera": "NIKON D850", "labelled": False}, set(coffees[5:])),
        ({"predicted": "pet", "folder": "in/cat", "text": "cat", "min_side": 85},
         {i for i in cats if said[i][0] == "pet" and varied.facts[i]["side"] >= 85}),
    ]  # fmt: skip

    for wanted, kept in [*expected, *expected]:  # asked again, it is remembered
        for positive in (cats[0], rockets[-1]):
            assert varied.search([positive], **wanted) == varied.ranked(positive, kept), wanted
        assert varied.listed(**wanted) == kept, wanted
    assert sum(0 < len(kept) < len(everything) for _, kept in expected) >= 18


def test_a_cluster_of_the_map_is_a_filter(varied):
    varied.client.post("/v1/collections/photos/maps")
    do_jobs(varied.workspace)
    answer = varied.client.get("/v1/collections/photos/map").json()
    number = answer["clusters"][0]["cluster"] if "cluster" in answer["clusters"][0] else answer["clusters"][0]["id"]
    kept = varied.listed(cluster=number)

    assert 0 < len(kept) <= len(varied.facts)
    assert varied.search([1], cluster=number) == varied.ranked(1, kept)


def test_the_next_search_knows_what_another_process_said_of_classes(varied):
    photos = collection_named(varied.workspace.engine, "photos")
    cat, coffee, rocket, *_ = sorted(varied.facts)

    def found(**wanted) -> set[int]:
        return {i for i in (cat, coffee, rocket) if i in {*varied.search([max(varied.facts)], **wanted)[0]}}

    assert (found(**{"class": "mine"}), found(labelled=True), found(text="mine")) == (set(), set(), set())
    for given in ({cat}, {cat, coffee}):
        label(varied.workspace.engine, photos, sorted(given), "mine", "yes", "hand")
        assert (found(**{"class": "mine"}), found(labelled=True), found(text="mine")) == (given, given, given)
        assert found(labelled=False) == {cat, coffee, rocket} - given
    label(varied.workspace.engine, photos, [cat], "mine", "no", "hand")
    assert (found(**{"class": "mine"}), found(labelled=True), found(text="mine")) == ({coffee}, {coffee}, {coffee})
    update_class(varied.workspace.engine, photos, "mine", "ours", None)
    assert (found(**{"class": "mine"}), found(**{"class": "ours"}), found(text="OUR")) == (set(), {coffee}, {coffee})


def test_the_next_search_knows_what_another_process_brought_moved_and_removed(varied):
    photos = collection_named(varied.workspace.engine, "photos")
    cats = sorted(varied.ids(lambda f: f["subject"] == "cat"))
    asked = [{"folder": "in/cat"}, {"text": "cat"}, {"camera": "Canon EOS R5"}, {"taken_to": "2023"}]
    asking = max(varied.facts)
    for wanted in asked:
        assert set(varied.search([asking], **wanted)[0]) == set(cats)

    remove(varied.workspace.engine, varied.workspace.home, photos, cats[:1])
    for wanted in asked:
        assert set(varied.search([asking], **wanted)[0]) == set(cats[1:])

    file = varied.root / "cat" / varied_name(varied, cats[1])
    file.rename(varied.root / "coffee" / "moved.jpg")
    (varied.root / "cat" / "new.jpg").write_bytes(encoded(views("cat", 1, seed=5)[0]))
    varied.bring()
    work.index(varied.workspace, collection_named(varied.workspace.engine, "photos"))
    new = next(iter(varied.listed(text="new.jpg")))

    assert set(varied.search([asking], folder="in/cat")[0]) == {*cats[2:], new}
    assert set(varied.search([asking], text="moved")[0]) == {cats[1]}
    assert set(varied.search([asking], camera="Canon EOS R5")[0]) == set(cats[1:])
    assert set(varied.search([asking], missing=True)[0]) == set()

    (varied.root / "cat" / "new.jpg").unlink()
    varied.bring()
    assert set(varied.search([asking], missing=True)[0]) == {new}


def varied_name(varied: Varied, image_id: int) -> str:
    facts = varied.facts[image_id]
    return f"{facts['subject'].title()} No{facts['number']}.jpg"


def test_a_filter_restricts_a_search(indexed):
    cats = indexed.get("/v1/collections/photos/images", params={"folder": "photos/cat"}).json()["items"]
    body = {"positive": [cats[0]["id"]], "filter": {"folder": "photos/rocket"}}

    answer = indexed.post("/v1/collections/photos/search", json=body).json()

    assert answer["total"] == EACH
    assert {subject_of(hit["image"]) for hit in answer["hits"]} == {"rocket"}


def test_text_finds_names_folders_and_classes(indexed):
    def images(**wanted):
        return indexed.get("/v1/collections/photos/images", params=wanted).json()

    rockets = images(folder="photos/rocket")["items"][:2]
    body = {"image_ids": [image["id"] for image in rockets], "class": "spacecraft"}
    indexed.post("/v1/collections/photos/labels", json=body)

    assert images(text="coffee")["total"] == EACH
    assert images(text="coffee 03")["total"] == 1
    assert images(text="spacecr")["total"] == 2
    assert images(text="100%")["total"] == 0


@pytest.fixture
def brought(client, workspace):
    """Imports a path into a collection, or uploads bytes to it."""

    def bring(collection: str, what: Any) -> None:
        client.post("/v1/collections", json={"name": collection})
        if isinstance(what, bytes):
            client.post(f"/v1/collections/{collection}/images", files={"files": ("0.jpg", what)}).raise_for_status()
        else:
            body = {"path": str(what), "allow_empty": True}
            client.post(f"/v1/collections/{collection}/imports", json=body).raise_for_status()
        do_jobs(workspace)

    return bring


@pytest.fixture
def missing(client):
    def count(collection: str) -> int:
        return client.get(f"/v1/collections/{collection}/images", params={"missing": True}).json()["total"]

    return count


def test_a_picture_that_an_upload_to_another_collection_keeps_is_missing_no_more(brought, missing, tmp_path):
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()
    path.write_bytes(jpeg())
    brought("photos", path.parent)
    path.unlink()
    brought("photos", path.parent)
    before = missing("photos")

    brought("other", jpeg())

    assert (before, missing("photos")) == (1, 0)


def test_a_picture_that_came_from_a_folder_after_its_upload_was_removed_goes_with_its_file(
    client, brought, missing, tmp_path
):
    path = tmp_path / "in" / "cat.jpg"
    path.parent.mkdir()
    path.write_bytes(jpeg())
    brought("photos", jpeg())
    [image] = client.get("/v1/collections/photos/images").json()["items"]
    client.post("/v1/collections/photos/images/remove", json={"image_ids": [image["id"]]}).raise_for_status()
    brought("other", path.parent)
    before = missing("other")
    path.unlink()

    brought("other", path.parent)

    assert (before, missing("other")) == (0, 1)
