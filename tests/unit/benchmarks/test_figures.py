"""When a figure is worse than its noise, and what becomes of results."""

import json
from pathlib import Path

import pytest

from benchmarks.__main__ import compare, main, names
from benchmarks.figures import Better, Figure, repeat, repeat_pair, worse_by
from benchmarks.results import make_result, read_figures, table, write_result

SPEED = Figure("speed", "frames/s", (100.0, 110.0, 90.0), limit=50)
DURATION = Figure("duration", "s", (10.0, 10.0, 11.0), "lower", 12)


@pytest.mark.parametrize(
    ("runs", "better", "loss"),
    [
        ((70.0, 70.0, 70.0), "higher", 0.3),
        ((85.0, 85.0, 85.0), "higher", None),
        ((85.0, 125.0, 130.0), "higher", None),
        ((130.0, 130.0, 130.0), "lower", 0.3),
        ((70.0, 70.0, 70.0), "lower", None),
    ],
)
def test_worse_is_what_exceeds_the_noise_in_the_bad_direction(
    runs: tuple[float, ...], better: Better, loss: float | None
) -> None:
    old = Figure("a", "x", (100.0, 110.0, 90.0), better)
    assert worse_by(Figure("a", "x", runs, better), old) == (None if loss is None else pytest.approx(loss))


def test_a_figure_needs_three_runs() -> None:
    with pytest.raises(ValueError, match="had 2 runs, but 3 are needed"):
        Figure("speed", "x", (1.0, 2.0))


@pytest.mark.parametrize(
    ("better", "limit", "within"),
    [("higher", 100, True), ("higher", 101, False), ("lower", 100, True), ("lower", 99, False)],
)
def test_the_median_is_held_against_the_limit(better: Better, limit: float, within: bool) -> None:
    assert Figure("a", "x", (1.0, 100.0, 1000.0), better, limit).within_limit is within


def test_runs_are_taken_in_turns_after_one_that_does_not_count() -> None:
    calls: list[str] = []

    def note(name: str) -> float:
        calls.append(name)
        return float(len(calls))

    assert repeat(lambda: note("a")) == (2, 3, 4)
    calls.clear()
    own, peer = repeat_pair(lambda: note("own"), lambda: note("peer"))
    assert calls == ["own", "peer"] * 4
    assert (own, peer) == ((3, 5, 7), (4, 6, 8))


def test_a_result_comes_back_and_makes_the_table(tmp_path: Path) -> None:
    result = make_result("sample", [SPEED, DURATION])
    write_result(result, tmp_path)
    assert read_figures("sample", tmp_path) == {"speed": SPEED, "duration": DURATION}
    assert read_figures("other", tmp_path) == {}
    assert {"machine", "versions", "commit"} <= json.loads((tmp_path / "sample.json").read_text()).keys()
    lines = (tmp_path / "README.md").read_text().splitlines()
    assert "| speed | 100 frames/s | 90 to 110 | ≥ 50 |" in lines
    assert "| duration | 10 s | 10 to 11 | ≤ 12 |" in lines
    assert table([result]).splitlines() == lines


def test_a_comparison_names_what_got_worse() -> None:
    new = [Figure("speed", "frames/s", (50.0, 50.0, 50.0)), DURATION, Figure("other", "x", (1.0, 1.0, 1.0))]
    assert compare(new, {"speed": SPEED, "duration": DURATION}) == [
        "worse: speed: 50 frames/s, was 100; worse by 50%, noise 20%",
        "ok: duration: 10 s, was 10; as before, noise 10%",
        "new: other: 1 x",
    ]


def test_an_unknown_benchmark_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["nothing"]) == 2
    captured = capsys.readouterr().err
    assert captured.strip() == f"There was no benchmark 'nothing'; there are {', '.join(names())}."
