"""Every file, command and requirement that the packaging names exists, and the locks hold."""

import json
import re
import shlex
import shutil
import subprocess
import tomllib
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cdp.__main__ import main

ROOT = Path(__file__).resolve().parents[1]
LOCKS = ("requirements.txt", "requirements-build.txt", "requirements-dev.txt")
HASHED = re.compile(r"--hash=sha256:[0-9a-f]{64}")


def text(name: str) -> str:
    return (ROOT / name).read_text()


def locked(name: str) -> list[str]:
    """The requirements of a lock file, each with its hashes in one line."""
    return text(name).replace("\\\n", "").splitlines()


def pins(name: str) -> dict[str, str]:
    """Package to exact version, as far as it applies to this machine."""
    found: dict[str, str] = {}
    for line in locked(name):
        requirement = Requirement(HASHED.sub("", line).strip())
        if requirement.marker is None or requirement.marker.evaluate():
            (specifier,) = requirement.specifier
            assert specifier.operator == "==", line
            found[canonicalize_name(requirement.name)] = specifier.version
    return found


def project() -> dict[str, list[str]]:
    """What pyproject.toml asks for, by purpose."""
    declared = tomllib.loads(text("pyproject.toml"))
    extras = declared["project"]["optional-dependencies"]
    return {
        "run": declared["project"]["dependencies"],
        "embedded": extras["embedded"],
        "dev": extras["dev"],
        "build": declared["build-system"]["requires"],
    }


def container_commands() -> list[list[str]]:
    """The exec-form commands of the container files."""
    lists = re.findall(r"(\[\"cdp\".*?\])", text("Dockerfile") + text("compose.yaml"))
    return [json.loads(found)[1:] for found in lists]


def make_commands() -> list[list[str]]:
    """The `cdp` commands of the Makefile, without the caller's arguments."""
    lines = re.findall(r"\$\(RUN\) -m cdp (.*)", text("Makefile"))
    return [shlex.split(line.replace("$(ARGS)", "")) for line in lines]


@pytest.mark.parametrize("name", LOCKS)
def test_lock_file_holds_hashes_and_no_address(name: str) -> None:
    assert "://" not in text(name)
    assert "index" not in text(name)
    for line in locked(name):
        assert HASHED.search(line), line


@pytest.mark.parametrize(
    ("name", "purposes"),
    [
        ("requirements.txt", ["run", "embedded"]),
        ("requirements-build.txt", ["build"]),
        ("requirements-dev.txt", ["run", "embedded", "dev", "build"]),
    ],
)
def test_lock_file_satisfies_the_project(name: str, purposes: list[str]) -> None:
    pinned = pins(name)
    for purpose in purposes:
        for declared in map(Requirement, project()[purpose]):
            if declared.marker is None or declared.marker.evaluate():
                version = pinned[canonicalize_name(declared.name)]
                assert declared.specifier.contains(version, prereleases=True), declared


@pytest.mark.parametrize("name", LOCKS)
def test_lock_files_pin_the_same_versions(name: str) -> None:
    everything = pins("requirements-dev.txt")
    assert pins(name).items() <= everything.items()


@pytest.mark.parametrize("arguments", container_commands() + make_commands(), ids=" ".join)
def test_command_that_is_named_exists_with_its_options(arguments: list[str]) -> None:
    command: click.Command = main
    for argument in arguments:
        if argument.startswith("--"):
            known = {name for option in command.params for name in option.opts}
            assert argument in known, f"{command.name} has no {argument}"
        elif isinstance(command, click.Group):
            found = command.get_command(click.Context(command), argument)
            assert found, f"{command.name} has no command {argument}"
            command = found


def test_containers_migrate_and_serve() -> None:
    assert {command[0] for command in container_commands()} == {"migrate", "serve"}


def test_module_that_make_runs_exists() -> None:
    for module in set(re.findall(r"\$\(RUN\) -m (\w+)", text("Makefile"))):
        spec = find_spec(module)
        assert spec, module
        for folder in spec.submodule_search_locations or []:
            assert (Path(folder) / "__main__.py").exists(), f"python -m {module} runs nothing"


def test_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", text("Makefile"), re.MULTILINE))
    (named,) = re.findall(r"^for target in (.*); do$", text(".ci/run"), re.MULTILINE)
    assert set(named.split()) <= targets
    assert set(re.findall(r"^#   make ([a-z-]+) ", text("Makefile"), re.MULTILINE)) <= targets
    (phony,) = re.findall(r"^\.PHONY: (.*)$", text("Makefile"), re.MULTILINE)
    assert set(phony.split()) == targets


def test_files_that_are_named_exist() -> None:
    named = re.findall(r"-r (\S+)", text("Makefile") + text("Dockerfile"))
    assert named
    copied = [
        source
        for line in re.findall(r"^COPY (?!--from)(.*) \S+$", text("Dockerfile"), re.MULTILINE)
        for source in line.split()
    ]
    admitted = re.findall(r"^!(.*)$", text(".dockerignore"), re.MULTILINE)
    for name in named + copied + admitted:
        assert (ROOT / name).exists(), name
    assert sorted(copied) == sorted(admitted)


def test_image_takes_every_package_and_runs_as_nobody_special() -> None:
    packages = tomllib.loads(text("pyproject.toml"))["tool"]["hatch"]["build"]["targets"]["wheel"]
    dockerfile = text("Dockerfile")
    for package in packages["packages"]:
        assert f"COPY {package} {package}\n" in dockerfile
    last_stage = dockerfile.rpartition("\nFROM ")[2]
    assert re.search(r"^USER cdp$", last_stage, re.MULTILINE)
    assert re.search(r"^HEALTHCHECK .*\\\n.*/healthz", last_stage, re.MULTILINE)


def test_ci_script_is_executable_bash() -> None:
    script = ROOT / ".ci" / "run"
    assert script.stat().st_mode & 0o111 == 0o111
    assert script.read_text().startswith("#!/usr/bin/env bash\n")


def test_make_without_a_python_tells_what_to_install(tmp_path: Path) -> None:
    make = shutil.which("make")
    if make is None:
        pytest.skip("this machine has no make")
    checkout = tmp_path / "a checkout"
    checkout.mkdir()
    for name in ("Makefile", "pyproject.toml", *LOCKS):
        shutil.copy(ROOT / name, checkout)
    done = subprocess.run(  # noqa: S603 - the machine's make
        [make, "demo"],
        cwd=checkout,
        env={"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "No Python 3.11 or newer with venv was found: install one" in done.stderr
    assert not (checkout / ".venv").exists()
