"""One rendered page for all tests that only read it."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_study import make_study

from hwsim.reports import Study, write_report, write_tables


@pytest.fixture(scope="session")
def study() -> Study:
    return make_study(120)


@pytest.fixture(scope="session")
def run_dir(study: Study, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report, the figures and the tables of `study`."""
    folder = tmp_path_factory.mktemp("run")
    write_report(study, folder)
    write_tables(study, folder)
    return folder


@pytest.fixture(scope="session")
def page(run_dir: Path) -> str:
    return (run_dir / "report.html").read_text(encoding="utf-8")
