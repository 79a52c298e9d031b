"""The configuration tree: restored whole, but the live certificates, keys and Git history stay."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from pacs_recover.components import Comparison, Job, Look, Unpack, compare_trees, unpack_tree, unpacking
from pacs_recover.components.certs import certificate_mode, goes_with_config
from pacs_recover.errors import BadBackup, RecoverError
from pacs_recover.formats import masking, settings, settings_rules
from pacs_recover.formats.streams import Reader
from pacs_recover.formats.yaml_marks import SIZE_LIMIT
from pacs_recover.model import Backup, Fact, Preview, Step
from pacs_recover.services.calls import NoAnswer, call
from pacs_recover.target import places, trees
from pacs_recover.target.trees import Entry
from pacs_recover.text import count, safe

TREE = "config"
MERGED = "merged"
KEPT = ".git"
"""The live tree's own history, which no archive may replace."""
VALIDATOR_TIMEOUT = 60.0
"""Seconds that the site's validator may take."""


class Config:
    """``config_*.tar.gz`` and a live configuration tree."""

    name = "config"

    def unpack(self, raw: Reader, backup: Backup, into: Path, look: Look) -> Unpack:
        """The tree as ``config``. BadBackup, OSError."""
        return (yield from unpack_tree(raw, into, TREE, look.site.live.config_file, look.site.limits.of_archives()))

    def settle(self, content: Path, look: Look) -> None:
        """The copied tree as ``config``."""
        (content / look.live["config"].name).rename(content / TREE)

    def preview(self, content: Path, look: Look) -> Preview:
        """Files, sections, needed variables and what the service would not accept."""
        tree = content / TREE
        loaded = settings.read(tree / look.site.live.config_file)
        seen = settings_rules.preview(loaded, look.environment)
        files = [entry for entry in trees.entries(tree, hashed=False) if entry.kind == "file"]
        facts = (Fact("files", count(len(files), "file")), *seen.facts, *_secrets(files))
        return Preview(facts, {**seen.details, "files": [safe(entry.name) for entry in files]})

    def compare(self, content: Path, look: Look, scratch: Path) -> Comparison:
        """Files that would come, go or change, and the configuration's own difference with secrets masked."""
        live, tree, name = look.live["config"], content / TREE, look.site.live.config_file
        keep = lambda entry: is_kept(entry.name, look)  # noqa: E731
        changes = tuple(compare_trees("config", tree, live, keep))
        return Comparison(changes, diff=tuple(masking.diff(_text(live / name), _text(tree / name), name)))

    def prepare(self, job: Job) -> Iterator[Step]:
        """Unpack, prove, merge what stays, prove again, seal."""
        yield unpacking(self, job, "Unpack the configuration backup and check its hash")
        yield Step(
            "The restored configuration is valid",
            lambda: self._valid(job),
            kind="check",
            covers="Configuration validates successfully",
        )
        yield Step("Keep the live certificates, keys and Git history", lambda: self._merge(job))
        yield Step(
            "Certificates and keys match in the restored configuration",
            lambda: self._match(job),
            kind="check",
            covers="Certificates verify successfully",
        )
        yield Step("Give the restored configuration owner and modes", lambda: self._seal(job))

    def swap(self, job: Job) -> Iterator[Step]:
        """One rename out, one in."""
        yield Step("Set the live configuration aside", lambda: job.target.set_aside("config"))
        yield Step("Put the restored configuration in place", lambda: job.target.put("config"))

    def _valid(self, job: Job) -> str:
        staged = job.target.staging("config") / TREE / job.look.site.live.config_file
        seen = settings_rules.preview(settings.read(staged), job.look.environment)
        bad = [f"{fact.label}: {fact.value}" for fact in seen.facts if fact.state == "bad"]
        if bad:
            raise BadBackup("; ".join(bad), "choose another: pacs-recover catalog config")
        return f"the service's rules: ok; {validate(job.look.site.validator, staged)}"

    def _merge(self, job: Job) -> str:
        staging, live = job.target.staging("config"), job.look.live["config"]
        merged = staging / MERGED
        places.remove_tree(merged)
        trees.copy(staging / TREE, merged)
        kept = list(merge(merged, live, job))
        return f"kept: {', '.join(map(safe, kept))}" if kept else "nothing live to keep"

    def _match(self, job: Job) -> str:
        look, merged = job.look, job.target.staging("config") / MERGED
        tree = settings.expand(settings.read(merged / look.site.live.config_file), look.environment).tree
        facts = [fact for section in settings.tls_pairs(tree) for fact in _proofs(section, merged, look)]
        bad = [f"{safe(fact.label)}: {fact.value}" for fact in facts if fact.state == "bad"]
        if bad:
            raise BadBackup("; ".join(bad), "restore the certificates with it: pacs-recover plan config certs")
        return "; ".join(f"{fact.label} {fact.value}" for fact in facts) or "no TLS section is enabled"

    def _seal(self, job: Job) -> str:
        site = job.look.site
        certs = relative_certs(job.look)

        def modes(tree: Path) -> Callable[[Entry], int]:
            def mode(entry: Entry) -> int:
                if entry.kind == "directory":
                    return entry.mode & 0o755 | 0o700
                if certs and entry.name.startswith(certs + "/"):
                    return certificate_mode(tree, entry)
                secret = entry.name == site.live.config_file or entry.name.endswith(".key")
                return 0o600 if secret else entry.mode & 0o755

            return mode

        return job.target.seal_as("config", job.target.staging("config") / MERGED, modes)


def _proofs(section: settings.TlsSection, merged: Path, look: Look) -> Iterator[Fact]:
    """Whether an enabled TLS section finds its files, and whether certificate and key belong together."""
    cert, key, ca = (relocated(path, merged, look) for path in section[1:])
    if cert and key:
        from pacs_recover.formats import x509

        yield x509.matching(cert, key)
    for path in (cert, key, ca):
        if path and not path.exists():
            yield Fact(section[0], f"there is no {safe(path.name)}", "bad")
    if not (cert and key):
        yield Fact(section[0], "names its files by variables that are not known here: not checked", "warn")


def merge(merged: Path, live: Path, job: Job) -> Iterator[str]:
    """Carry over what must stay: certificates (of this run or live), Git's directory, keys anywhere."""
    certs = relative_certs(job.look)
    if certs and goes_with_config(job):
        replace(job.target.staging("certs") / "certs", merged / certs)
        yield f"{certs} (from its own backup)"
    elif certs and has_files(live / certs):
        replace(live / certs, merged / certs)
        yield certs
    if places.identity(live / KEPT):
        replace(live / KEPT, merged / KEPT)
        yield KEPT
    for entry in trees.entries(live, hashed=False) if places.identity(live) else ():
        if entry.kind == "file" and entry.name.endswith(".key") and not places.identity(merged / entry.name):
            places.make_directories((merged / entry.name).parent)
            trees.copy(live / entry.name, merged / entry.name)
            yield entry.name


def replace(source: Path, destination: Path) -> None:
    """Copy over whatever the archive had there, inside our own staging."""
    if destination.is_dir() and not destination.is_symlink():
        shutil.rmtree(destination)
    elif places.identity(destination):
        destination.unlink()
    places.make_directories(destination.parent)
    trees.copy(source, destination)


def has_files(tree: Path) -> bool:
    """Whether any file lives in a directory."""
    return places.identity(tree) is not None and any(e.kind == "file" for e in trees.entries(tree, hashed=False))


def relative_certs(look: Look) -> str:
    """Where the certificates lie inside the configuration; empty where they lie elsewhere."""
    certs, config = look.live["certs"], look.live["config"]
    return str(certs.relative_to(config)) if certs.is_relative_to(config) else ""


def is_kept(name: str, look: Look) -> bool:
    """Whether a live entry stays, whatever the archive says."""
    certs = relative_certs(look)
    parts = name.split("/")
    return (
        parts[0] == KEPT or name.endswith(".key") or (bool(certs) and (name == certs or name.startswith(certs + "/")))
    )


def relocated(path: str | None, merged: Path, look: Look) -> Path | None:
    """Where a file that the configuration names lies now: in staging if it is in the tree, else where it says."""
    if path is None:
        return None
    declared = Path(path)
    for home in (look.site.live.config, look.live["config"]):
        if declared.is_relative_to(home):
            return merged / declared.relative_to(home)
    return declared if declared.is_absolute() else merged / declared


def validate(argv: tuple[str, ...] | None, staged: Path) -> str:
    """Run the site's own validator on the staged file. BadBackup where it says no; RecoverError where it cannot run."""
    if not argv:
        return "no validator is configured"
    command = [word.replace("{config}", str(staged)) for word in argv]
    try:
        code = call(command, VALIDATOR_TIMEOUT, quiet=True).code
    except NoAnswer as error:
        raise RecoverError(
            f"the validator is not available: {error.message}", "mend or remove `validator` in the site file"
        ) from error
    if code != 0:
        raise BadBackup(f"the validator {safe(argv[0])} refuses it (exit {code})", "choose another backup")
    return f"{safe(argv[0])}: exit 0"


def _text(path: Path) -> str:
    """A configuration file as far as one can be long; nothing where it is none, without waiting at a pipe."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as file:
            is_file = stat.S_ISREG(os.fstat(fd).st_mode)
            return file.read(SIZE_LIMIT).decode(errors="replace") if is_file else ""
    except OSError:
        return ""


def _secrets(files: list[Entry]) -> tuple[Fact, ...]:
    keys = [safe(entry.name) for entry in files if entry.name.endswith(".key")]
    return (Fact("private keys in it", ", ".join(keys), "warn"),) if keys else ()


CONFIG = Config()
