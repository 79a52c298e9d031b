"""Backups in a bucket, through the real command: restored, and what stops a restore before it begins."""

from __future__ import annotations

import hashlib
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.cli.offsite import LIVE, of_downloads, on, section, stored, untouched, upload
from tests.cli.shell import Shell, journalled
from tests.cli.test_json_documented import check
from tests.runs.small_site import SmallSite, rows
from tests.sources.git_repos import Repo
from tests.sources.s3_asked import make
from tests.sources.s3_proxy import Fault, Meddle, Request
from tests.sources.s3_server import Bucket, authority, server

__all__ = ["make"]

Make = Callable[..., Bucket]
SECRETS = {"AWS_SECRET_ACCESS_KEY": "kept/by+the/operator", "AWS_SESSION_TOKEN": "a-token-of-the-operators-session"}


def ids(shell: Shell, *words: str) -> dict[str, str]:
    """What the catalog calls the backups in the bucket, by component."""
    return {one["component"]: one["id"] for one in shell("catalog", *words, "--json", code=0).json["backups"]}


def said(shell: Shell, *words: str) -> str:
    """The text that it prints, unwrapped."""
    return " ".join(shell(*words, code=0).out.split())


def restoring(shell: Shell, plan: str, code: int) -> list[dict[str, Any]]:
    """The lines of an armed restore that ends so."""
    return shell("restore", "--yes", "--plan", plan, "--json", code=code).lines


def test_all_three_components_come_back_from_a_bucket_and_no_secret_stays(
    small: SmallSite, make: Make, tmp_path: Path
) -> None:
    upload(small, bucket := make())
    shell = on(small, section(bucket))
    shell.env |= SECRETS
    there = ids(shell)
    assert {name.partition("@")[2] for name in there.values()} == {"s3"}
    seen = shell("preview", there["queue"], "--json", code=0).json
    facts = {fact["label"]: fact["value"] for fact in seen["facts"]}
    assert facts["storage"] == "STANDARD: it is not archived"
    assert "read to its end" in facts
    assert seen["backup"]["storage_class"] == "STANDARD"
    assert shell("diff", there["config"], "--json", code=0).json["changes"]
    shell("extract", there["certs"], str(tmp_path / "out"), code=0)
    assert list((tmp_path / "out").rglob("server.crt"))
    plan = shell("plan", "full", "--json", code=0).json
    hashes = {name: hashlib.sha256(stored(small, name).read_bytes()).hexdigest() for name in LIVE}
    assert {one["component"]: one["sha256"] for one in plan["backups"]} == hashes
    report = restoring(shell, plan["plan_id"], 0)[-1]
    assert report["outcome"] == "restored"
    assert small.calls() == ["stopped", "started"]
    assert rows(small.queue)["message_queue"] == {t["name"]: t["rows"] for t in seen["tables"]}["message_queue"]
    kept = [path for path in (small.root / "state").rglob("*") if path.is_file()]
    assert {"journal.jsonl", "request.json", "worker.log"} <= {path.name for path in kept}
    for path in kept:
        assert not [secret for secret in SECRETS.values() if secret.encode() in path.read_bytes()], path


def test_a_deleted_backup_is_shown_as_one_never_taken_by_itself_and_restored_by_its_id(
    small: SmallSite, make: Make
) -> None:
    bucket = make(versions=True)
    key = upload(small, bucket, "config")["config"]
    bucket.delete(key)
    shell = on(small, section(bucket))
    found = shell("catalog", "--json", code=0).json["backups"]
    (deleted,) = found
    assert not deleted["current"]
    assert "deleted" in [fact["label"] for fact in deleted["findings"]]
    assert "DELETED: 20" in said(shell, "catalog")
    assert "no backup of config" in shell("plan", "config", "--json", code=3).error["message"]
    plan = shell.plan("config", backup=deleted["id"])
    bucket.put(key, b"written over it meanwhile: a plan names its version")
    assert restoring(shell, plan, 0)[-1]["outcome"] == "restored"


def test_a_server_of_an_own_authority_is_restored_from(small: SmallSite, make: Make) -> None:
    import boto3

    bucket, bundle = make(), authority().bundle
    endpoint = f"https://127.0.0.1:{server(tls=True)}"
    direct = boto3.client("s3", endpoint_url=endpoint, region_name="us-east-1", verify=str(bundle))
    direct.create_bucket(Bucket=bucket.name)
    path = stored(small, "certs")
    direct.put_object(Bucket=bucket.name, Key=f"site-a/certs/{path.name}", Body=path.read_bytes())
    direct.close()
    shell = on(small, section(bucket, endpoint=endpoint, ca_bundle=str(bundle)))
    assert restoring(shell, shell.plan("certs"), 0)[-1]["outcome"] == "restored"
    alone = on(small, section(bucket, endpoint=endpoint))("catalog", "--json", code=3).json["sources"][0]
    assert "authority that this host does not trust" in alone["error"]
    assert "ca_bundle" in alone["hint"]


def test_an_object_that_was_replaced_since_the_plan_is_refused_before_a_run_begins(
    small: SmallSite, make: Make
) -> None:
    key = upload(small, bucket := make(), "config")["config"]
    shell = on(small, section(bucket))
    plan = shell.plan("config")
    bucket.put(key, stored(small, "config").read_bytes() + b"\0")
    with untouched(small):
        error = shell("restore", "--yes", "--plan", plan, "--json", code=3).error
    assert "replaced since it was listed" in error["message"]
    assert not list((small.root / "state/runs").iterdir())


def replaced(bucket: Bucket, key: str) -> Meddle:
    """The object is written anew just before it is asked for."""
    return lambda _: bucket.put(key, b"something else") and None  # type: ignore[func-returns-value]


LATE: dict[str, tuple[Callable[[Bucket, str], Meddle], str]] = {
    "replaced": (replaced, "replaced since it was listed"),
    "cut": (lambda *_: lambda _: Fault(cut=0), "less than it said"),
    "truncated": (lambda *_: lambda _: Fault(body=b"x" * 100, status=200), "does not match its MD5"),
    "expired": (lambda *_: lambda _: Fault("ExpiredToken", status=400), "have expired"),
}


def test_whatever_ends_a_runs_download_ends_it_before_the_stop(small: SmallSite, make: Make) -> None:
    for name, (does, said) in LATE.items():
        key = upload(small, bucket := make(), "config")["config"]
        shell = on(small, section(bucket))
        plan = shell.plan("config")
        # the command's own check reads it once more before the worker does
        with untouched(small), bucket.proxy.meddling(of_downloads(bucket, key, 1, does(bucket, key))):
            lines = restoring(shell, plan, 3)
        assert lines[-1]["outcome"] == "failed_untouched", name
        assert said in lines[-1]["reason"], (name, lines[-1]["reason"])
        assert f"s3://{bucket.name}/{key}" in lines[-1]["reason"], name
        assert lines[-1]["failure"]["hint"], name


def test_a_connection_that_is_cut_in_mid_download_is_gone_on_with(small: SmallSite, make: Make) -> None:
    key = upload(small, bucket := make(), "queue")["queue"]
    shell = on(small, section(bucket))
    plan, cuts = shell.plan("queue"), list[Request]()

    def cutting(request: Request) -> Fault | None:
        cuts.append(request)
        return Fault(cut=500) if len(cuts) <= 3 else None

    with bucket.proxy.meddling(of_downloads(bucket, key, 1, cutting)):
        assert restoring(shell, plan, 0)[-1]["outcome"] == "restored"
    starts = [request.headers["range"].partition("-")[0] for request in cuts]
    assert starts == ["bytes=0", "bytes=500", "bytes=1000", "bytes=1500"]


def test_an_archived_backup_is_thawed_after_a_yes_and_then_restored(small: SmallSite, make: Make) -> None:
    upload(small, bucket := make(), "certs", StorageClass="GLACIER")
    shell = on(small, section(bucket))
    (found,) = shell("catalog", "--json", code=0).json["backups"]
    assert (found["readable"], found["storage_class"]) == (False, "GLACIER")
    assert "COLD: GLACIER: can be read after a thaw" in said(shell, "catalog")
    thaw = f"pacs-recover thaw {found['id']}"
    for words in (("preview", found["id"]), ("plan", "certs", "--backup", found["id"]), ("plan", "certs")):
        error = shell(*words, "--json", code=3).error
        assert error["hint"] == thaw, words
        assert "archived" in error["message"], words
    assert "slower than the RTO of 5:00" in shell("preview", found["id"], "--json", code=3).error["message"]

    assert "--yes" in shell("thaw", found["id"], "--json", code=5).error["hint"]
    read_only = Shell(small, ("--read-only", *shell.options))
    assert "READ-ONLY" in read_only("thaw", found["id"], "--yes", "--json", code=5).error["message"]
    assert "tier" in shell("thaw", found["id"], "--tier", "Fast", "--json", code=2).error["message"]
    assert "days" in shell("thaw", found["id"], "--days", "0", "--yes", "--json", code=2).error["message"]
    for typed, code in (("y", 5), ("\x03", 130), ("yes", 0)):
        assert not [request for request in bucket.proxy.seen if request.method == "POST"]
        with shell.terminal("thaw", found["id"], "--tier", "Expedited", "--days", "2") as terminal:
            terminal.expect("Standard: 3 to 5 hours; MISSES the RTO of 5:00")
            terminal.expect("cost: of the retrieval")
            terminal.expect("Type yes: ")
            terminal.type(typed if typed == "\x03" else f"{typed}\n")
            assert terminal.ends() == code
    assert "1 to 5 minutes" in terminal.seen
    (asked,) = [request for request in bucket.proxy.seen if request.method == "POST"]
    assert "restore" in asked.path

    (thawed,) = shell("catalog", "--json", code=0).json["backups"]
    assert thawed["readable"]
    assert "thawed" in [fact["label"] for fact in thawed["findings"]]
    again = shell("thaw", found["id"], "--yes", "--json", code=0).json
    check(again, "Thaw")
    assert (again["state"], again["asked"]) == ("readable", False)
    assert restoring(shell, shell.plan("certs"), 0)[-1]["outcome"] == "restored"


def test_a_thaw_says_what_it_asked_for_and_its_state_is_followed(small: SmallSite, make: Make) -> None:
    upload(small, bucket := make(), "queue", StorageClass="DEEP_ARCHIVE")
    upload(small, bucket, "config")
    shell = on(small, section(bucket))
    there = ids(shell)
    error = shell("thaw", there["queue"], "--tier", "Expedited", "--yes", "--json", code=2).error
    assert error["hint"] == "name --tier Standard or Bulk"
    done = shell("thaw", there["queue"], "--tier", "Bulk", "--yes", "--json", code=0).json
    check(done, "Thaw")
    assert (done["asked"], done["tier"], done["days"]) == (True, "Bulk", 7)
    assert (done["state"], done["longest_seconds"], done["within_rto"]) == ("thawing", 48 * 3600, False)

    def thawing(request: Request) -> Fault | None:
        return Fault(answer={"x-amz-restore": 'ongoing-request="true"'}) if request.method == "HEAD" else None

    with bucket.proxy.meddling(thawing):
        assert "THAWING: DEEP_ARCHIVE: up to 12 hours" in said(shell, "catalog", "queue")
        waiting = shell("thaw", there["queue"], "--yes", "--json", code=0).json
        check(waiting, "Thaw")
        assert (waiting["state"], waiting["asked"]) == ("thawing", False)
    local = shell("thaw", small.demo.good["config"], "--yes", "--json", code=3).error
    assert "no backup" in local["message"]
    plain = shell("thaw", there["config"], "--yes", "--json", code=0).json
    assert (plain["state"], plain["asked"]) == ("readable", False)
    assert (
        "in no archive" in Shell(small)("thaw", small.demo.good["config"], "--yes", "--json", code=2).error["message"]
    )


@pytest.mark.slow
def test_a_source_that_hangs_or_fails_hides_no_other(small: SmallSite, make: Make, tmp_path: Path) -> None:
    upload(small, bucket := make(), "certs")
    repo = Repo(tmp_path / "repo")
    repo.commit({"config.yaml": b"a: 1\n"})
    home = stored(small, "config").parents[1]
    with socket.create_server(("127.0.0.1", 0)) as silent:
        sources = (
            {"kind": "local", "name": "local", "path": str(home)},
            section(bucket, "hangs", endpoint=f"http://127.0.0.1:{silent.getsockname()[1]}"),
            section(bucket, "stranger", endpoint=f"http://127.0.0.1:{server(strict=True)}"),
            section(bucket, "good"),
            {"kind": "git", "name": "gone", "repository": str(tmp_path / "gone")},
            {"kind": "git", "name": "history", "repository": str(repo.path)},
        )
        shell = on(small, *sources)
        found = shell("catalog", "--json", code=0).json
        check(found, "Catalog")
        states = {state["name"]: state for state in found["sources"]}
        assert [name for name, state in states.items() if state["ok"]] == ["local", "good", "history", "aside"]
        assert {one["source"] for one in found["backups"]} == {"local", "good", "history"}
        assert "still reading after 10 s" in states["hangs"]["error"]
        assert "does the server answer" in states["hangs"]["hint"]
        assert "does not know the access key" in states["stranger"]["error"]
        assert str(tmp_path / "gone") in states["gone"]["error"]
        plan = shell("plan", "certs", "--json", code=0).json
        unread = [fact["value"] for fact in plan["findings"] if fact["label"] == "source"]
        assert [value.partition(" ")[0] for value in unread] == ["hangs", "stranger", "gone"]
        named = shell("plan", "certs", "--backup", plan["backups"][0]["id"], "--json", code=0).json
        assert not [fact for fact in named["findings"] if fact["label"] == "source"]
    broken = on(small, sources[2], sources[4])
    assert [state["ok"] for state in broken("catalog", "--json", code=3).json["sources"]] == [False, False, True]
    error = broken("plan", "certs", "--json", code=3).error
    assert "no backup of certs (stranger could not be read: stranger: cannot read s3://" in error["message"]


def test_what_has_been_read_is_told_while_a_large_bucket_is(small: SmallSite, make: Make) -> None:
    upload(small, bucket := make(), "config", "queue")
    told = threading.Event()

    def held(request: Request) -> None:
        if "prefix=site-a/queue/" in request.path:
            told.wait(30)

    shell = on(small, section(bucket))
    with bucket.proxy.meddling(held), shell.terminal("catalog", "--source", "s3") as terminal:
        terminal.expect("1 backup so far; still reading s3")
        told.set()
        terminal.expect("queue/")
        assert terminal.ends() == 0


def test_what_is_newer_but_archived_is_told_in_the_plan(small: SmallSite, make: Make) -> None:
    upload(small, bucket := make(), "config")
    bucket.put("site-a/config/config_20270101_000000.tar.gz", StorageClass="GLACIER")
    shell = on(small, section(bucket))
    plan = shell("plan", "config", "--json", code=0).json
    (fact,) = [fact for fact in plan["findings"] if fact["label"] == "archived"]
    assert fact["value"] == "config/20270101_000000@s3 is newer, and cannot be read before a thaw"
    assert not journalled(small, "config/20270101")
