"""The map of the repository, as tests: who imports whom, what lies at the top, what is documented, what stays out."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"model": set(), "indexer": {"model"}, "app": {"model", "indexer"}, "ui": set()}
KEPT_OUT_OF_MODEL = {"sqlalchemy", "alembic", "faiss", "fastapi", "starlette", "streamlit", "uvicorn"}
LOADED_BEFORE_TORCH = ("model.images", "model.encoder", "model.probe", "model.errors", "model.info")
TOP_LEVEL = {
    *("app", "model", "indexer", "ui", "tests", "scripts", "docs"),
    *("Dockerfile", "compose.yaml", "pyproject.toml", "constraints.txt", "README.md", "CHANGELOG.md", "LICENSE"),
    *(".ci", ".gitignore", ".dockerignore"),
}


def tracked() -> list[Path]:
    """Every file that a clone would have."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    return [ROOT / name for name in listed.decode().split("\0") if name and (ROOT / name).exists()]


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """(line, top-level package) of every import in a file, those inside functions included."""
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name.split(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}:{node.lineno} imports relatively, which hides the direction"
            yield node.lineno, (node.module or "").split(".")[0]


def documentation() -> str:
    return "\n".join(page.read_text() for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_go_one_way(package):
    ours = {"scripts", "tests", *MAY_IMPORT}
    allowed = {package} | MAY_IMPORT[package]

    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in (ROOT / package).rglob("*.py")
        for line, name in imports(file)
        if name in ours - allowed
    ]

    assert not wrong


def test_model_runs_without_a_database_an_index_or_a_web_framework():
    wrong = [
        f"{file.relative_to(ROOT)}:{line} imports {name}"
        for file in (ROOT / "model").rglob("*.py")
        for line, name in imports(file)
        if name in KEPT_OUT_OF_MODEL
    ]

    assert not wrong


@pytest.mark.parametrize("module", LOADED_BEFORE_TORCH)
def test_what_the_api_needs_of_model_loads_without_torch(module):
    program = f"import sys, {module}; print(*({{'torch', 'timm', 'sklearn'}} & set(sys.modules)))"

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()

    assert loaded == []


def test_the_api_loads_without_torch():
    program = "import sys, app.api; print(*({'torch', 'timm'} & set(sys.modules)))"

    loaded = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert loaded.split() == []


def test_the_top_level_is_fixed():
    top = {path.relative_to(ROOT).parts[0] for path in tracked()}

    assert top <= TOP_LEVEL, f"not part of the map: {sorted(top - TOP_LEVEL)}"


def test_every_package_with_code_is_installed():
    import tomllib

    installed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])

    with_code = {
        ".".join(file.parent.relative_to(ROOT).parts)
        for file in tracked()
        if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in MAY_IMPORT
    }

    assert with_code == installed


def test_every_setting_is_in_the_readme_with_its_default():
    from app.settings import Settings

    said = (ROOT / "README.md").read_text().replace("~", str(Path.home()))
    prefix = Settings.model_config["env_prefix"]

    missing = []
    for name, field in Settings.model_fields.items():
        default = f" `{field.default}`" if field.default not in ("", None) else ""
        row = f"| `{prefix}{name.upper()}` |{default} | {field.description}"
        missing += [] if row in said else [row]

    assert not missing


def test_every_setting_that_the_code_names_is_documented_and_the_other_way_round():
    from app.settings import Settings

    setting = re.compile(r"\bLIKENESS_[A-Z_]*[A-Z]\b")
    known = {f"{Settings.model_config['env_prefix']}{field}".upper() for field in Settings.model_fields}
    for file in tracked():
        if file.suffix in (".py", "") and file.relative_to(ROOT).parts[0] in (*MAY_IMPORT, "scripts", "Dockerfile"):
            known |= set(setting.findall(file.read_text()))

    named = set(setting.findall(documentation()))

    assert known - named == set(), "not documented"
    assert named - known == set(), "not in the code"


def test_every_command_is_documented():
    text = documentation()

    missing = [command for command in commands() if f"likeness {command}" not in text]

    assert not missing


def test_every_command_in_the_documentation_exists():
    known = [command.split() for command in commands()]
    shell = "\n".join(re.findall(r"```(?:bash|sh|console)\n(.*?)```", documentation(), re.DOTALL))

    shown = [line.split() for line in re.findall(r"^(?:\$ )?likeness ([a-z].*)", shell, re.MULTILINE)]

    assert shown, "no command is shown at all"
    assert [line for line in shown if not any(line[: len(command)] == command for command in known)] == []


def commands() -> list[str]:
    """Every command as it is typed: "import", "export model", ..."""
    import typer

    from app.cli import app

    def walk(command: object, path: str) -> Iterator[str]:
        below = getattr(command, "commands", None)
        if below is None:
            yield path
        else:
            for name, sub in below.items():
                yield from walk(sub, f"{path} {name}".strip())

    return list(walk(typer.main.get_command(app), ""))


# Written in two parts each, so that this file does not find itself.
FORBIDDEN = {
    "a package registry's host": re.compile("(pypi" + r"\.org|pythonhosted" + r"\.org|download\.pytorch" + r"\.org)"),
    "a path of one machine": re.compile(r"(?<![\w.])/(work|home/(?!me/)\w+|Users/\w+|opt" + r")/\w"),
    "a secret": re.compile("(-----BEGIN" + r" |AKIA[0-9A-Z]{16}|hf_" + r"[A-Za-z]{30})"),
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_the_tree_holds_no(what):
    found = []
    for file in tracked():
        try:
            lines = file.read_text().splitlines()
        except UnicodeDecodeError:  # a picture or a database
            continue
        found += [f"{file.relative_to(ROOT)}:{n}" for n, line in enumerate(lines, 1) if FORBIDDEN[what].search(line)]

    assert not found
