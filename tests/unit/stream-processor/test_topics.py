"""Which checkpoints are of topics that are there no more."""

from pathlib import Path

import pytest

from stream_processor.topics import is_stale, is_whole, write_ids

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


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Return a checkpoint after eleven batches, as Spark writes it."""
    for name in ("offsets", "commits"):
        (tmp_path / name).mkdir()
        for batch in range(11):
            (tmp_path / name / str(batch)).write_text('v1\n{"nextBatchWatermarkMs":0}')
            (tmp_path / name / f".{batch}.crc").write_bytes(b"crc")
    (tmp_path / "metadata").write_text('{"id":"1e"}')
    return tmp_path


def test_a_checkpoint_that_spark_left_is_whole(checkpoint: Path) -> None:
    assert is_whole(checkpoint)
    (checkpoint / "commits" / "10").unlink()  # of a batch that was not finished
    assert is_whole(checkpoint)
    for batch in range(9):
        (checkpoint / "offsets" / str(batch)).write_text("")  # an older one is of no use to Spark
    assert is_whole(checkpoint)


@pytest.mark.parametrize("name", ["metadata", "offsets/9", "offsets/10", "commits/10"])
@pytest.mark.parametrize("content", [b"", b"v1", b"v1\n{", b"\xff\xfe"])
def test_a_checkpoint_with_a_damaged_file_is_not_whole(checkpoint: Path, name: str, content: bytes) -> None:
    (checkpoint / name).write_bytes(content)
    assert not is_whole(checkpoint)


def test_a_checkpoint_without_what_spark_began_from_is_not_whole(checkpoint: Path) -> None:
    assert not is_whole(checkpoint / "none")
    (checkpoint / "sources" / "0").mkdir(parents=True)
    (checkpoint / "sources" / "0" / "0").write_text("")
    assert not is_whole(checkpoint)
    (checkpoint / "sources" / "0" / "0").write_text("0v1")
    assert is_whole(checkpoint)
    (checkpoint / "metadata").unlink()
    assert not is_whole(checkpoint)
