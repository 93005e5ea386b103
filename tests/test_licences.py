"""Licences of what is installed along with Keima: none that asks the whole program to be GPL or AGPL.

Read from the packages' own metadata, for the closure of pyproject's dependencies and of its extras but `dev`.
The Lesser GPL is admitted, since packages are used unmodified, each installed by itself and replaceable by its user,
which is what that licence asks of a program that uses a library; so is the GPL with GCC's runtime exception, under
which compilers' libraries come in wheels.
"""

import re
import tomllib
from importlib.metadata import PackageNotFoundError, distribution

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
COPYLEFT = re.compile(r"\b(A?GPL|(Affero )?General Public License)", re.IGNORECASE)
ADMITTED = re.compile(r"\bLGPL|Lesser General Public|Library General Public|GCC-exception", re.IGNORECASE)


def requirements() -> list[Requirement]:
    extras = [entries for name, entries in PROJECT["optional-dependencies"].items() if name != "dev"]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *(entry for group in extras for entry in group)]]


def closure() -> list[str]:
    """Every package that is installed along with Keima, by its canonical name."""
    found: set[str] = set()
    waiting = requirements()
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        try:
            listed = distribution(name).requires or []
        except PackageNotFoundError:
            # What is asked for directly must be there to be read; a package of another platform's need not.
            assert name not in {canonicalize_name(own.name) for own in requirements()}, f"{name} is not installed"
            continue
        if name not in found:
            found.add(name)
            extras = ["", *requirement.extras]
            for further in map(Requirement, listed):
                if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                    waiting.append(further)
    return sorted(found)


def licences(name: str) -> list[str]:
    """What a package says of its licence: its expression, else the name of it and its classifiers."""
    metadata = distribution(name).metadata
    if expression := metadata.get("License-Expression"):
        return [expression]
    lines = (metadata.get("License") or "").strip().splitlines()
    classified = [text for text in metadata.get_all("Classifier") or [] if text.startswith("License ::")]
    return [*lines[:1], *classified]  # some write the whole text there, which begins with its name


def is_free_to_use(licence: str) -> bool:
    """Whether a licence, perhaps an SPDX expression, lets a program use the package and be neither GPL nor AGPL."""
    parts = re.split(r"\s+AND\s+", licence.replace("(", " ").replace(")", " "))
    return all(any(_is_admitted(choice) for choice in re.split(r"\s+OR\s+", part)) for part in parts)


def _is_admitted(licence: str) -> bool:
    return not COPYLEFT.search(licence) or bool(ADMITTED.search(licence))


PACKAGES = closure()


def test_the_closure_is_read():
    assert {"torch", "numba", "llvmlite", "pydantic-core", "grpcio"} <= set(PACKAGES)
    assert not {"chess", "pytest", "hypothesis"} & set(PACKAGES)


@pytest.mark.parametrize("name", PACKAGES)
def test_no_package_is_gpl(name: str):
    said = licences(name)
    assert said, f"{name} says nothing of its licence"
    assert all(map(is_free_to_use, said)), f"{name}: {said}"


@pytest.mark.parametrize(
    ("licence", "is_free"),
    [
        ("MIT", True),
        ("License :: OSI Approved :: BSD License", True),
        ("MPL-2.0 AND MIT", True),
        ("LGPL-2.1-or-later", True),
        ("GPL-3.0-or-later WITH GCC-exception-3.1 AND BSD-3-Clause", True),
        ("MIT OR GPL-2.0-only", True),
        ("License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)", True),
        ("GPL-3.0+", False),
        ("License :: OSI Approved :: GNU General Public License v3 or later (GPLv3+)", False),
        ("License :: OSI Approved :: GNU Affero General Public License v3", False),
        ("(MIT OR BSD-3-Clause) AND AGPL-3.0-only", False),
    ],
)
def test_licences_are_told_apart(licence: str, is_free: bool):
    assert is_free_to_use(licence) == is_free


def test_python_chess_would_be_noticed():
    assert not all(map(is_free_to_use, licences("chess")))
