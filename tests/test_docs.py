"""The documentation says what is so: worked examples, tables and links are computed and looked up, not trusted."""

import ast
import contextlib
import io
import math
import re
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLE = np.array(
    [[1, 2, 3], [7, 8, 9], [4, 5, 6], [10, 11, 12]], dtype=np.float64
)  # rows i and i + 2 show one picture


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text()


def code(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def cosines(vectors: np.ndarray) -> np.ndarray:
    """(n, n) cosine similarities, written out as the page defines them."""
    return np.array([[u @ v / (math.sqrt(u @ u) * math.sqrt(v @ v)) for v in vectors] for u in vectors])


def losses(similarity: np.ndarray, temperature: float, against: list[list[int]]) -> list[tuple[float, float, float]]:
    """Per view: the partner's exponential, the sum over `against`, and the loss."""
    exponentials = np.exp(similarity / temperature)
    partner = [2, 3, 0, 1]
    rows = []
    for view, others in enumerate(against):
        positive, total = exponentials[view, partner[view]], sum(exponentials[view, k] for k in others)
        rows.append((positive, total, -math.log(positive / total)))
    return rows


def test_the_worked_cosine_is_right():
    u, v = EXAMPLE[0], EXAMPLE[2]

    said = page("how-it-learns.md")

    for value in (math.sqrt(u @ u), math.sqrt(v @ v), cosines(EXAMPLE)[0, 2]):
        assert f"{value:.6f}" in said
    assert f"{cosines(EXAMPLE)[0, 2]:.6f}" == "0.974632"


def test_the_worked_nt_xent_is_right_in_every_step():
    said = page("how-it-learns.md")

    similarity = cosines(EXAMPLE)
    rows = losses(similarity, 0.5, [[k for k in range(4) if k != view] for view in range(4)])

    names = ["z_1", "z_2", "z_1'", "z_2'"]
    for name, row in zip(names, rows, strict=True):
        assert f"| ${name}$ | " + " | ".join(f"{value:.6f}" for value in row) + " |" in said
    for i in range(4):
        for j in range(4):
            assert i == j or f"{similarity[i, j]:.6f}" in said
    assert f"**{np.mean([loss for *_, loss in rows]):.6f}**" in said


def test_the_worked_mistake_is_right():
    said = page("how-it-learns.md")

    rows = losses(cosines(EXAMPLE), 0.5, [[2, 3], [2, 3], [0, 1], [0, 1]])

    assert f"{rows[0][1]:.6f}" in said
    assert f"loss {rows[0][2]:.6f}" in said
    assert f"{rows[1][2]:.6f}" in said
    assert f"**{(rows[0][2] + rows[1][2]) / 2:.6f}**" in said


def test_the_loss_in_the_program_is_the_loss_on_the_page():
    import torch

    from model.loss import nt_xent

    said = page("how-it-learns.md")

    loss = float(nt_xent(torch.tensor(EXAMPLE), temperature=0.5))

    assert f"**{loss:.6f}**" in said


def test_the_decoupled_loss_of_the_example_is_right():
    similarity, said = cosines(EXAMPLE), page("how-it-learns.md")

    negatives = math.exp(similarity[0, 1] / 0.5) + math.exp(similarity[0, 3] / 0.5)

    assert f"{-similarity[0, 2]:.6f}/0.5" in said
    assert f"= {-similarity[0, 2] / 0.5 + math.log(negatives):.6f}$" in said


@pytest.mark.parametrize("pictures", [2, 256])
def test_the_loss_of_a_collapsed_network_is_the_closed_form_on_the_page(pictures):
    import torch

    from model.loss import nt_xent

    loss = float(nt_xent(torch.ones(2 * pictures, 8), temperature=0.5))

    assert loss == pytest.approx(math.log(2 * pictures - 1), abs=1e-5)
    assert f"$\\log {2 * pictures - 1} = {math.log(2 * pictures - 1):.6f}$" in page("how-it-learns.md")


def test_the_backbone_table_is_what_its_program_prints():
    said = page("choosing-a-backbone.md")
    [program] = code(said, "python")

    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(program, "choosing-a-backbone.md", "exec"), {})

    table = re.findall(r"^\| resnet\d+ .*billion \|$", said, re.MULTILINE)
    assert printed.getvalue().splitlines() == table


def test_the_block_counts_are_those_of_the_networks():
    import timm

    said = page("choosing-a-backbone.md")

    for name, title in (("resnet18", "ResNet-18"), ("resnet50", "ResNet-50"), ("resnet101", "ResNet-101")):
        network = timm.create_model(name, num_classes=0)
        stages = [network.layer1, network.layer2, network.layer3, network.layer4]
        block = "bottleneck" if hasattr(stages[0][0], "conv3") else "basic"
        row = [title, *(str(len(stage)) for stage in stages), block, str(network.num_features)]
        assert "| " + " | ".join(row) + " |" in said


def test_every_pretrained_name_in_the_documentation_is_one_timm_knows():
    import timm

    text = "\n".join(file.read_text() for file in PAGES)

    named = set(re.findall(r"timm:([a-z0-9_.]+)", text))

    assert named
    assert named <= {*timm.list_models(), *timm.list_pretrained()}


def test_the_intervals_on_the_page_are_those_of_the_formula_and_of_the_program():
    from model.interval import wilson

    said = page("evaluating-a-model.md")

    rows = re.findall(r"^\| (\d+) \| ([\d,]+) \| ([\d.]+) \| ([\d.]+) to ([\d.]+) \|$", said, re.MULTILINE)

    assert len(rows) == 4
    for right, of, accuracy, *interval in rows:
        k, n, z = int(right), int(of.replace(",", "")), 1.96
        centre, spread = k / n + z * z / (2 * n), z * math.sqrt(k / n * (1 - k / n) / n + z * z / (4 * n * n))
        by_hand = [(centre - spread) / (1 + z * z / n), (centre + spread) / (1 + z * z / n)]
        assert accuracy == f"{k / n:.2f}"
        assert interval == [f"{value:.2f}" for value in by_hand] == [f"{value:.2f}" for value in wilson(k, n)]


def test_every_preset_is_documented():
    from model.presets import PRESETS

    said = page("how-it-learns.md")

    missing = [name for name in PRESETS if f"| `{name}` |" not in said]

    assert not missing


def test_the_routes_on_the_page_are_those_of_the_program():
    from app.api import create_api

    said = set(re.findall(r"(/v1/[\w/{}]+)`", page("http-api.md"))) - {"/v1/docs"}

    routes = {path: re.compile(re.sub(r"{\w+}", "[^/]+", path)) for path in create_api().openapi()["paths"]}
    assert {path for path, pattern in routes.items() if not any(map(pattern.fullmatch, said))} == set(), (
        "not on the page"
    )
    assert {path for path in said if not any(pattern.fullmatch(path) for pattern in routes.values())} == set(), (
        "not there"
    )


def test_what_is_on_disk_is_documented():
    from indexer.home import Home

    home, said = Home(Path("home")), page("architecture.md")

    for path in (
        home.catalog,
        home.original("abcd"),
        home.preview("abcd", "jpg"),
        home.rendition("abcd"),
        home.vectors("f"),
        home.model("f"),
        home.index(1, "f"),
        home.run("j"),
        home.upload("b"),
    ):
        assert f"\n    {path.relative_to(home.root).parts[0]}" in said


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_links_within_the_repository_lead_somewhere(file):
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", file.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, anchor = target.partition("#")
        other = (file.parent / path).resolve() if path else file
        if not other.exists() or (anchor and anchor not in headings(other)):
            broken.append(target)

    assert not broken


def headings(file: Path) -> set[str]:
    """The anchors GitHub gives to a page's headings."""
    titles = re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_python_examples_use_the_client_as_it_is(file):
    from ui.client import Likeness

    wrong = []
    for program in code(file.read_text(), "python"):
        for node in ast.walk(ast.parse(program)):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "likeness":
                wrong += [] if callable(getattr(Likeness, node.attr, None)) else [node.attr]

    assert not wrong
