"""A bundle is used only where its signature and every byte are right."""

import json
import os

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runtime import bundles
from splitward.core.errors import BundleError
from splitward.runtime import bundle, manifest, signing


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def folder(tmp_path, key):
    bundles.write_cloud(tmp_path / "cloud", key)
    return tmp_path / "cloud"


def test_what_was_written_is_read(folder, key):
    found = bundle.read_cloud(folder, [key.public_key()])
    half, _ = bundles.linear()
    assert found.manifest == bundles.cloud_manifest(half)
    assert found.contents == {"cloud.onnx": half}


def test_an_edge_bundle_is_read_and_pairs_with_its_cloud(tmp_path, key):
    half, _ = bundles.linear()
    cloud = bundles.cloud_manifest(half)
    edge = bundles.edge_manifest({"edge-1.onnx": half}, bundles.edge_cut(cloud))
    bundle.write_bundle(tmp_path / "edge", edge, {"edge-1.onnx": half}, key)
    found = bundle.read_edge(tmp_path / "edge", [key.public_key()]).manifest
    assert found == edge
    assert found.cuts[0].cloud.pairing == cloud.pairing
    with pytest.raises(BundleError, match="one of the cloud is due"):
        bundle.read_cloud(tmp_path / "edge", [key.public_key()])


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "cloud.onnx"])
def test_one_flipped_bit_is_refused_wherever_it_is(folder, key, name):
    good = (folder / name).read_bytes()
    for place in sorted({0, len(good) // 2, len(good) - 1}):
        for bit in (0, 7):
            bad = bytearray(good)
            bad[place] ^= 1 << bit
            (folder / name).write_bytes(bad)
            with pytest.raises(BundleError):
                bundle.read_cloud(folder, [key.public_key()])
    (folder / name).write_bytes(good)
    bundle.read_cloud(folder, [key.public_key()])


def test_another_key_is_refused_and_one_of_several_suffices(folder, key):
    other = Ed25519PrivateKey.generate().public_key()
    with pytest.raises(BundleError, match="not signed by a key that is trusted here"):
        bundle.read_cloud(folder, [other])
    with pytest.raises(BundleError, match="not signed"):
        bundle.read_cloud(folder, [])
    bundle.read_cloud(folder, [other, key.public_key()])


def test_nothing_is_parsed_before_the_signature_is_right(folder, key, monkeypatch):
    def explode(*arguments):
        raise AssertionError("parsed")

    monkeypatch.setattr(manifest, "decode", explode)
    with pytest.raises(BundleError, match="not signed"):
        bundle.read_cloud(folder, [Ed25519PrivateKey.generate().public_key()])
    with pytest.raises(AssertionError, match="parsed"):
        bundle.read_cloud(folder, [key.public_key()])


def test_longer_shorter_missing_linked_and_special_files_are_refused(folder, key, tmp_path):
    half = folder / "cloud.onnx"
    good = half.read_bytes()
    for bad in (good + b"\0", good[:-1], b""):
        half.write_bytes(bad)
        with pytest.raises(BundleError):
            bundle.read_cloud(folder, [key.public_key()])
    half.unlink()
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read_cloud(folder, [key.public_key()])
    (tmp_path / "elsewhere").write_bytes(good)
    half.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match="cannot be read"):
        bundle.read_cloud(folder, [key.public_key()])
    half.unlink()
    os.mkfifo(half)  # reading it would wait for ever
    with pytest.raises(BundleError, match="no plain file"):
        bundle.read_cloud(folder, [key.public_key()])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format_version": 2}, "format"),
        ({"role": "edge"}, "no manifest"),
        ({"role": "other"}, "no manifest"),
        ({"extra": 1}, "extra"),
        ({"name": "../up"}, "name"),
        ({"version": "v1"}, "version"),
        ({"half": "../../etc/passwd"}, "half"),
        ({"files": {"../x": {"sha256": "0" * 64, "size": 1}}}, "files"),
        ({"files": {}}, "files"),
        ({"files": {"a\n\x1b[2J" * 99: 1}}, r"at `key` in `\$\.files`"),
        ({"a\n\x1b[2J" * 99: 1}, r"a\\n\\x1b"),
        ({"name": "lenet5\n"}, "name"),
        ({"opset": "20"}, "opset"),
        ({"activation": []}, "activation"),
        ({"activation": [{"name": "activation_0", "dtype": "float32", "shape": [1 << 20, 1 << 20]}]}, "bytes"),
        ({"activation": [{"name": "activation_0", "dtype": "float32", "shape": [-1]}]}, "shape"),
        ({"activation": [{"name": "activation_0", "dtype": "object", "shape": [1]}]}, "dtype"),
    ],
)
def test_a_signed_manifest_that_says_something_else_is_refused(folder, key, change, said):
    """Whoever holds the key is still held to the format."""
    data = json.loads((folder / "manifest.json").read_text()) | change
    content = json.dumps(data).encode()
    (folder / "manifest.json").write_bytes(content)
    (folder / "manifest.sig").write_bytes(key.sign(content))
    with pytest.raises(BundleError, match=said) as refusal:
        bundle.read_cloud(folder, [key.public_key()])
    assert str(refusal.value).isprintable()


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff", b"[" * 100_000, b'{"format_version": 1}'])
def test_what_is_no_manifest_is_refused(content):
    with pytest.raises(BundleError):
        manifest.decode(content)


def test_a_manifest_has_one_form():
    half, _ = bundles.linear()
    cloud = bundles.cloud_manifest(half)
    assert manifest.encode(cloud) == manifest.encode(manifest.decode(manifest.encode(cloud)))


def test_nothing_is_overwritten(folder, key):
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BundleError, match="cannot be written"):
        bundles.write_cloud(folder, key, name="another")
    assert (folder / "manifest.json").read_bytes() == before
    assert not list(folder.parent.glob(".*.part"))


def test_contents_must_be_those_of_the_manifest(tmp_path, key):
    half, _ = bundles.linear()
    with pytest.raises(BundleError, match="not those"):
        bundle.write_bundle(tmp_path / "x", bundles.cloud_manifest(half), {"cloud.onnx": half + b"\0"}, key)


def test_keys_are_made_once_and_read(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    with pytest.raises(BundleError, match="no key to check"):
        signing.trusted_keys()
    first = signing.signing_key()
    private, public = tmp_path / "splitward" / "signing.key", tmp_path / "splitward" / "signing.pub"
    assert private.stat().st_mode & 0o777 == 0o600
    assert signing.signed_by(signing.trusted_keys(), signing.sign(first, b"x"), b"x")
    assert signing.signed_by([signing.trusted_key(public)], signing.sign(signing.signing_key(), b"x"), b"x")
    with pytest.raises(BundleError, match="never overwritten"):
        signing.make_pair(tmp_path / "splitward")
    with pytest.raises(BundleError, match="is a private key"):
        signing.trusted_key(private)
    for damaged in (b"", b"x" * 100, b"y" * 100_000):
        public.write_bytes(damaged)
        with pytest.raises(BundleError):
            signing.trusted_key(public)
        with pytest.raises(BundleError):
            signing.signing_key(public)
