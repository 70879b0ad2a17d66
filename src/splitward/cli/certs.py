"""``splitward certs``: a test authority with certificates for both sides, and a pair of keys to sign bundles with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def certs_command(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder for them.")],
    host: Annotated[
        list[str] | None, typer.Option("--host", help="Names and addresses of the cloud, beside localhost.")
    ] = None,
    days: Annotated[int, typer.Option("--days", min=1, max=3650, help="How long the certificates are valid.")] = 30,
) -> None:
    """Make a test authority, a certificate for the cloud and one for a device, and a signing pair.

    For tests and small installations: the authority's key lies beside what it signed.
    """
    from splitward.runtime.certificates import make_certificates
    from splitward.runtime.signing import make_pair

    make_certificates(folder, tuple(host or ()), days)
    make_pair(folder)
    typer.echo(f"{folder}: ca.pem, server.pem, client.pem and their keys (valid {days} days); signing.key, signing.pub")
