"""Heat maps point at what they should: tried with patches planted at random places."""

import shutil

import numpy as np
import pytest
from PIL import Image

from model import shipped
from model.encoder import graph_of, open_encoder
from model.errors import BadInput
from model.info import Preparation, read_info
from model.probe import fit_probe
from model.regions import Heat, Regions, before_pooling, box_around, for_class, match
from tests import pictures

FIELD, PATCH = 320, 96  # px: a patch covers 9 % of its picture, so a random place hits it one time in eleven
ALIKE = ("coffee", "temple", "astronaut", "tissue", "motorcycle", "rocket")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    if not shipped.suits("resnet18"):
        pytest.skip("no encoder in model/default: scripts/train_default makes it")
    copy = tmp_path_factory.mktemp("models") / "default"
    shutil.copytree(shipped.FOLDER, copy)
    return copy


@pytest.fixture(scope="module")
def regions(folder):
    info = read_info(folder)
    return Regions(graph_of(folder, info), info.preparation)


def _planted(field: Image.Image, patch: Image.Image, rng: np.random.Generator) -> tuple[Image.Image, tuple[int, int]]:
    left, top = (int(place) for place in rng.integers(0, FIELD - patch.width + 1, 2))
    planted = field.copy()
    planted.paste(patch, (left, top))
    return planted, (left, top)


def _inside(cells: np.ndarray, corner: tuple[int, int], side: int = PATCH) -> bool:
    """Whether the middle of the strongest cell lies in the patch."""
    row, column = np.unravel_index(cells.argmax(), cells.shape)
    x, y = ((place + 0.5) * FIELD / size for place, size in zip((column, row), cells.shape[::-1], strict=True))
    return corner[0] <= x <= corner[0] + side and corner[1] <= y <= corner[1] + side


def test_what_two_pictures_share_is_the_brightest_in_both(regions, monkeypatch):
    """More often than by the parts of their cosine (arXiv:1901.00536), and than at the size that the encoder sees."""
    rng = np.random.default_rng(0)
    hits: dict[str, list[bool]] = {"ours": [], "parts of the cosine": [], "small": []}
    for _ in range(40):
        first, second, third = rng.choice(ALIKE, 3, replace=False)
        fields = [pictures.views(str(name), 1, FIELD, int(rng.integers(1000)))[0] for name in (first, second)]
        patch = pictures.views(str(third), 1, PATCH, int(rng.integers(1000)))[0]
        (one, at_one), (other, at_other) = (_planted(field, patch, rng) for field in fields)

        maps = regions.maps([one, other])
        with monkeypatch.context() as smaller:
            smaller.setattr("model.regions.SIDE", regions.preparation.image_size)
            small = match(*regions.maps([one, other]))

        parts = [a @ b.mean(axis=(0, 1)) for a, b in (maps, maps[::-1])]
        for name, cells in (("ours", match(*maps)), ("parts of the cosine", parts), ("small", small)):
            hits[name] += [_inside(cells[0], at_one), _inside(cells[1], at_other)]
    share = {name: float(np.mean(found)) for name, found in hits.items()}
    assert share["ours"] > 0.5, share
    assert share["ours"] > share["parts of the cosine"] + 0.3, share
    assert share["ours"] > share["small"] + 0.3, share


def test_what_speaks_for_a_class_is_the_brightest_and_in_the_box(regions, folder):
    rng = np.random.default_rng(1)
    names = ("flower", "coffee", "brick", "temple")
    encoder = open_encoder(folder, "cpu", 1)
    views = [(name, view) for name in names for view in pictures.views(name, 12, FIELD)]
    vectors = encoder.encode(np.stack([encoder.prepare(view) for _, view in views]))
    probe = fit_probe(vectors, [name for name, _ in views])
    hits, boxed = [], []
    for _ in range(30):
        around, wanted = (str(name) for name in rng.choice(names, 2, replace=False))
        field = pictures.views(around, 1, FIELD, int(rng.integers(1000)))[0]
        patch = pictures.views(wanted, 1, 2 * PATCH // 3 * 2, int(rng.integers(1000)))[0]
        planted, corner = _planted(field, patch, rng)

        (found,) = regions.maps([planted])
        cells = for_class(found, probe.weights, probe.classes.index(wanted))
        x, y, width, height = box_around(Heat(cells, regions.area(FIELD, FIELD)))

        hits.append(_inside(cells, corner, patch.width))
        middle = ((x + width / 2) * FIELD, (y + height / 2) * FIELD)
        boxed.append(all(c <= m <= c + patch.width for c, m in zip(corner, middle, strict=True)))
    assert np.mean(hits) > 0.6
    assert np.mean(boxed) > 0.5


def test_the_mean_of_the_map_is_the_vector_at_the_size_the_encoder_sees(regions, folder, monkeypatch):
    encoder = open_encoder(folder, "cpu", 1)
    monkeypatch.setattr("model.regions.SIDE", encoder.info.preparation.image_size)
    view = pictures.picture("cat", FIELD)

    (found,) = regions.maps([view])

    mean = found.mean(axis=(0, 1))
    (vector,) = encoder.encode(encoder.prepare(view)[np.newaxis])
    np.testing.assert_allclose(mean / np.linalg.norm(mean), vector, atol=1e-4)


def test_the_cells_cover_what_the_encoder_sees():
    ordinary = {"image_size": 96, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    centre, squeeze = Preparation(**ordinary), Preparation(**ordinary, fit="squeeze", crop=0.8)

    def area(how: Preparation) -> tuple[float, ...]:
        regions = Regions.__new__(Regions)
        regions.preparation = how
        return regions.area(400, 200)

    assert area(centre) == pytest.approx((0.25, 0, 0.5, 1))
    assert area(squeeze) == pytest.approx((0.1, 0.1, 0.8, 0.8))


def test_a_box_holds_the_connected_part_around_the_strongest_cell():
    cells = np.zeros((4, 4), np.float32)
    cells[1, 1] = cells[1, 2] = 1  # and a weaker one apart from it
    cells[3, 3] = 0.7

    x, y, width, height = box_around(Heat(cells, (0.25, 0, 0.5, 1)))

    assert x == pytest.approx(0.25 + 0.5 * 0.25, abs=0.06)
    assert y == pytest.approx(0.25, abs=0.12)
    assert width == pytest.approx(0.25, abs=0.12)
    assert height == pytest.approx(0.25, abs=0.2)


def test_a_network_without_a_map_says_so():
    from onnx import TensorProto, helper

    pixels = helper.make_tensor_value_info("pixels", TensorProto.UINT8, ["n", 8, 8, 3])
    vectors = helper.make_tensor_value_info("vectors", TensorProto.FLOAT, ["n", 8, 8, 3])
    cast = helper.make_node("Cast", ["pixels"], ["vectors"], to=TensorProto.FLOAT)
    graph = helper.make_model(helper.make_graph([cast], "flat", [pixels], [vectors])).SerializeToString()

    with pytest.raises(BadInput, match="no map of features"):
        before_pooling(graph)
