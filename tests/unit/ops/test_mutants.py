"""Which mutants a module has."""

from textwrap import dedent

from ops.testing.mutants import Mutant, mutants


def changes(source: str) -> set[str]:
    """Return what stands in the changed line of each mutant."""
    text = dedent(source).lstrip()
    return {mutant.changed(text)[2] for mutant in mutants(text)}


def test_a_comparison_gets_its_boundary_and_its_opposite() -> None:
    assert changes("a = b < c\n") == {"a = b <= c", "a = b >= c"}


def test_a_number_is_raised_by_one_and_an_operator_replaced_once() -> None:
    assert {change.replace(" ", "") for change in changes("a = b + 2\n")} == {"a=b-2", "a=b+3"}


def test_annotations_of_types_and_bare_stars_have_no_mutants() -> None:
    assert not changes(
        """
        def f(a: int | None, *, b: str | None = None) -> int | None:
            c: int | None = a
            return {**b, "c": c}
        """
    )


def test_each_exception_without_a_dot_is_replaced() -> None:
    source = """
        try:
            a
        except (OSError, b.Error, ValueError):
            c
        except b.Error:
            d
        """
    replaced = "CosmicRayTestingException"
    assert changes(source) == {
        f"except ({replaced}, b.Error, ValueError):",
        f"except (OSError, b.Error, {replaced}):",
    }


def test_an_excluded_line_has_no_mutants() -> None:
    assert not changes("SECONDS = 5 * 60  # pragma: no mutate: any number will do\n")


def test_an_exclusion_at_the_end_of_a_statement_covers_all_of_it() -> None:
    assert not changes(
        """
        SECONDS = max(
            5,
            6,
        )  # pragma: no mutate: any number will do
        """
    )


def test_a_mutant_knows_the_lines_of_its_statement_without_the_body() -> None:
    source = dedent(
        """
        def f(a):
            if (
                a
                and b
            ):
                return c
        """
    ).lstrip()
    found: list[Mutant] = [mutant for mutant in mutants(source) if mutant.operator.endswith("AndWithOr")]
    assert [mutant.lines for mutant in found] == [range(2, 6)]
