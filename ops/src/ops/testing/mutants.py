"""The mutants of a module: copies of its source with one small defect each, by cosmic-ray's operators."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

import cosmic_ray.plugins
import parso
from cosmic_ray.ast import ast_nodes
from cosmic_ray.mutating import mutate_code

# One replacement of an arithmetic operator says as much as all eleven; a comparison gets its boundary and its
# opposite.
OPERATORS = (
    "core/ReplaceBinaryOperator_Add_Sub",
    "core/ReplaceBinaryOperator_Sub_Add",
    "core/ReplaceBinaryOperator_Mul_Div",
    "core/ReplaceBinaryOperator_Div_Mul",
    "core/ReplaceBinaryOperator_FloorDiv_Mul",
    "core/ReplaceBinaryOperator_Mod_Mul",
    "core/ReplaceBinaryOperator_Pow_Mul",
    "core/ReplaceBinaryOperator_RShift_LShift",
    "core/ReplaceBinaryOperator_LShift_RShift",
    "core/ReplaceBinaryOperator_BitOr_BitAnd",
    "core/ReplaceBinaryOperator_BitAnd_BitOr",
    "core/ReplaceBinaryOperator_BitXor_BitOr",
    "core/ReplaceComparisonOperator_Eq_NotEq",
    "core/ReplaceComparisonOperator_NotEq_Eq",
    "core/ReplaceComparisonOperator_Lt_LtE",
    "core/ReplaceComparisonOperator_Lt_GtE",
    "core/ReplaceComparisonOperator_LtE_Lt",
    "core/ReplaceComparisonOperator_LtE_Gt",
    "core/ReplaceComparisonOperator_Gt_GtE",
    "core/ReplaceComparisonOperator_Gt_LtE",
    "core/ReplaceComparisonOperator_GtE_Gt",
    "core/ReplaceComparisonOperator_GtE_Lt",
    "core/ReplaceComparisonOperator_Is_IsNot",
    "core/ReplaceComparisonOperator_IsNot_Is",
    "core/ReplaceUnaryOperator_USub_UAdd",
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/AddNot",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/ExceptionReplacer",
    "core/RemoveDecorator",
    "core/ZeroIterationForLoop",
    "core/NumberReplacer",
)
EXCLUDED = re.compile(r"#.*pragma: no mutate\b")  # as cosmic-ray's own filter has it
NOT_BINARY = {"parameters", "dictorsetmaker"}  # a bare `*` and `**` there are no operators


class Mutant(NamedTuple):
    """A module's source with one defect, and the lines of the statement that has it."""

    operator: str
    lines: range
    source: str

    def changed(self, original: str) -> tuple[int, str, str]:
        """Return the changed line's number, and what stood and stands there."""
        pairs = zip(original.splitlines(), self.source.splitlines(), strict=False)
        return next(
            (number, old.strip(), new.strip()) for number, (old, new) in enumerate(pairs, 1) if old != new
        )


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, except those in annotations of types and on excluded lines."""
    tree = ast.parse(source)
    text = source.splitlines()
    statements = [node for node in ast.walk(tree) if isinstance(node, ast.stmt)]
    annotations = list(_annotations(tree))
    nodes = list(ast_nodes(parso.parse(source)))
    for name in OPERATORS:
        operator = cosmic_ray.plugins.get_operator(name)()
        places = [
            (node, index, start, end)
            for node in nodes
            for index, (start, end) in enumerate(operator.mutation_positions(node))
        ]
        for occurrence, (node, index, start, end) in enumerate(places):
            if name == "core/NumberReplacer" and index > 0:
                continue  # a number is raised by one, and not lowered too
            if name == "core/ExceptionReplacer" and "." in text[start[0] - 1][start[1] : end[1]]:
                continue  # cosmic-ray cannot replace a dotted name
            if name.startswith("core/ReplaceBinary") and node.parent.type in NOT_BINARY:
                continue
            lines = _statement_lines(statements, start[0])
            if any(EXCLUDED.search(text[line - 1]) for line in (lines[0], start[0], lines[-1])):
                continue
            if any(first <= start < last for first, last in annotations):
                continue
            mutated = mutate_code(source, operator, occurrence)
            if mutated is not None and mutated != source:
                yield Mutant(name, lines, mutated)


def _annotations(tree: ast.Module) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Yield where each annotation of a type begins and ends."""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            expression = getattr(node, name, None)
            if isinstance(expression, ast.expr):
                end = (expression.end_lineno or 0, expression.end_col_offset or 0)
                yield (expression.lineno, expression.col_offset), end


def _statement_lines(statements: list[ast.stmt], line: int) -> range:
    """Return the lines of the innermost statement at a line, without the body of a compound one."""
    around = [node for node in statements if node.lineno <= line <= (node.end_lineno or line)]
    if not around:
        return range(line, line + 1)  # a decorator stands before its statement
    inner = max(around, key=lambda node: node.lineno)
    body = getattr(inner, "body", None)
    end = body[0].lineno if body else (inner.end_lineno or line) + 1
    return range(inner.lineno, max(end, line + 1))
