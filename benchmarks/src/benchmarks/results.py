"""The results files, and the table that is made of them."""

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure
from common.settings import ROOT

FOLDER = ROOT / "benchmarks" / "results"
TABLE = FOLDER / "README.md"
PACKAGES = ("numpy", "pyspark", "confluent-kafka", "fastavro", "orjson", "cassandra-driver", "websockets")


def make_result(name: str, figures: Sequence[Figure]) -> dict[str, Any]:
    """Return a benchmark's result with what it depends on: machine, versions and commit."""
    return {
        "benchmark": name,
        "measured_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": _machine(),
        "versions": {"python": platform.python_version(), **{name: version(name) for name in PACKAGES}},
        "figures": [figure.as_json() for figure in figures],
    }


def write_result(result: dict[str, Any], folder: Path = FOLDER) -> None:
    """Write a benchmark's result, and the table of all."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{result['benchmark']}.json").write_text(json.dumps(result, indent=2) + "\n")
    results = [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]
    (folder / TABLE.name).write_text(table(results))


def read_figures(name: str, folder: Path = FOLDER) -> dict[str, Figure]:
    """Return the figures of the last result by their names; empty where there is none."""
    try:
        result = json.loads((folder / f"{name}.json").read_text())
    except FileNotFoundError:
        return {}
    return {value["name"]: Figure.from_json(value) for value in result["figures"]}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return results as Markdown."""
    lines = ["# Results", "", "Made by `./market bench`; medians, with the range of the runs."]
    for result in results:
        machine = result["machine"]
        lines += [
            "",
            f"## {result['benchmark']}",
            "",
            f"{result['measured_at']}, commit {result['commit']}, {machine['cores']} cores "
            f"({machine['processor']}), {machine['memory_gb']} GB.",
            "",
            "| figure | median | range | limit |",
            "| --- | ---: | ---: | ---: |",
        ]
        for figure in map(Figure.from_json, result["figures"]):
            sign = "≥" if figure.better == "higher" else "≤"
            limit = "" if figure.limit is None else f"{sign} {number(figure.limit)}"
            spread = f"{number(min(figure.runs))} to {number(max(figure.runs))}"
            lines.append(f"| {figure.name} | {number(figure.median)} {figure.unit} | {spread} | {limit} |")
    return "\n".join(lines) + "\n"


def number(value: float) -> str:
    """Return a figure with three digits or more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _machine() -> dict[str, Any]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3),
        "system": f"{platform.system()} {platform.release()}",
    }


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False
        )
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") or "unknown"
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return f"{commit} and changes" if changed else commit
