"""Download with progress, resume, mirrors, a limit for stalls, and a checksum; a file appears whole or not at all.

Free of torch. ``pooch`` was looked at: it neither resumes nor tries mirrors, so this is ``urllib``.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from splitward.core.errors import DataError
from splitward.data.progress import Progress, Silent

CHUNK = 1 << 16
STALL_SECONDS = 30.0
"""A connection that sends nothing for so long is given up; the next try resumes where it stood."""
TRIES = 3
"""A mirror is left after so many connections in a row that brought less than ``CHUNK`` bytes."""


@dataclass(frozen=True)
class Remote:
    """A file of a data set: its name below the data directory, where it may be had, its official checksum.

    ``checksum``: ``sha256:HEX`` or ``md5:HEX`` (what its authors publish). ``size``: bytes, 0 where not known.
    ``members``: of a tar archive, the files to unpack beside it (then the archive is removed again).
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int = 0
    members: tuple[str, ...] = ()


class _TooLongError(OSError):
    """A server has more to send than the file has bytes."""


def checksum(path: Path, algorithm: str) -> str:
    """``algorithm:HEX`` of a file."""
    with path.open("rb") as file:
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"


def matches(path: Path, official: str) -> bool:
    """Whether a file has its official checksum."""
    return checksum(path, official.partition(":")[0]) == official


def fetch(remote: Remote, folder: Path, *, progress: Progress | None = None, stall: float = STALL_SECONDS) -> Path:
    """The verified file ``remote.name`` below ``folder``; downloaded where it is not there yet.

    An unfinished download is kept as ``NAME.part`` and continued by the next call. Raises DataError where every mirror
    failed, with the reason of each.
    """
    target = folder / remote.name
    if target.is_file() and matches(target, remote.checksum):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    progress = progress or Silent()
    reasons = []
    for url in remote.urls:
        reason = _from_mirror(url, remote, part, progress, stall)
        if reason is None:
            os.replace(part, target)  # noqa: PTH105 - the atomic one, by its plain name
            return target
        reasons.append(f"{url}: {reason}")
    raise DataError(f"{remote.name} could not be fetched ({'; '.join(reasons)}); try again, or copy it to {target}.")


def fetch_all(
    remotes: Iterable[Remote], folder: Path, *, progress: Progress | None = None, stall: float = STALL_SECONDS
) -> None:
    """Fetch every file of a data set; archives are unpacked and removed. What is there already is left alone."""
    for remote in remotes:
        if remote.members and all((folder / member).is_file() for member in remote.members):
            continue
        path = fetch(remote, folder, progress=progress, stall=stall)
        if remote.members:
            unpack(path, remote.members, folder)
            path.unlink()


def _from_mirror(url: str, remote: Remote, part: Path, progress: Progress, stall: float) -> str | None:
    """Complete ``part`` from one mirror; None when its checksum is right, else the reason why not."""
    reason, idle = "it sent nothing", 0
    fresh = False  # whether what is on disk is known to come from this mirror alone
    while idle < TRIES:
        before = part.stat().st_size if part.is_file() else 0
        fresh = fresh or before == 0
        try:
            _download(url, part, remote, progress, stall)
        except _TooLongError as error:  # not our file at all
            part.unlink(missing_ok=True)
            return str(error)
        except (OSError, http.client.HTTPException) as error:  # urllib's errors and timeouts are OSErrors
            reason = _said(error, stall)
            if isinstance(error, urllib.error.HTTPError) and error.code in (401, 403, 404, 410):
                return reason
            now = part.stat().st_size if part.is_file() else 0
            idle = 0 if now >= before + CHUNK else idle + 1
            continue
        finally:
            progress.finish()
        if part.is_file() and matches(part, remote.checksum):
            return None
        reason = "its checksum is wrong"
        part.unlink(missing_ok=True)
        if fresh:  # all of it came from here: a second time would bring the same
            return reason
        idle += 1
    return reason


def _download(url: str, part: Path, remote: Remote, progress: Progress, stall: float) -> None:
    """Append to ``part`` what it lacks; raises OSError or HTTPException where the connection ends too early."""
    have = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"User-Agent": "splitward", "Accept-Encoding": "identity"})
    if have:
        request.add_header("Range", f"bytes={have}-")
    try:
        response = urllib.request.urlopen(request, timeout=stall)
    except urllib.error.HTTPError as error:
        if error.code != http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            raise
        return  # we have all that there is (or more): the checksum decides
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if resumed and not (response.headers.get("Content-Range") or "").startswith(f"bytes {have}-"):
            raise OSError("it continued at another place than asked")
        if not resumed:
            have = 0  # the server sends everything from the start
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else remote.size or None
        if remote.size and total and total > remote.size:
            raise _TooLongError(f"it offers {total:,} bytes instead of {remote.size:,}")
        progress.start(f"fetching {remote.name}", total)
        progress.advance(have)
        with part.open("ab" if resumed else "wb") as file:
            while chunk := response.read1(CHUNK):
                file.write(chunk)
                have += len(chunk)
                progress.advance(len(chunk))
                if remote.size and have > remote.size:
                    raise _TooLongError(f"it sent more than {remote.size:,} bytes")
        if total is not None and have < total:
            raise OSError(f"the connection ended after {have:,} of {total:,} bytes")


def _said(error: Exception, stall: float) -> str:
    """A network error in a few words."""
    if isinstance(error, TimeoutError) or isinstance(getattr(error, "reason", None), TimeoutError):
        return f"it sent nothing for {stall:g} s"
    return str(error).strip().rstrip(".") or type(error).__name__


def unpack(archive: Path, members: Iterable[str], folder: Path) -> None:
    """Take exactly ``members`` (regular files) out of a tar archive into ``folder``. Raises DataError."""
    try:
        with tarfile.open(archive) as tar:
            for name in members:
                info = tar.getmember(name)
                source = tar.extractfile(info) if info.isfile() else None
                if source is None:
                    raise DataError(f"{name} in {archive.name} is no regular file; fetch the archive again.")
                target = folder / name
                target.parent.mkdir(parents=True, exist_ok=True)
                part = target.with_name(target.name + ".part")
                with source, part.open("wb") as file:
                    while chunk := source.read(1 << 20):
                        file.write(chunk)
                part.replace(target)
    except (KeyError, tarfile.TarError, EOFError, OSError) as error:
        raise DataError(f"{archive} cannot be unpacked: {str(error).strip().rstrip('.')}.") from None
