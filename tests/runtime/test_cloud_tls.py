"""Who may connect: nobody without a certificate of our authority, nobody by TLS 1.2, nobody from afar without TLS."""

import socket
import ssl
from datetime import UTC, datetime, timedelta

import grpc
import numpy as np
import pytest
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc import service_pb2_grpc as service

from runtime import bundles, servers
from splitward.core.errors import BundleError, UsageError
from splitward.runtime.certificates import make_certificates
from splitward.runtime.cloud.addresses import parse_address


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    """Our certificates, those of a stranger, and ours that have expired: the same authority's, 60 days ago."""
    folder = tmp_path_factory.mktemp("tls")
    make_certificates(folder / "ours")
    make_certificates(folder / "foreign")
    return folder


@pytest.fixture(scope="module")
def secured(toys, keys, tls):
    with servers.serving(toys["2"][0], "--key", keys / "signing.pub", "--tls", tls / "ours") as running:
        yield running


def over_grpc(address, authority, client=None):
    """A model's answer by a client with these files."""
    held = [(client / f"client.{kind}").read_bytes() for kind in ("key", "pem")] if client else [None, None]
    credentials = grpc.ssl_channel_credentials((authority / "ca.pem").read_bytes(), *held)
    with grpc.secure_channel(address, credentials) as channel:
        stub = service.GRPCInferenceServiceStub(channel)
        return stub.ModelInfer(servers.request(np.zeros((1, *bundles.SHAPE), np.float32)), timeout=10)


def over_http(address, authority, client=None, most=None):
    """The first line of what comes back for /v2, by a client with these files."""
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    if client:
        context.load_cert_chain(client / "client.pem", client / "client.key")
    if most:
        context.maximum_version = most
    host, port = address.rsplit(":", 1)
    plain = socket.create_connection((host, int(port)), timeout=10)
    with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
        wrapped.sendall(b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return wrapped.version(), wrapped.recv(1000)


def test_our_client_gets_in_by_tls_1_3(secured, tls):
    assert over_grpc(secured.address["grpc"], tls / "ours", tls / "ours").outputs[0].name == "output_0"
    version, answer = over_http(secured.address["http"], tls / "ours", tls / "ours")
    assert version == "TLSv1.3"
    assert answer.startswith(b"HTTP/1.1 200")


def expired(folder, ours):
    """A client certificate that our own authority signed, and that has run out."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization as ser

    from splitward.runtime import certificates

    root = x509.load_pem_x509_certificate((ours / "ca.pem").read_bytes())
    signer = ser.load_pem_private_key((ours / "ca.key").read_bytes(), None)
    key = certificates.ec.generate_private_key(certificates.ec.SECP256R1())
    then = datetime.now(UTC) - timedelta(days=60)
    usage = certificates.ExtendedKeyUsageOID.CLIENT_AUTH
    made = certificates._certificate("late", key, root, signer, (then, then + timedelta(days=30)), usage)
    folder.mkdir()
    secret = key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.PKCS8, ser.NoEncryption())
    (folder / "client.key").write_bytes(secret)
    (folder / "client.pem").write_bytes(made.public_bytes(ser.Encoding.PEM))
    return folder


@pytest.mark.parametrize("who", ["nobody", "foreign", "expired"])
def test_others_are_refused(secured, tls, tmp_path, who):
    client = {"nobody": None, "foreign": tls / "foreign"}.get(who) or (
        expired(tmp_path / "late", tls / "ours") if who == "expired" else None
    )
    with pytest.raises(grpc.RpcError) as error:
        over_grpc(secured.address["grpc"], tls / "ours", client)
    assert error.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    try:
        _, answer = over_http(secured.address["http"], tls / "ours", client)
    except OSError:  # ssl's errors too
        answer = b""
    assert answer == b""
    over_grpc(secured.address["grpc"], tls / "ours", tls / "ours")  # it lives


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_tls_1_2_is_refused(secured, tls, protocol):
    with pytest.raises(OSError, match=r"(?i)handshake|protocol|reset|eof|alert"):
        over_http(secured.address[protocol], tls / "ours", tls / "ours", ssl.TLSVersion.TLSv1_2)


def test_a_client_that_does_not_trust_our_authority_refuses_the_server(secured, tls):
    with pytest.raises(grpc.RpcError):
        over_grpc(secured.address["grpc"], tls / "foreign", tls / "ours")
    with pytest.raises(ssl.SSLError):
        over_http(secured.address["http"], tls / "foreign", tls / "ours")


def test_plain_clients_are_refused(secured):
    with grpc.insecure_channel(secured.address["grpc"]) as channel, pytest.raises(grpc.RpcError):
        service.GRPCInferenceServiceStub(channel).ServerLive(pb.ServerLiveRequest(), timeout=10)


def test_other_machines_are_let_in_only_by_tls_or_by_name(toys, keys):
    for option in ("--grpc", "--http"):
        said = servers.refused(toys["2"][0], "--key", keys / "signing.pub", option, "0.0.0.0:0")
        assert "nothing protects it" in said
    open_ = ("--grpc", "0.0.0.0:0", "--http", "0.0.0.0:0", "--insecure")
    with servers.serving(toys["2"][0], "--key", keys / "signing.pub", *open_, grpc=False, http=False) as running:
        assert set(running.address) == {"grpc", "http"}


def test_bad_files_are_refused(toys, keys, tls, tmp_path):
    assert "cannot be read" in servers.refused(toys["2"][0], "--key", keys / "signing.pub", "--tls", tmp_path)
    mixed = tmp_path / "mixed"
    mixed.mkdir()
    for name, source in (("server.key", "foreign"), ("server.pem", "ours"), ("ca.pem", "ours")):
        (mixed / name).write_bytes((tls / source / name).read_bytes())
    assert "do not fit together" in servers.refused(toys["2"][0], "--key", keys / "signing.pub", "--tls", mixed)


def test_a_changed_or_foreign_bundle_is_not_served(toys, keys, tmp_path, monkeypatch):
    from splitward.runtime.signing import make_pair

    make_pair(tmp_path / "other")
    assert "not signed" in servers.refused(toys["2"][0], "--key", tmp_path / "other" / "signing.pub")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert "no key" in servers.refused(toys["2"][0])
    half = (toys["2"][0] / "cloud.onnx").read_bytes()
    flipped = tmp_path / "flipped"
    flipped.mkdir()
    for file in toys["2"][0].iterdir():
        (flipped / file.name).write_bytes(file.read_bytes())
    (flipped / "cloud.onnx").write_bytes(half[:-1] + bytes([half[-1] ^ 1]))
    assert "damaged" in servers.refused(flipped, "--key", keys / "signing.pub")


def test_keys_are_never_overwritten(tls):
    with pytest.raises(BundleError, match="never overwritten"):
        make_certificates(tls / "ours")
    assert (tls / "ours" / "server.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("text", ["", "8001", "host:", "host:x", "host:65536", "::1:80", ":80", "h:-1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(UsageError, match="HOST:PORT"):
        parse_address(text, "--grpc")


@pytest.mark.parametrize(
    ("text", "loopback"),
    [("127.0.0.1:1", True), ("127.9.9.9:1", True), ("[::1]:1", True), ("localhost:1", True), ("0.0.0.0:1", False),
     ("[::]:1", False), ("192.0.2.1:1", False), ("example.org:1", False), ("localhost.example.org:1", False)],
)  # fmt: skip
def test_what_is_this_machine(text, loopback):
    assert parse_address(text, "--grpc").loopback is loopback
