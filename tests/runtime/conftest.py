"""Two versions of a small model, behind one server for all tests that leave it as it is."""

import pytest
from cryptography.hazmat.primitives import serialization as ser

from runtime import bundles, servers
from splitward.runtime import signing


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    """A folder with a signing pair."""
    folder = tmp_path_factory.mktemp("keys")
    signing.make_pair(folder)
    return folder


@pytest.fixture(scope="session")
def toys(tmp_path_factory, keys):
    """{version: (bundle, matrix (12, 5))}: two versions of ``toy``."""
    folder, key = tmp_path_factory.mktemp("toys"), signing.signing_key(keys / "signing.key")
    return {v: (folder / v, bundles.write_cloud(folder / v, key, version=v, seed=int(v))) for v in ("2", "10")}


@pytest.fixture(scope="session")
def server(toys, keys):
    found = [folder for folder, _ in toys.values()]
    with servers.serving(*found, "--key", keys / "signing.pub", "--max-batch", 16) as running:
        yield running


@pytest.fixture(scope="session")
def public(keys):
    return ser.load_pem_public_key((keys / "signing.pub").read_bytes())
