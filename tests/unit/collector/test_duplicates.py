"""Repeated frames are noticed for a minute."""

from collector.duplicates import MAX_FRAMES, DuplicateDetector


def test_a_frame_is_a_repeat_up_to_a_minute_after_it_came_last() -> None:
    detector = DuplicateDetector()
    assert [detector.is_repeat(b"a", at) for at in (0.0, 60.0, 120.0, 180.1)] == [False, True, True, False]
    assert detector.is_repeat(b"b", 180.1) is False


def test_a_limited_number_is_remembered() -> None:
    detector = DuplicateDetector()
    for number in range(MAX_FRAMES + 1):
        assert detector.is_repeat(b"%d" % number, 0.0) is False
    assert len(detector._order) == len(detector._seen) == MAX_FRAMES
    assert detector.is_repeat(b"0", 0.0) is False
    assert detector.is_repeat(b"%d" % MAX_FRAMES, 0.0) is True
