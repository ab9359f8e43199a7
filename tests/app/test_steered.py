"""A search over HTTP: refined by yes and no, cut, grouped, varied."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from app.api import create_api
from tests.app.conftest import EACH, SUBJECTS, subject_of


def search(client, **body):
    answer = client.post("/v1/collections/photos/search", json={"limit": 500, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_one_positive_is_sorted_by_cosine_and_refined_by_a_score_of_its_own(indexed):
    plain, refined = search(indexed, positive=[1]), search(indexed, positive=[1, 2], negative=[20])

    assert all(hit["score"] == pytest.approx(hit["cosine"], abs=1e-5) for hit in plain["hits"])
    scores = [hit["score"] for hit in refined["hits"]]
    assert scores == sorted(scores, reverse=True)
    assert [hit["cosine"] for hit in refined["hits"]] != pytest.approx(scores, abs=1e-3)
    assert refined["total"] == len(SUBJECTS) * EACH - 3


def test_crosses_push_what_is_like_them_down(indexed):
    images = indexed.get("/v1/collections/photos/images?limit=100").json()["items"]
    of = {name: [x["id"] for x in images if subject_of(x) == name] for name in SUBJECTS}

    def places(**body) -> float:
        """The mean place of the coffees that are no example."""
        hits = search(indexed, positive=of["cat"][:3], **body)["hits"]
        found = [at for at, hit in enumerate(hits) if hit["image"]["id"] in of["coffee"][3:]]
        return sum(found) / len(found)

    assert places(negative=of["coffee"][:3]) > places(negative=of["rocket"][:3])


def test_a_minimum_score_and_groups_shorten_the_list(indexed):
    whole = search(indexed, positive=[1])
    middle = whole["hits"][10]["score"]

    cut = search(indexed, positive=[1], min_score=middle - 2e-6)
    grouped = search(indexed, positive=[1], group=0.5)

    assert cut["total"] == len(cut["hits"]) == 11
    shown = [i for hit in grouped["hits"] for i in (hit["image"]["id"], *hit["alike"])]
    assert sorted(shown) == sorted(hit["image"]["id"] for hit in whole["hits"])
    assert grouped["total"] < whole["total"]


def test_variety_lists_the_same_pictures_in_another_order(indexed):
    whole, varied = search(indexed, positive=[1]), search(indexed, positive=[1], variety=0.9)

    ids, others = ([hit["image"]["id"] for hit in found["hits"]] for found in (whole, varied))
    assert ids != others
    assert sorted(ids) == sorted(others)


@pytest.mark.parametrize("wish", [{"min_score": 2}, {"group": 0.1}, {"variety": -1}], ids=str)
def test_a_wish_out_of_range_is_422(indexed, wish):
    answer = indexed.post("/v1/collections/photos/search", json={"positive": [1], **wish})

    assert answer.status_code == 422
    assert answer.json()["error"] == "BadInput"


def test_a_search_by_an_upload_is_the_same_after_the_api_was_started_again(indexed, settings, folder):
    picture = (folder / "coffee" / "03.jpg").read_bytes()
    query = indexed.post("/v1/collections/photos/queries", files={"file": ("x.jpg", picture)}).json()["query_id"]
    box = {"image_id": 1, "box": [0.1, 0.1, 0.9, 0.9]}
    boxed = indexed.post("/v1/collections/photos/queries", json=box).json()["query_id"]
    kept = {"name": "cups", "positive": [query], "negative": [boxed], "filter": {"text": "jpg"}}
    before = [search(indexed, **asked) for asked in ({"positive": [query]}, {"positive": [query], "negative": [boxed]})]
    indexed.post("/v1/collections/photos/searches", json=kept).raise_for_status()

    with TestClient(create_api(settings), base_url="http://localhost") as again:
        (saved,) = again.get("/v1/collections/photos/searches").json()["items"]
        after = [search(again, positive=[query]), search(again, positive=saved["positive"], negative=saved["negative"])]
        preview = again.get(f"/v1/queries/{query}/preview")

    def told(found):
        return [(hit["image"]["id"], hit["score"]) for hit in found["hits"]]

    assert {key: saved[key] for key in kept} == kept
    assert [told(found) for found in after] == [told(found) for found in before]
    assert told(before[0]) != told(before[1])
    assert preview.status_code == 200
