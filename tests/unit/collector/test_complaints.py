"""A complaint is told once, and then its count."""

from collector.complaints import Complaints


def test_a_repeated_complaint_is_told_once_and_then_counted() -> None:
    complaints = Complaints()
    assert [complaints.add("a", at) for at in (0.0, 1.0, 2.0)] == [True, False, False]
    assert complaints.due(599.9) == []
    assert complaints.due(600.0) == ["a (repeated 2 times)"]
    assert complaints.due(601.0) == []
    assert complaints.add("a", 700.0) is False
    assert complaints.due(1199.0) == []
    assert complaints.due(1200.0) == ["a (repeated 1 times)"]


def test_one_that_did_not_come_again_is_forgotten_and_told_when_it_comes_later() -> None:
    complaints = Complaints()
    complaints.add("a", 0.0)
    assert complaints.due(600.0) == []
    assert complaints.add("a", 601.0) is True


def test_twenty_thousand_different_ones_are_ten_and_a_count() -> None:
    complaints = Complaints()
    told = [complaints.add(f"error {number}", number / 100) for number in range(20_000)]
    assert told == [True] * 10 + [False] * 19_990
    assert complaints.due(600.0) == []
    assert complaints.due(700.1) == ["19990 other errors"]
    assert complaints.due(2000.0) == []
    assert complaints.add("error 5", 2001.0) is True
