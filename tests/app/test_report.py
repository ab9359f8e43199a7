"""The report as a person gets it: written by a real training, served by the real API, shown by a real browser."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from math import inf

import pytest
from PIL import Image
from starlette.testclient import TestClient

from app import training, work
from app.api import create_api
from app.report import gallery
from app.report_page import curve, render, ticks
from app.settings import Settings
from app.workspace import Workspace
from indexer.catalog import collection_named, ensure_collection
from indexer.sources import scan
from tests import pictures

SUBJECTS = ("cat", "coffee", "rocket")
HOSTILE = '"><img src=x onerror=alert(1)><'  # a folder may be called so, and a class that takes its name
SETTINGS = {"init": "random", "backbone": "test_resnet", "epochs": 2, "batch_size": 8, "image_size": 32}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A small training of labelled pictures with a hostile name among them: (settings, what it returned)."""
    root = tmp_path_factory.mktemp("report")
    pictures.write_folders(root / "photos", SUBJECTS, 10)
    (root / "photos" / "cat").rename(root / "photos" / HOSTILE)
    settings = Settings(home=root / "home", threads=1)
    workspace = Workspace.open(settings)
    collection = ensure_collection(workspace.engine, HOSTILE)
    work.import_found(workspace, collection, scan([root / "photos"]), labels_from_folders=True)
    yield settings, training.train(workspace, collection, {**SETTINGS, "adopt": "better"})
    workspace.engine.dispose()


@pytest.fixture(scope="module")
def served(trained):
    """The API's answers for the model's report: (JSON, HTML)."""
    settings, result = trained
    with TestClient(create_api(settings), base_url="http://localhost") as client:
        path = f"/v1/models/{result['model']}/report"
        return client.get(path), client.get(path, params={"format": "html"})


class Parsed(HTMLParser):
    """Every tag with its attributes, and all text outside of style."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_the_report_says_the_same_as_json_as_html_and_as_the_result_of_the_training(trained, served):
    _, result = trained
    as_json, as_html = served

    assert as_json.json() == json.loads(json.dumps(result["report"]))
    assert as_json.json()["verdict"] in ("better", "same", "worse")
    assert result["sentence"] in Parsed(as_html.text).text
    assert (as_json.json()["images"], as_json.json()["held_out"]) == (30, 3)
    assert result["adopted"] == (result["verdict"] == "better")


def test_the_queries_are_images_of_the_collection_with_six_neighbours_by_either_model(trained, served):
    queries = served[0].json()["queries"]
    ids = {query["image"] for query in queries}

    assert len(ids) == 24
    for query in queries:
        assert len(query["before"]) == len(query["after"]) == 6
        assert query["image"] not in query["before"] + query["after"]


def test_the_page_holds_its_pictures_and_curves_and_asks_for_nothing_outside(served):
    tags = Parsed(served[1].text).tags
    images = [attributes for tag, attributes in tags if tag == "img"]

    assert len(images) == 24 * 13
    assert all(re.fullmatch(r"data:image/webp;base64,[\w+/=]+", image["src"]) for image in images)
    assert sum(tag == "polyline" for tag, _ in tags) == 2
    assert {tag for tag, _ in tags} & {"script", "link", "iframe", "object", "embed", "base", "form", "a"} == set()
    assert not re.search(r"https?://|@import|url\(", served[1].text)
    assert [sorted(a) for tag, a in tags if tag == "style"] == [[]]
    assert not [a for _, a in tags if "style" in a or any(name.startswith("on") for name in a)]


def test_hostile_names_are_shown_as_text(served):
    parsed = Parsed(served[1].text)

    assert HOSTILE in parsed.text  # the collection, a folder and a class
    assert any(a.get("alt", "").startswith(f"photos/{HOSTILE}/") for tag, a in parsed.tags if tag == "img")
    assert not [a for tag, a in parsed.tags if "onerror" in a]


def test_the_page_is_served_with_a_policy_that_allows_no_script(served):
    policy = served[1].headers["content-security-policy"]
    (own,) = [a["content"] for tag, a in Parsed(served[1].text).tags if a.get("http-equiv")]

    assert served[1].headers["content-type"].startswith("text/html")
    for part in ("default-src 'none'", "img-src data:", "sandbox", "frame-ancestors 'none'", "form-action 'none'"):
        assert part in policy
    assert re.fullmatch(r"default-src 'none'; style-src 'sha256-[\w+/=]{44}'; img-src data:", own)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_browser_shows_it_in_light_and_dark_and_refuses_nothing(served, tmp_path, dark):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.fail("There is no Chromium on this machine: run ./scripts/setup, which installs it.")
    (tmp_path / "report.html").write_text(served[1].text)
    command = [chromium, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--window-size=1000,400",
               "--enable-logging=stderr", f"--user-data-dir={tmp_path / 'profile'}",
               f"--blink-settings=preferredColorScheme={0 if dark else 1}",
               f"--screenshot={tmp_path / 'shot.png'}", (tmp_path / "report.html").as_uri()]  # fmt: skip

    log = subprocess.run(command, capture_output=True, text=True, timeout=120).stderr

    assert "Content Security Policy" not in log
    assert Image.open(tmp_path / "shot.png").convert("L").getpixel((3, 3)) == (24 if dark else 255)


def test_a_model_that_was_not_trained_here_has_no_report(trained):
    settings, result = trained
    with TestClient(create_api(settings), base_url="http://localhost") as client:
        known = {model["fingerprint"]: model["has_report"] for model in client.get("/v1/models").json()["items"]}
        answer = client.get(f"/v1/models/{result['started_from']}/report?format=html")

    assert (known.pop(result["model"]), known.pop(result["started_from"])) == (True, False)
    assert not any(known.values())  # the one that ships, which the import encoded with
    assert (answer.status_code, answer.json()["error"]) == (404, "NoSuchModel")


def test_better_is_adopted_and_a_model_that_is_no_better_is_not(trained):
    """`--adopt better` with a verdict that is known: steps of a millionth change nothing.

    From the trained model, for to an untrained one even the batch norms' statistics, which follow the pictures, matter.
    """
    settings, result = trained
    workspace = Workspace.open(settings)
    collection = collection_named(workspace.engine, HOSTILE)
    active = collection.active_model

    unchanging = {"epochs": 1, "learning_rate": 1e-6, "adopt": "better"}
    slow = training.train(workspace, collection, {**SETTINGS, "init": result["model"], **unchanging})

    assert (slow["verdict"], slow["adopted"]) == ("same", False)
    assert collection_named(workspace.engine, HOSTILE).active_model == active
    workspace.engine.dispose()


def test_the_gallery_holds_all_held_out_then_labelled_ones_then_others(monkeypatch):
    monkeypatch.setattr("app.report.GALLERY", 30)
    held_out, labelled = set(range(0, 200, 20)), set(range(5, 200, 20))

    chosen = gallery(range(200), held_out, labelled)

    assert chosen == sorted(set(chosen))
    assert len(chosen) == 30
    assert held_out | labelled <= set(chosen)
    assert chosen == gallery(range(200), held_out, labelled)
    assert gallery(range(200), held_out, set(range(100, 200)))[-1] >= 100


def test_a_curve_stays_in_its_box_and_leaves_out_what_is_no_number():
    drawn = curve([(1, 3.4), (2, 3.1), (3, inf), (4, 2.9)])

    points = [tuple(map(float, point.split(","))) for point in drawn["line"].split()]
    assert points[0][0] == 0
    assert points[-1][0] == 100
    assert len(points) == 3
    assert all(0 <= x <= 100 and 0 <= y <= 100 for x, y in points)
    assert points[0][1] < points[1][1] < points[2][1]  # y grows downwards on a screen, and the loss fell
    assert curve([(1, 2.0)]) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (1, 14, [0, 5, 10, 15]),
        (2.9, 3.41, [2.8, 3, 3.2, 3.4, 3.6]),
        (0, 200, [0, 50, 100, 150, 200]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize("value", [0.0, 0.5, 7.0, -3.0])
def test_a_level_curve_has_ticks_around_it(value):
    found = ticks(value, value)

    assert found[0] <= value <= found[-1]
    assert found[0] < found[-1]


def test_a_training_without_labels_folders_or_curves_has_a_page_too(served):
    report = {**served[0].json(), "folders": None, "classes": None, "queries": []}

    page = Parsed(render(report, {}, [], {}, {}))

    assert report["sentence"] in page.text
    assert "Folder by folder" not in page.text
    assert "polyline" not in dict(page.tags)
