"""The alert rules, by promtool and by the stack itself: both run the files of ops/monitoring/tests."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.errors import MarketError
from ops.install.monitoring import ensure_promtool
from ops.monitoring.expression import ExpressionError, parse, seconds
from ops.monitoring.rules import FOLDER, Judge, load_rules, render
from ops.monitoring.samples import Sample, labels
from ops.settings import cache_folder

FILES = sorted((FOLDER / "tests").glob("*.test.yml"))
CASES = [
    pytest.param(path.name, case, id=f"{path.name}: {case['name']}")
    for path in FILES
    for case in yaml.safe_load(path.read_text())["tests"]
]
RULES = load_rules()
STEP = 60  # the files' evaluation_interval
SERIES = re.compile(r"(\w+)\{(.*)\}")
LABEL = re.compile(r'(\w+)="([^"]*)"')
VALUES = re.compile(r"(?P<first>[\d.]+(?:e\d+)?)(?P<step>[+-][\d.]+(?:e\d+)?)?(?:x(?P<times>\d+))?")


def numbers(notation: str) -> Iterator[float]:
    """Yield the values that promtool's notation stands for."""
    for word in notation.split():
        found = VALUES.fullmatch(word)
        assert found, word
        for index in range(int(found["times"] or 0) + 1):
            yield float(found["first"]) + index * float(found["step"] or 0)


def samples(case: dict[str, Any], at: float) -> Iterator[Sample]:
    """Yield what a file's series say at a moment; a value stands for five minutes, as in Prometheus."""
    for series in case["input_series"]:
        name, named = SERIES.fullmatch(series["series"]).groups()  # type: ignore[union-attr]
        values, interval = list(numbers(series["values"])), seconds(case["interval"])
        index = int(at // interval)
        if index < len(values) and at - index * interval < 300:
            yield Sample(name, frozenset(LABEL.findall(named)), values[index])


def expected(question: dict[str, Any]) -> set[str]:
    """Return the keys of the alerts that a file expects to fire."""
    keys = set()
    for sample in question["exp_samples"]:
        named = dict(LABEL.findall(sample["labels"]))
        if named.pop("alertstate") == "firing":
            del named["severity"]
            keys.add(" ".join([named.pop("alertname"), *(f"{key}={named[key]}" for key in sorted(named))]))
    return keys


@pytest.mark.parametrize(("file", "case"), CASES)
def test_the_stack_judges_as_prometheus_does(file: str, case: dict[str, Any]) -> None:
    judge = Judge(
        [rule for rule in RULES if f"{rule.alert}\n" in (FOLDER / file.replace("test", "rules")).read_text()]
    )
    questions = {int(seconds(question["eval_time"])): question for question in case["promql_expr_test"]}
    for at in range(0, max(questions) + 1, STEP):
        alerts = {alert.key for alert in judge.judge(at, samples(case, at))}
        if at in questions:
            assert alerts == expected(questions[at]), f"after {at} s"


def test_every_rule_fires_and_clears_in_a_test() -> None:
    fired = {
        key.partition(" ")[0]
        for case in CASES
        for question in case.values[1]["promql_expr_test"]
        for key in expected(question)
    }
    assert fired == {rule.alert for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.alert)
def test_an_alert_says_what_it_means_and_what_helps(rule: Any) -> None:
    assert rule.severity in ("critical", "warning")
    assert rule.summary.endswith(".")
    assert rule.meaning.endswith(".")
    filled = render(rule.summary + rule.meaning + rule.command, labels(feed="f", service="s", host="h"), 1.5)
    assert "{{" not in filled


@pytest.fixture(scope="module")
def promtool() -> Path:
    try:
        return ensure_promtool(cache_folder(), print)
    except MarketError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_promtool_agrees(promtool: Path, path: Path) -> None:
    rules = FOLDER / path.name.replace("test", "rules")
    for command in (("check", "rules", rules), ("test", "rules", path)):
        done = subprocess.run([promtool, *command], capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_labels_and_values_are_filled_in() -> None:
    text = 'No {{ $labels.feed }} for {{ $value | printf "%.0f" }} s'
    assert render(text, labels(feed="finnhub"), 181.4) == "No finnhub for 181 s"


@pytest.mark.parametrize(
    "text", ["rate(a[5m]) > 1", "a", "a > b", "increase(a) > 1", "a[5m] > 1", "sum(a > 1", "a > 1 or b > 1"]
)
def test_an_expression_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ExpressionError, match="no such expression"):
        parse(text)


def test_every_comparison_has_to_hold_for_the_same_labels() -> None:
    judge = Judge([RULES[0]._replace(expression=parse('a{x="1"} > 1 and b < 2'), seconds=0)])
    one, two = labels(x="1", y="1"), labels(x="1", y="2")
    found = judge.judge(
        0, [Sample("a", one, 2), Sample("a", two, 2), Sample("b", one, 1), Sample("b", labels(x="1"), 1)]
    )
    assert [alert.key for alert in found] == [f"{RULES[0].alert} x=1 y=1"]
