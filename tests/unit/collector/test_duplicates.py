"""Repeated frames are noticed for a minute."""

from collector.duplicates import MAX_FRAMES, DuplicateDetector


def test_a_frame_is_a_repeat_up_to_a_minute_after_it_came_last() -> None:
    detector = DuplicateDetector()
    assert [detector.count_repeats([b"a"], at) for at in (0.0, 60.0, 120.0, 180.1)] == [0, 1, 1, 0]
    assert detector.count_repeats([b"b", b"a", b"b", b"c", b"b"], 180.1) == 3


def test_a_limited_number_is_remembered() -> None:
    detector = DuplicateDetector()
    assert detector.count_repeats((b"%d" % number for number in range(MAX_FRAMES + 1)), 0.0) == 0
    assert len(detector._order) == len(detector._seen) == MAX_FRAMES
    assert detector.count_repeats([b"0"], 0.0) == 0
    assert detector.count_repeats([b"%d" % MAX_FRAMES], 0.0) == 1
