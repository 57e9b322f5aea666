"""What is shipped works alone: built, installed beside nothing but what it declares, outside the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from provisioner import permissions

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = sorted(ROOT.glob("environments/*.toml"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    unwanted = shutil.ignore_patterns(".*", "build", "dist", "__pycache__", "*.egg-info")
    source = shutil.copytree(ROOT, folder / "source", symlinks=True, ignore=unwanted)
    pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(source))
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv that holds the wheel and what it declares, and so neither moto nor any tool of ours."""
    venv = tmp_path_factory.mktemp("bare")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    pip("--python", str(venv / "bin/python"), "install", "--no-index", "--no-deps", str(wheel))
    (site,) = venv.glob("lib/python*/site-packages")
    (installed,) = distributions(path=[str(site)])
    for each in needed(installed):
        link(each, site)
    return venv


def pip(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def needed(root: Distribution, extra: str = "") -> Iterator[Distribution]:
    """Go through what a distribution needs, with what that needs in turn."""
    seen: set[str] = set()
    waiting = list(declared(root, extra))
    while waiting:
        requirement = waiting.pop()
        if requirement.name not in seen:
            seen.add(requirement.name)
            found = distribution(requirement.name)
            yield found
            for each in ("", *requirement.extras):
                waiting += declared(found, each)


def declared(root: Distribution, extra: str) -> Iterator[Requirement]:
    for line in root.requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            yield requirement


def link(source: Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in source.files or () if file.parts[0] not in ("..", "__pycache__")}:
        if not (site / top).exists():
            (site / top).symlink_to(Path(str(source.locate_file(top))))


def run(bare: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(bare / "bin/provisioner"), *arguments],
        cwd=cwd,
        env={"HOME": str(cwd), "PATH": os.defpath, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.process
def test_the_wheel_holds_the_three_packages_their_data_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        shipped = {Path(name).name: archive.read(name) for name in names if "/templates/" in name}
    assert {name.split("/")[0] for name in names if ".dist-info/" not in name} == {"provisioner", "steps", "state"}
    assert {"provisioner/py.typed", "provisioner/prices.json", "provisioner/operations.json"} <= set(names)
    assert {f"provisioner/permissions/{name}.json" for name in permissions.sources()} <= set(names)
    assert {f"provisioner/local/{data.name}" for data in ROOT.glob("provisioner/local/*.json")} <= set(names)
    assert shipped == {path.name: path.read_bytes() for path in ENVIRONMENTS}


@pytest.mark.process
def test_the_installed_command_runs_without_the_checkout(bare: Path, tmp_path: Path) -> None:
    shown = run(bare, tmp_path, "--help")
    assert (shown.returncode, shown.stderr) == (0, "")
    assert {"provision", "plan", "teardown", "environments"} <= set(shown.stdout.split())


@pytest.mark.process
def test_the_installed_command_brings_the_environments_along(bare: Path, tmp_path: Path) -> None:
    assert run(bare, tmp_path, "environments").returncode == 0
    written = run(bare, tmp_path, "environments", "--write")
    assert (written.returncode, written.stderr) == (0, "")
    found = {path.name: path.read_bytes() for path in (tmp_path / "environments").iterdir()}
    assert found == {path.name: path.read_bytes() for path in ENVIRONMENTS}


@pytest.mark.process
def test_what_environments_cost_is_told_without_any_cloud(bare: Path, tmp_path: Path) -> None:
    run(bare, tmp_path, "environments", "--write")
    told = run(bare, tmp_path, "cost")
    assert (told.returncode, told.stderr) == (0, "")
    assert "Prices of us-east-1: recorded on" in told.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["environments"]


@pytest.mark.process
def test_without_the_extra_the_local_target_says_what_to_install(bare: Path, tmp_path: Path) -> None:
    run(bare, tmp_path, "environments", "--write")
    for command in ("plan", "rehearse"):
        refused = run(bare, tmp_path, command, "dev")
        assert refused.returncode == 2
        assert "pip install 'provisioner[local]'" in refused.stderr
        assert "Traceback" not in refused.stderr


def test_the_templates_are_the_environments() -> None:
    assert [path.name for path in ENVIRONMENTS] == ["dev.toml", "prod.toml", "staging.toml"]
    for path in ENVIRONMENTS:
        assert (ROOT / "provisioner/templates" / path.name).read_bytes() == path.read_bytes(), f"differs: {path.name}"


def test_every_package_that_make_installs_is_pinned() -> None:
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().split("\n") if "==" in line)
    installed = {each.name for each in needed(distribution("provisioner"), "dev")} - {"provisioner"}
    assert {canonicalize_name(name) for name in installed} == {canonicalize_name(name) for name in pins}


def test_the_build_takes_the_pinned_setuptools() -> None:
    (required,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["build-system"]["requires"]
    assert required in (ROOT / "constraints.txt").read_text().splitlines()
