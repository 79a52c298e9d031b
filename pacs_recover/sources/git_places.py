"""Where a Git repository is, as a site file names it, and what it means when git cannot read it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from pacs_recover.errors import SourceError
from pacs_recover.text import safe

KINDS = "name a path, or a URL of ssh, https or file"
SHORT = re.compile(r"(?:[A-Za-z0-9_][^/:@\s]*@)?(?:[A-Za-z0-9_][^/:@\s]*|\[[0-9A-Fa-f:.]+\]):(?!:)\S.*")
"""ssh's short form, ``git@host:path``; two colons would name a program of git's to run."""
NO_NAME = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|[/.]$")
"""What no name of a branch has (git check-ref-format)."""


class Place(Struct, frozen=True):
    """A repository's whereabouts: a path on this host, or the URL of another."""

    shown: str
    """Safe to show: without a user's name or token."""
    path: Path | None = None
    url: str = ""
    protocol: str = ""
    """The only one that git may use to reach it."""


def place_of(repository: str) -> Place:
    """What a site file names. SourceError where it is nothing that is read here."""
    if not repository or not repository.isprintable() or repository.startswith("-"):
        raise SourceError(f"{safe(repository)!r} names no repository", KINDS)
    if "://" in repository:
        return _url(repository)
    if not repository.startswith(("/", ".", "~")) and ":" in repository.split("/")[0]:
        if not SHORT.fullmatch(repository):
            raise SourceError(f"{safe(repository)} is no repository that is read here", KINDS)
        return Place(safe(repository), None, repository, "ssh")
    path = Path(os.path.expanduser(repository)).absolute()  # noqa: PTH111 - Path's own raises for an unknown user
    return Place(safe(path), path)


def _url(repository: str) -> Place:
    scheme = repository.partition("://")[0].lower()
    try:
        parts = urlsplit(repository)
        host, secret = parts.hostname or "", parts.password
    except ValueError as error:
        raise SourceError(f"a repository's URL of {safe(scheme)} is none", KINDS) from error
    if secret is not None:
        hint = "keep passwords in ~/.netrc, keys in ~/.ssh, of the user that runs this"
        raise SourceError(f"the URL of the repository on {safe(host)} has a password in it", hint)
    if scheme == "file" and host in ("", "localhost"):
        path = Path(unquote(parts.path))
        return Place(safe(path), path)
    if scheme not in ("ssh", "https") or not host or host.startswith("-"):
        raise SourceError(f"a repository's URL of {safe(scheme)} for {safe(host)!r} is not read here", KINDS)
    shown = repository if scheme == "ssh" else repository.replace(parts.netloc, parts.netloc.rpartition("@")[2], 1)
    return Place(safe(shown), None, repository, scheme)


def branch_reference(branch: str | None) -> str:
    """The full name of what a branch stands for on a remote. SourceError where there can be none."""
    if branch is None:
        return "HEAD"
    if not branch or NO_NAME.search(branch):
        raise SourceError(f"there can be no branch {safe(branch)!r}", "mend `branch` in the site file")
    return branch if branch.startswith("refs/") else f"refs/heads/{branch}"


def directory_of(text: str) -> str:
    """A directory inside a repository, without needless slashes. SourceError where it climbs or is not plain."""
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if ".." in parts or (text and not text.isprintable()):
        raise SourceError(f"{safe(text)!r} is no directory of a repository", "mend `directory` in the site file")
    return "/".join(parts)


KNOW_HOST = "connect once by hand (ssh HOST), compare the fingerprint with the server's own, and accept it"
SIGN_IN = "see that this user's key (~/.ssh) or password (~/.netrc) is allowed to read it; test: git ls-remote URL"
REACH = "is the host up, its name right, and the way to it open?"
TRUST = "name the authority's file in GIT_SSL_CAINFO, or add it to this host's own; is the clock right?"
CAUSES = (
    ("REMOTE HOST IDENTIFICATION HAS CHANGED", "the host key is not the known one: perhaps another host", KNOW_HOST),
    ("Host key verification failed", "the host key is not known, or not the known one", KNOW_HOST),
    ("Could not resolve host", "the host's name cannot be resolved", REACH),
    ("Connection refused", "the connection is refused", REACH),
    ("Couldn't connect to server", "the connection is refused, or there is no way to the host", REACH),
    ("timed out", "the host does not answer", REACH),
    ("No route to host", "there is no route to the host", REACH),
    ("Network is unreachable", "the network cannot be reached", REACH),
    ("Operation too slow", "the host answers too slowly", REACH),
    ("certificate", "TLS: the server's certificate is not trusted", TRUST),
    ("Permission denied (", "the host refuses this user's key", SIGN_IN),
    ("Too many authentication failures", "the host refuses this user's keys", SIGN_IN),
    ("could not read Username", "the host wants a name and password", SIGN_IN),
    ("could not read Password", "the host wants a password", SIGN_IN),
    ("Authentication failed", "the host refuses the name or password", SIGN_IN),
    ("error: 403", "the host denies access", SIGN_IN),
    (
        "dubious ownership",
        "the host's git does not trust the repository's owner",
        "on that host: git config safe.directory",
    ),
    ("does not appear to be a git repository", "there is no Git repository", KINDS),
    ("not a git repository", "it is no Git repository", KINDS),
    ("not found", "there is no Git repository, or this user may not see it", SIGN_IN),
    ("cannot run ssh", "there is no ssh on this host", "install an ssh client"),
    ("No space left", "there is no space left for its history", "make room, or set TMPDIR"),
)
"""What git, ssh and curl print (in English), what it means, and what to do about it."""


def explained(place: Place, said: str, branch: str | None = None) -> SourceError:
    """The error for what git complained of."""
    if "couldn't find remote ref" in said:
        if branch is None:
            return SourceError(f"{place.shown}: it has no commits, or its HEAD names no branch", "name a `branch`")
        return SourceError(f"{place.shown}: there is no branch {safe(branch)}", "see: git ls-remote --heads")
    for sign, reason, hint in CAUSES:
        if sign.lower() in said.lower():
            return SourceError(f"{place.shown}: {reason}", hint)
    if place.url and place.protocol == "https":
        said = said.replace(place.url, place.shown).replace(urlsplit(place.url).netloc, urlsplit(place.shown).netloc)
    return SourceError(f"{place.shown}: {said or 'git failed'}", "try by hand: git ls-remote, git fsck")
