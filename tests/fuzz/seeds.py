"""Sound bytes of every format, to begin with."""

from __future__ import annotations

import gzip
import io

from pacs_recover.formats import age, manifest, openssl_enc
from pacs_recover.site import init_text
from pacs_recover.state import JOURNAL
from tests.formats.frames import framed, ltx, wal
from tests.formats.test_manifest import FULL
from tests.fuzz.targets import IDENTITY, pax_tar, small_database, small_set, small_tar
from tests.runs.small_site import SmallSite

COMMIT = b"%s\ntree %s\nauthor Ann <a@b> 1794276000 +0100\ncommitter Ann <a@b> 1794276000 +0100\n\n    change\n" % (
    b"1" * 40,
    b"2" * 40,
)


def seeds(small: SmallSite) -> dict[str, list[bytes]]:
    """By the name of the target; the journal is that of a real run."""
    packed, database = small_tar(), small_database()
    rounds, openssl_enc.ROUNDS = openssl_enc.ROUNDS, 1
    encrypted = [openssl_enc.encrypting(io.BytesIO(plain), b"password").read() for plain in (packed, b"x" * 40)]
    openssl_enc.ROUNDS = rounds
    zipped = [gzip.compress(plain, mtime=0) for plain in (packed, database, b"")]
    log = wal([(1, 0, b"a" * 512), (2, 3, bytes(512))])
    certs = [path.read_bytes() for path in sorted((small.config / "certs").rglob("*")) if path.is_file()]
    _, run = small.restore(small.plan(small.demo.good["config"]))
    journal = (run / JOURNAL).read_bytes()
    pages = [(1, b"a" * 512), (2, bytes(range(256)) * 2)]
    return {
        "enc": encrypted,
        "aged": [age.encrypting(io.BytesIO(packed), IDENTITY).read()],
        "gzipped": zipped,
        "wrapped": [*encrypted, *zipped, packed, database],
        "tar": [packed, pax_tar()],
        "unpacked": [packed, pax_tar()],
        "ltx_file": [ltx(pages), ltx(pages, old=True)],
        "lz4_file": [framed(database), framed(b"")],
        "wal_segment": [framed(log)],
        "wal_frames": [log],
        "database": [database, small_database(40)],
        "database_set": [small_set()],
        "journal": [journal],
        "journal_lines": [journal],
        "site_file": [init_text().encode(), small.demo.site_file.read_bytes()],
        "configuration": [(small.config / "config.yaml").read_bytes(), b'{"server": {"port": 1, "password": "x"}}'],
        "certificates": certs,
        "manifest_file": [manifest.encode(FULL), b"%s  queue.db\n" % (b"a" * 64)],
        "git": [COMMIT, b"100644 config.yaml\0" + bytes(20) + b"40000 certs\0" + bytes(20)],
        "file_name": [b"queue_20261110_020000.db.gz", b"s3://bucket/queue/queue_20261110_020000.db.gz?versionId=1"],
    }
