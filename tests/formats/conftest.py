"""A root and an issuing authority, made once a test process, and an empty directory for what they sign."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.formats.openssl_ca import Authority


@pytest.fixture(scope="session")
def root(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Signs itself."""
    return Authority(tmp_path_factory.mktemp("root") / "ca", end="20360101000000Z")


@pytest.fixture(scope="session")
def issuing(tmp_path_factory: pytest.TempPathFactory, root: Authority) -> Authority:
    """Signed by the root."""
    return Authority(tmp_path_factory.mktemp("issuing") / "ca", "/CN=Issuing", root, end="20310101000000Z")


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    """A directory of certificates with nothing in it."""
    directory = tmp_path / "certs"
    directory.mkdir()
    return directory
