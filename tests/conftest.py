"""For every test: one thread per numerical library; what the tests of promises count (tests/promises.py).

The networks here are tiny. Several threads of several processes on a few cores only wait for each other: a training of
forty steps took 110 s instead of 10 s beside another busy process.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # before torch and numpy are imported; child processes inherit it


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--figures", help="write what the tests of promises counted to this file (JSON)")
    parser.addoption("--deep", type=int, default=1, help="so many times the examples where tests draw them at random")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "promise(number, ...): the test keeps these promises of docs/promises.md")
    if config.getoption("--figures"):
        config.pluginmanager.register(_Figures(Path(config.getoption("--figures"))))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are cores: the tests in the browser wait for half their time."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> object:
    """A file at a time, as `--dist loadfile`, but what shares an installation stays together, and the longest begins.

    xdist would begin with the files of most tests, and end with those in the browser, which are few and long.
    """
    from xdist.scheduler import LoadFileScheduling

    class Together(LoadFileScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = str(super()._split_scope(nodeid))
            return SHARED if scope.startswith(SHARED) and scope not in ALONE else scope

    if config.getoption("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return Together(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.nodeid.startswith(LONGEST))
    for item in items:
        for marker in item.iter_markers("promise"):
            item.user_properties += [("promise", number) for number in marker.args]


SHARED = "tests/ui/"  # these tests meet one installation and one demo collection
LONGEST = (SHARED, "tests/scripts/test_bench.py")  # begun first, so that no core has nothing to do in the end
ALONE = tuple(f"{SHARED}test_{name}.py" for name in ("page", "sign_in", "training"))  # these start their own
CATALOG = (
    "test_catalog",
    "test_comparisons",
    "test_labels",
    "test_classes",
    "test_images",
    "test_labelbook",
    "test_several",
    "test_jobs",
    "test_two_apis",
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """The tests of the catalog run on SQLite and on PostgreSQL."""
    if "database" in metafunc.fixturenames:
        # `indexed` is a copy of a home whose catalog is SQLite.
        both = metafunc.module.__name__.rpartition(".")[2] in CATALOG and "indexed" not in metafunc.fixturenames
        metafunc.parametrize("database", ["sqlite", "postgresql"] if both else ["sqlite"], indirect=True)


@pytest.fixture(scope="session")
def shipped_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The encoder that ships, exported once for all processes: each home would take seconds for it as pictures come."""
    from filelock import FileLock

    from model import shipped
    from model.encoder import open_encoder

    base = tmp_path_factory.getbasetemp()
    place = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(place / "shipped.lock"):
        info = shipped.bring_into(place / "shipped")
        assert info is not None
        open_encoder(place / "shipped" / info.fingerprint, "cpu")
    return place / "shipped" / info.fingerprint


@pytest.fixture(scope="session")
def postgresql() -> Iterator[object]:
    from indexer.catalog import open_catalog
    from indexer.home import Home
    from tests.postgresql import Server, binaries  # needs psycopg, which a bare training machine lacks

    programs = binaries()
    if programs is None:
        pytest.skip("There is no PostgreSQL server here: on Debian, apt-get install postgresql.")
    server = Server(programs)
    template = server.new_database("template1")
    open_catalog(Home(Path("/nowhere")), template).dispose()  # migrated once: a copy takes a tenth of the time
    server.template = template.rpartition("?")[0].rpartition("/")[2]
    yield server
    server.stop()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> str | None:
    """The URL of an empty catalog's database; None: SQLite in the data folder."""
    if request.param == "sqlite":
        return None
    return request.getfixturevalue("postgresql").new_database()


class _Figures:
    """Adds up, for every promise, what its tests counted by `record_property`; also over several processes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sums: dict[int, dict[str, int]] = {}
        self.failed = 0
        self.passed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> Iterator[None]:
        self.failed += report.failed
        if report.when == "call" and report.passed:
            self.passed.add(report.nodeid)
        if report.when == "teardown" and report.nodeid in self.passed:  # fixtures have said theirs by now, too
            said = report.user_properties
            for number in [value for name, value in said if name == "promise"]:
                sums = self.sums.setdefault(number, {"cases passed": 0})
                sums["cases passed"] += 1
                for name, value in said:
                    if name != "promise":
                        sums[name] = sums.get(name, 0) + value
        return (yield)

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not hasattr(session.config, "workerinput") and not self.failed:
            self.path.write_text(json.dumps({str(n): self.sums[n] for n in sorted(self.sums)}, indent=1))
