"""Measure one or more benchmarks, and keep or compare the results."""

import argparse
import importlib
import pkgutil
import sys
from collections.abc import Sequence

from benchmarks import cases
from benchmarks.figures import Figure, worse_by
from benchmarks.results import make_result, number, read_figures, write_result
from benchmarks.stack import BenchmarkError


def names() -> list[str]:
    """Return the names of the benchmarks."""
    return sorted(module.name for module in pkgutil.iter_modules(cases.__path__))


def compare(new: Sequence[Figure], old: dict[str, Figure]) -> list[str]:
    """Return a line for each figure beside its former result; those that got worse begin with `worse:`."""
    lines = []
    for figure in new:
        before = old.get(figure.name)
        if before is None:
            lines.append(f"new: {figure.name}: {number(figure.median)} {figure.unit}")
            continue
        loss = worse_by(figure, before)
        verdict = "as before" if loss is None else f"worse by {loss:.0%}"
        lines.append(
            f"{'worse' if loss is not None else 'ok'}: {figure.name}: {number(figure.median)} {figure.unit}, "
            f"was {number(before.median)}; {verdict}, noise {max(figure.noise, before.noise):.0%}"
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Run benchmarks; return 1 when a figure missed its limit, or got worse in a comparison."""
    parser = argparse.ArgumentParser(prog="./market bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(names())}; default: all")
    parser.add_argument(
        "--compare", action="store_true", help="name what got worse than the kept result, and keep that"
    )
    options = parser.parse_args(arguments)
    unknown = [name for name in options.names if name not in names()]
    if unknown:
        print(f"There was no benchmark {unknown[0]!r}; there are {', '.join(names())}.", file=sys.stderr)
        return 2
    good = True
    for name in options.names or names():
        try:
            figures: list[Figure] = importlib.import_module(f"benchmarks.cases.{name}").measure(_report)
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
        for figure in figures:
            limit = "" if figure.within_limit else f", but its limit is {number(figure.limit or 0)}"
            print(f"{figure.name}: {number(figure.median)} {figure.unit}{limit}", flush=True)
            good = good and figure.within_limit
        if options.compare:
            lines = compare(figures, read_figures(name))
            print("\n".join(lines), flush=True)
            good = good and not any(line.startswith("worse") for line in lines)
        else:
            write_result(make_result(name, figures))
    return 0 if good else 1


def _report(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
