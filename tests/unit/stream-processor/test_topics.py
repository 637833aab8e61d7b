"""Which checkpoints are of topics that are there no more."""

from pathlib import Path

import pytest

from stream_processor.topics import is_stale, write_ids

IDS = {"market": "gL0sQ", "market.events": "x1pPw"}


def test_checkpoints_of_a_topic_that_was_made_anew_are_stale(tmp_path: Path) -> None:
    write_ids(tmp_path, IDS)
    assert not is_stale(tmp_path, dict(reversed(IDS.items())))
    assert is_stale(tmp_path, IDS | {"market": "other"})
    assert is_stale(tmp_path, IDS | {"market.events": "other"})
    write_ids(tmp_path, IDS | {"market": "other"})
    assert is_stale(tmp_path, IDS)


def test_checkpoints_of_another_topic_are_stale(tmp_path: Path) -> None:
    write_ids(tmp_path, IDS)
    assert is_stale(tmp_path, {"ticks": "gL0sQ", "ticks.events": "x1pPw"})


def test_checkpoints_without_a_word_about_their_topics_are_kept(tmp_path: Path) -> None:
    assert not is_stale(tmp_path, IDS)
    write_ids(tmp_path / "new", IDS)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["topics.json"]


@pytest.mark.parametrize("content", [b"", b"{", b"\xff"])
def test_checkpoints_whose_topics_cannot_be_read_are_stale(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "topics.json").write_bytes(content)
    assert is_stale(tmp_path, IDS)
