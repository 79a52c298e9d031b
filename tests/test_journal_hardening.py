"""Damage that a journal must survive: merged lines, torn writes, lines taken back."""

import errno
import os

import pytest

from pacs_recover.events import Began, Passed
from pacs_recover.journal import Journal, Reader, read


def w(p, n=4):
    j = Journal(p, create=True)
    for k in range(n):
        j.write(Began, title=f"t{k}")
    return j


def test_a_number_is_never_given_twice_even_where_a_line_end_is_damaged(tmp_path):
    j = w(tmp_path / "j")
    j.close()
    b = bytearray((tmp_path / "j").read_bytes())
    b[b.index(b"\n")] ^= 1
    (tmp_path / "j").write_bytes(b)
    j = Journal(tmp_path / "j", create=False)
    assert j.write(Passed, title="x", evidence="").n >= 4


def test_a_carriage_return_in_a_damaged_line_does_not_shift_line_numbers(tmp_path):
    j = w(tmp_path / "j")
    j.close()
    L = (tmp_path / "j").read_bytes().splitlines(keepends=True)
    L[0] = L[0][:10] + b"\r" + L[0][11:]
    L[2] = L[2][:10] + b"#" + L[2][11:]
    (tmp_path / "j").write_bytes(b"".join(L))
    assert [d.line for d in read(tmp_path / "j")[1]] == [1, 3]


def test_an_event_after_a_torn_write_that_could_not_be_cut_is_still_read(tmp_path, monkeypatch):
    j = w(tmp_path / "j")
    real = os.write
    with monkeypatch.context() as m:
        m.setattr(os, "write", lambda fd, b: real(fd, b[:20]))

        def no(*a):
            raise OSError(errno.EIO, "x")

        m.setattr(os, "ftruncate", no)
        with pytest.raises(OSError):
            j.write(Passed, title="a", evidence="")
    j.write(Passed, title="b", evidence="")
    assert any(getattr(e, "title", "") == "b" for e in read(tmp_path / "j")[0])


def test_reader_survives_a_line_that_was_taken_back(tmp_path, monkeypatch):
    j = w(tmp_path / "j")
    r = Reader(tmp_path / "j")
    r.more()

    def bad(fd):
        r.more()
        raise OSError(errno.EIO, "x")

    with monkeypatch.context() as m:
        m.setattr(os, "fsync", bad)
        with pytest.raises(OSError):
            j.write(Passed, title="taken back and long enough", evidence="y" * 100)
    for k in range(5):
        j.write(Began, title=f"after{k}")
    got = [e.title for e in r.more()]
    assert got == [f"after{k}" for k in range(5)], (got, r.damage)


def test_surrogates(tmp_path):
    j = w(tmp_path / "j")
    j.write(Passed, title="x", evidence="a\udce9b")


def test_torn_more_than_a_mebibyte(tmp_path):
    j = w(tmp_path / "j")
    j.close()
    with (tmp_path / "j").open("ab") as f:
        f.write(b"\0" * (3 << 20))
    j = Journal(tmp_path / "j", create=False)
    j.write(Passed, title="x", evidence="")
    assert read(tmp_path / "j")[1] == []
