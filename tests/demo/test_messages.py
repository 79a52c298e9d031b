"""The synthetic traffic: what it looks like, and that it repeats."""

from __future__ import annotations

from datetime import timedelta

from pacs_recover.demo.messages import TRAFFIC, history
from tests.demo.conftest import NOW


def test_every_message_is_marked_as_a_test_and_names_nobody_real() -> None:
    for message in history(NOW, 200, seed=1):
        segments = [segment.split("|") for segment in message.payload.split("\r")]
        header, patient = segments[0], next(fields for fields in segments if fields[0] == "PID")
        assert header[10] == "T"
        assert header[8].startswith(message.message_type + "^")
        assert header[9] == message.correlation_id
        assert patient[5].startswith("SYNTHETIC")
        assert patient[3].startswith("DEMO")
        assert message.payload.endswith("\r")
        assert "\n" not in message.payload


def test_the_traffic_holds_every_kind_of_message_and_unique_ids_in_order_of_time() -> None:
    traffic = history(NOW, 500, seed=1)
    assert {message.message_type for message in traffic} == set(TRAFFIC)
    assert len({message.id for message in traffic}) == len(traffic)
    assert [message.id for message in traffic] == sorted(message.id for message in traffic)


def test_the_same_seed_and_time_make_the_same_traffic() -> None:
    assert history(NOW, 50, seed=7) == history(NOW, 50, seed=7)
    assert history(NOW, 50, seed=7) != history(NOW, 50, seed=8)


def test_nothing_happens_in_the_future_and_nothing_leaves_before_it_came() -> None:
    for message in history(NOW, 300, seed=2):
        left = message.acknowledged or message.dead_lettered or NOW
        assert NOW - timedelta(hours=71) < message.created_at <= left <= NOW
