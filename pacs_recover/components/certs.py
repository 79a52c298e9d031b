"""The TLS certificates and keys: a whole directory, whatever its files are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from pacs_recover.components import Comparison, Job, Look, Unpack, compare_trees, unpack_tree, unpacking
from pacs_recover.errors import BadBackup
from pacs_recover.formats.streams import Reader
from pacs_recover.model import Backup, Preview, Step
from pacs_recover.target.trees import Entry
from pacs_recover.text import count

TREE = "certs"
LARGEST = 1 << 20
"""Bytes beyond which a file is taken for a key without looking."""


class Certs:
    """``certs_*.tar.enc`` and a live certificate directory."""

    name = "certs"

    def unpack(self, raw: Reader, backup: Backup, into: Path, look: Look) -> Unpack:
        """The directory as ``certs``. BadBackup, OSError."""
        return (yield from unpack_tree(raw, into, TREE, "", look.site.limits.of_archives()))

    def settle(self, content: Path, look: Look) -> None:
        """The copied directory as ``certs``."""
        (content / look.live["certs"].name).rename(content / TREE)

    def preview(self, content: Path, look: Look) -> Preview:
        """Every certificate and key: dates, names, chain, which key belongs to which."""
        return _preview(content / TREE)

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """Files that would come, go or change."""
        return Comparison(tuple(compare_trees("certs", content / TREE, look.live["certs"])))

    def prepare(self, job: Job) -> Iterator[Step]:
        """Unpack, prove, seal."""
        yield unpacking(self, job, "Decrypt and unpack the certificate backup and check its hash")
        yield Step(
            "The restored certificates are valid and their keys match",
            lambda: prove(job.target.staging("certs") / TREE),
            kind="check",
            covers="Certificates verify successfully",
        )
        if not goes_with_config(job):
            yield Step("Give the restored certificates owner and modes", lambda: self._seal(job))

    def swap(self, job: Job) -> Iterator[Step]:
        """One rename out, one in; none where they come with the configuration's own tree."""
        if not goes_with_config(job):
            yield Step("Set the live certificates aside", lambda: job.target.set_aside("certs"))
            yield Step("Put the restored certificates in place", lambda: job.target.put("certs"))

    def _seal(self, job: Job) -> str:
        return job.target.seal_as("certs", job.target.staging("certs") / TREE, modes)


def goes_with_config(job: Job) -> bool:
    """Whether the certificates lie in the configuration's tree and both are restored: then they go in with it."""
    return {"config", "certs"} <= job.choices.keys() and job.look.live["certs"].is_relative_to(job.look.live["config"])


def _preview(tree: Path) -> Preview:
    from pacs_recover.formats import x509  # deferred: cryptography takes longer to load than all of a small restore

    return x509.preview(tree)


def prove(tree: Path) -> str:
    """Evidence that no fact about these certificates is bad. BadBackup."""
    seen = _preview(tree)
    bad = [f"{fact.label}: {fact.value}" for fact in seen.facts if fact.state == "bad"]
    if bad:
        raise BadBackup("; ".join(bad), "choose another: pacs-recover catalog certs")
    return f"{count(len(seen.details['certificates']), 'certificate')} valid, keys match"


def modes(tree: Path) -> Callable[[Entry], int]:
    """The mode of each entry of this certificate directory."""
    return lambda entry: certificate_mode(tree, entry)


def certificate_mode(tree: Path, entry: Entry) -> int:
    """0600 for every file that holds a private key, whatever it is called, and 0644 for the others."""
    if entry.kind == "directory":
        return entry.mode & 0o755 | 0o700
    return 0o600 if holds_key(tree, entry) else 0o644


def holds_key(tree: Path, entry: Entry) -> bool:
    """Whether a file is or may be a key: by its name, or by what a PEM file says of itself."""
    if not entry.name.endswith((".crt", ".cer", ".pem")) or entry.size > LARGEST:
        return True
    return b"PRIVATE KEY" in (tree / entry.name).read_bytes()


CERTS = Certs()
