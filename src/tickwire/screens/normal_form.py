"""Convert filters to a normal form, and convert filters to text.

Different spellings of a filter have the same normal form. In the normal form, constants are on the right, `between`
becomes two comparisons, and `not` applies only to single comparisons. The operands of commutative operators are sorted,
and the operands of and, or, min and max contain no duplicates. So `a > 1 and b < 2` and `b<2 AND a>1.0` have the same
normal form. Redundant conditions stay in the normal form, such as `a > 1` in `a > 2 and a > 1`.
"""

from __future__ import annotations

from tickwire.screens.syntax_tree import (
    And,
    Between,
    Compare,
    Expression,
    Field,
    In,
    Like,
    Node,
    Not,
    Number,
    Operation,
    Or,
    Text,
)

_MIRRORED_OPERATORS = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
# A double can represent every whole number below this limit exactly.
_MAX_WHOLE_NUMBER = 1e15


def normalize(node: Node, *, negated: bool = False) -> Node:
    """Return the normal form of a filter that the analyzer has checked.

    If `negated` is True, return the normal form of the negated filter.
    """
    match node:
        case Not():
            return normalize(node.operand, negated=not negated)
        case And() | Or():
            return _normalize_junction(Or if isinstance(node, And) is negated else And, node.operands, negated)
        case Between():
            bounds = (Compare(">=", node.subject, node.low), Compare("<=", node.subject, node.high))
            return _normalize_junction(Or if negated else And, bounds, negated)
    comparison = _normalize_comparison(node)
    return Not(comparison) if negated else comparison


def _normalize_junction(node_type: type[And | Or], operands: tuple[Node, ...], negated: bool) -> Node:
    """Return the normal form of an `and` or `or`.

    Nested nodes of the same type become one node. The operands are sorted by their text, and duplicates are removed.
    """
    by_text: dict[str, Node] = {}
    for operand in operands:
        normal = normalize(operand, negated=negated)
        for part in normal.operands if isinstance(normal, node_type) else (normal,):
            by_text[unparse(part)] = part
    ordered = tuple(by_text[text] for text in sorted(by_text))
    return ordered[0] if len(ordered) == 1 else node_type(ordered)


def _normalize_comparison(node: Node) -> Node:
    match node:
        case Compare():
            return _orient_comparison(node.operator, normalize_expression(node.left), normalize_expression(node.right))
        case In():
            items = tuple(sorted(set(node.items), key=lambda item: item.value))  # type: ignore[union-attr]  # constants
            subject = normalize_expression(node.subject)
            return In(subject, items) if len(items) > 1 else Compare("=", subject, items[0])
        case Like():
            return Like(node.subject, node.pattern)
    # Other types of nodes cannot occur here, because the analyzer rejects filters with such nodes.
    raise TypeError(f"{node} is not a condition")


def _orient_comparison(operator: str, left: Node, right: Node) -> Compare:
    if isinstance(right, Number | Text):
        return Compare(operator, left, right)
    if isinstance(left, Number) or unparse(right) < unparse(left):
        return Compare(_MIRRORED_OPERATORS[operator], right, left)
    return Compare(operator, left, right)


def normalize_expression(node: Node) -> Node:
    """Return the normal form of an expression that the analyzer has checked."""
    if not isinstance(node, Operation):
        return node
    operands = [normalize_expression(operand) for operand in node.operands]
    if node.operator in ("+", "*"):
        operands.sort(key=unparse)
    if node.operator in ("min", "max"):
        operands = [operand for _, operand in sorted({unparse(operand): operand for operand in operands}.items())]
        if len(operands) == 1:
            return operands[0]
    return Operation(node.operator, tuple(operands))


def unparse(node: Node) -> str:
    """Return the text of a node of the syntax tree. The text of a normal form parses to the same normal form."""
    match node:
        case And():
            return " and ".join(_parenthesize_if(operand, Or) for operand in node.operands)
        case Or():
            return " or ".join(map(unparse, node.operands))
        case Not():
            return f"not {_parenthesize_if(node.operand, And | Or)}"
        case Compare():
            return f"{unparse(node.left)} {node.operator} {unparse(node.right)}"
        case In():
            return f"{unparse(node.subject)} in ({', '.join(map(unparse, node.items))})"
        case Between():
            return f"{unparse(node.subject)} between {unparse(node.low)} and {unparse(node.high)}"
        case Like():
            return f"{unparse(node.subject)} like {quote_text(node.pattern)}"
    return _unparse_expression(node)


def _unparse_expression(node: Expression) -> str:
    match node:
        case Number():
            return format_number(node.value)
        case Text():
            return quote_text(node.value)
        case Field():
            return node.name
    return _unparse_operation(node)


def _unparse_operation(node: Operation) -> str:
    if node.operator in ("abs", "min", "max"):
        return f"{node.operator}({', '.join(map(unparse, node.operands))})"
    if node.operator == "negative":
        return f"-{_unparse_operand(node.operands[0])}"
    left, right = node.operands
    return f"{_unparse_operand(left)} {node.operator} {_unparse_operand(right)}"


def _unparse_operand(node: Node) -> str:
    """Return the text of an operand.

    Nested operations have parentheses, because the order of operations affects rounding.
    """
    is_nested = isinstance(node, Operation) and node.operator not in ("abs", "min", "max")
    return f"({unparse(node)})" if is_nested else unparse(node)


def _parenthesize_if(node: Node, node_types: object) -> str:
    return f"({unparse(node)})" if isinstance(node, node_types) else unparse(node)  # type: ignore[arg-type]


def format_number(value: float) -> str:
    """Return the shortest text that parses to exactly this number."""
    return str(int(value)) if value.is_integer() and abs(value) < _MAX_WHOLE_NUMBER else repr(value)


def quote_text(text: str) -> str:
    """Return a text in double quotes. Double quotes inside the text are doubled."""
    return '"' + text.replace('"', '""') + '"'
