"""One form for filters that mean the same, and its text.

Constants stand on the right, `between` is two comparisons, `not` stands before single comparisons, and what has no
order is sorted and said once. So `a > 1 and b < 2` and `b<2 AND a>1.0` are equal. Nothing is left out because it is
implied.
"""

from __future__ import annotations

from tickwire.screens.grammar import (
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

_TURNED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}
_WHOLE = 1e15  # below it a double's decimals fit into digits


def normal(node: Node, *, negated: bool = False) -> Node:
    """The normal form of a checked filter, or of its contrary."""
    match node:
        case Not():
            return normal(node.part, negated=not negated)
        case And() | Or():
            return _joined(Or if isinstance(node, And) is negated else And, node.parts, negated)
        case Between():
            ends = (Compare(">=", node.subject, node.low), Compare("<=", node.subject, node.high))
            return _joined(Or if negated else And, ends, negated)
    atom = _atom(node)
    return Not(atom) if negated else atom


def _joined(kind: type[And | Or], parts: tuple[Node, ...], negated: bool) -> Node:
    found: dict[str, Node] = {}
    for part in parts:
        made = normal(part, negated=negated)
        for each in made.parts if isinstance(made, kind) else (made,):
            found[text_of(each)] = each
    ordered = tuple(found[text] for text in sorted(found))
    return ordered[0] if len(ordered) == 1 else kind(ordered)


def _atom(node: Node) -> Node:
    match node:
        case Compare():
            return _turned(node.sign, _expression(node.left), _expression(node.right))
        case In():
            items = tuple(sorted(set(node.items), key=lambda item: item.value))  # type: ignore[union-attr]  # constants
            subject = _expression(node.subject)
            return In(subject, items) if len(items) > 1 else Compare("=", subject, items[0])
        case Like():
            return Like(node.subject, node.pattern)
    raise TypeError(f"{node} is no condition")  # `check` lets none through


def _turned(sign: str, left: Node, right: Node) -> Compare:
    if isinstance(right, Number | Text):
        return Compare(sign, left, right)
    if isinstance(left, Number) or text_of(right) < text_of(left):
        return Compare(_TURNED[sign], right, left)
    return Compare(sign, left, right)


def _expression(node: Node) -> Node:
    if not isinstance(node, Operation):
        return node
    parts = [_expression(part) for part in node.parts]
    if node.sign in ("+", "*"):
        parts.sort(key=text_of)
    if node.sign in ("min", "max"):
        parts = [part for _, part in sorted({text_of(part): part for part in parts}.items())]
        if len(parts) == 1:
            return parts[0]
    return Operation(node.sign, tuple(parts))


def text_of(node: Node) -> str:
    """The node as text; what it says, read again, gives the same node."""
    match node:
        case And():
            return " and ".join(_enclosed(part, Or) for part in node.parts)
        case Or():
            return " or ".join(map(text_of, node.parts))
        case Not():
            return f"not {_enclosed(node.part, And | Or)}"
        case Compare():
            return f"{text_of(node.left)} {node.sign} {text_of(node.right)}"
        case In():
            return f"{text_of(node.subject)} in ({', '.join(map(text_of, node.items))})"
        case Between():
            return f"{text_of(node.subject)} between {text_of(node.low)} and {text_of(node.high)}"
        case Like():
            return f"{text_of(node.subject)} like {quoted(node.pattern)}"
    return _expression_text(node)


def _expression_text(node: Expression) -> str:
    match node:
        case Number():
            return number_text(node.value)
        case Text():
            return quoted(node.value)
        case Field():
            return node.name
    return _operation_text(node)


def _operation_text(node: Operation) -> str:
    if node.sign in ("abs", "min", "max"):
        return f"{node.sign}({', '.join(map(text_of, node.parts))})"
    if node.sign == "negative":
        return f"-{_term(node.parts[0])}"
    left, right = node.parts
    return f"{_term(left)} {node.sign} {_term(right)}"


def _term(node: Node) -> str:
    """In parentheses wherever they could matter: rounding makes even sums depend on their order."""
    simple = not isinstance(node, Operation) or node.sign in ("abs", "min", "max")
    return text_of(node) if simple else f"({text_of(node)})"


def _enclosed(node: Node, kind: object) -> str:
    return f"({text_of(node)})" if isinstance(node, kind) else text_of(node)  # type: ignore[arg-type]


def number_text(value: float) -> str:
    """The shortest digits that read as this number again."""
    return str(int(value)) if value.is_integer() and abs(value) < _WHOLE else repr(value)


def quoted(text: str) -> str:
    """A text as the language writes it."""
    return '"' + text.replace('"', '""') + '"'
