"""Before anything is stopped, a plan says where the parts of a set do not fit each other or what stays."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pacs_recover import looks, sets
from pacs_recover import plan as plans
from pacs_recover.cli.context import Context
from pacs_recover.components import agreement
from pacs_recover.demo.site_maker import build
from pacs_recover.model import Fact
from pacs_recover.plan import Plan
from pacs_recover.selection import moment, select
from tests.runs.small_site import SmallSite, outcome


def packed(tree: Path, into: Path, without: str = "") -> Path:
    """A configuration archive of a tree; ``without`` leaves out the files whose names end so, as the guide does."""
    with tarfile.open(into, "w:gz") as archive:
        archive.add(tree, "pacs_bridge", filter=lambda one: None if without and one.name.endswith(without) else one)
    return into


def sealed(files: dict[str, bytes], into: Path, key_file: Path) -> Path:
    """A certificate backup of these files, encrypted as the guide does it."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(f"certs/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    command = ["openssl", "enc", "-aes-256-cbc", "-salt", "-pbkdf2", "-pass", f"file:{key_file}", "-out", str(into)]
    subprocess.run(command, input=plain.getvalue(), check=True)
    return into


def about(plan: Plan, *labels: str) -> list[Fact]:
    """The findings with one of these labels."""
    return [fact for fact in plan.findings if fact.label in labels]


@pytest.fixture
def config(small: SmallSite, tmp_path: Path) -> Path:
    """A configuration tree to change."""
    return Path(shutil.copytree(small.config, tmp_path / "pacs_bridge"))


def rewritten(small: SmallSite, config: Path, old: str, new: str, into: Path) -> Path:
    """The configuration with one text replaced, packed without keys."""
    file = config / small.site.live.config_file
    text = file.read_text()
    assert re.search(old, text), old
    file.write_text(re.sub(old, new, text))
    return packed(config, into, ".key")


def certificates(small: SmallSite) -> dict[str, bytes]:
    """The live ones."""
    return {path.name: path.read_bytes() for path in (small.config / "certs").iterdir()}


def test_the_key_less_archive_of_the_guide_is_flagged_with_where_its_keys_come_from(small: SmallSite) -> None:
    good = small.demo.good
    (alone,) = about(small.plan(good["config"]), "private keys")
    assert alone.state == "ok"
    assert alone.value.endswith("client.key, server.key among the live certificates")
    (together,) = about(small.plan(good["config"], good["certs"]), "private keys")
    assert together.value.endswith("client.key, server.key in the certificate backup")
    shutil.rmtree(small.config / "certs")
    plan = small.plan(good["config"])
    lost = [fact for fact in plan.refusals if "server.key is missing" in fact.value]
    assert {fact.label for fact in lost} == {"hl7.listener.tls", "fhir.server.tls"}
    assert "it is not in the configuration backup nor in the live configuration" in lost[0].value
    code, run = small.restore(plan)
    assert (code, outcome(run).outcome, small.calls()) == (6, "failed_untouched", [])
    assert not small.plan(good["config"], good["certs"]).refusals


def test_a_certificate_backup_that_lacks_what_the_configuration_names(small: SmallSite, tmp_path: Path) -> None:
    key_file, files = small.site.key_file, certificates(small)
    files.pop("client.crt")
    lacking = str(sealed(files, tmp_path / "certs_20260101_000000.tar.enc", key_file))
    for ids in ((lacking,), (small.demo.good["config"], lacking)):
        (missing,) = small.plan(*ids).refusals
        assert missing.label == "hl7.outbound[0].tls"
        assert "certs/client.crt is missing: it is not in the certificate backup" in missing.value


def test_a_certificate_backup_of_somebody_else_warns(small: SmallSite, tmp_path: Path) -> None:
    key_file, files = small.site.key_file, certificates(small)
    more = str(sealed(files | {"old.key": files["server.key"]}, tmp_path / "certs_20260102_000000.tar.enc", key_file))
    (strange,) = about(small.plan(more), "certificates")
    assert (strange.state, strange.value) == (
        "warn",
        "the configuration names no old.key, a private key in the backup",
    )
    renamed = {f"other-{name}": content for name, content in files.items()}
    others = small.plan(str(sealed(renamed, tmp_path / "certs_20260103_000000.tar.enc", key_file)))
    (stranger,) = about(others, "certificates")
    assert "none of the 6 files in the backup is named by the configuration" in stranger.value
    assert others.refusals


def test_a_configuration_that_names_another_queue(small: SmallSite, config: Path, tmp_path: Path) -> None:
    other = rewritten(small, config, r'database_path: ".*"', 'database_path: "/srv/q.db"', tmp_path / "config.tar.gz")
    archive = str(other.rename(tmp_path / "config_20260101_000000.tar.gz"))
    (alone,) = about(small.plan(archive), "queue.database_path")
    assert alone.state == "warn"
    (together,) = about(small.plan(archive, small.demo.good["queue"]), "queue.database_path")
    assert together.state == "bad"
    assert "the configuration names /srv/q.db" in together.value
    assert "the restored queue would not be used" in together.value
    shutil.copy(config / "config.yaml", small.config / "config.yaml")
    assert [fact.state for fact in about(small.plan(small.demo.good["queue"]), "queue.database_path")] == ["bad"]


def test_variables_are_expanded_with_what_the_service_gets_else_it_is_said(
    small: SmallSite, config: Path, tmp_path: Path
) -> None:
    rewritten(small, config, "cert_path: .*", 'cert_path: "${CERTIFICATE}"', tmp_path / "config.tar.gz")
    (tmp_path / "config").mkdir()
    config.rename(tmp_path / "config" / "config")
    look = replace(looks.look(small.site), restored={"config": tmp_path / "config"})
    unknown = list(agreement.findings(replace(look, environment=None)))
    assert {fact.label for fact in unknown if "not checked" in fact.value} >= {"hl7.listener.tls", "fhir.server.tls"}
    values = look.environment or {}
    known = agreement.findings(replace(look, environment={**values, "CERTIFICATE": f"{small.config}/certs/client.crt"}))
    assert list(known) == []
    wrong = agreement.findings(replace(look, environment={**values, "CERTIFICATE": f"{tmp_path}/nowhere.crt"}))
    assert {fact.value for fact in wrong if fact.state == "bad"} == {
        f"{tmp_path}/nowhere.crt is missing: it is not on this host"
    }


def test_a_live_configuration_that_cannot_be_read_makes_it_unknown(small: SmallSite) -> None:
    (small.config / "config.yaml").write_text("{[")
    (fact,) = about(small.plan(small.demo.good["certs"]), "agreement")
    assert fact.state == "warn"
    assert "is not known" in fact.value


@pytest.mark.needs("git", reason="a real history")
def test_a_set_of_real_sources_is_planned_as_it_is_proposed(tmp_path: Path) -> None:
    demo = build(tmp_path / "site", datetime.now(UTC), messages=40, every_kind=True)
    context = Context(demo.site_file, tmp_path / "state", False)
    context.state.prepare()
    found = context.catalog()
    proposed = sets.propose(found)
    sources = {backup.source for one in proposed for backup in one.members}
    assert len(sources) > 2, sources
    replicated = next(one for one in proposed if any(b.source == "replica" for b in one.members))
    made = plans.make(context.site, select(found, ["full"], at=moment(sets.exact(replicated.anchor))), context.state)
    assert tuple(choice.backup for choice in made.request.choices) == replicated.members
    assert [backup["skew_seconds"] for backup in looks.plan_json(made)["backups"]] == [
        replicated.skew(backup) for backup in replicated.members
    ]
