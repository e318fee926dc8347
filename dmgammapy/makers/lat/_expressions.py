"""Filters over columns: comparisons and arithmetic, read by a parser of their own.

Nothing is ever executed: a text becomes a tree of known operations on columns, or an error.
"""

import re
from dataclasses import dataclass
from functools import reduce

import numpy as np

from ._cuts import angular_separation

__all__ = ["FilterExpression"]

# deep texts would exhaust Python's stack: parentheses in each other, operations in each other
LONGEST, PARENTHESES, OPERATIONS = 100_000, 30, 100
TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?![\w.])"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<operator>&&|\|\||==|!=|<=|>=|\*\*|[-+*/%<>!(),]))"
)
# what people write instead, and what to write
INSTEAD = {
    "&": "'&&' (bits can't be tested)",
    "|": "'||' (bits can't be tested)",
    "=": "'=='",
    ".": "'&&', '||' and '!', and numbers with digits around the point",
}
WORDS = {"and": "&&", "or": "||", "not": "not"}
CONSTANTS = {"T": True, "TRUE": True, "F": False, "FALSE": False}
COMPARISONS = {
    "==": np.equal,
    "!=": np.not_equal,
    "<": np.less,
    "<=": np.less_equal,
    ">": np.greater,
    ">=": np.greater_equal,
}
ARITHMETIC = {
    "+": np.add,
    "-": np.subtract,
    "*": np.multiply,
    "/": np.divide,
    "%": np.fmod,
    "**": np.power,
}
# name: (function, number of arguments); angles of sin and cos in rad, of angsep in deg
FUNCTIONS = {
    "abs": (np.abs, 1),
    "sqrt": (np.sqrt, 1),
    "sin": (np.sin, 1),
    "cos": (np.cos, 1),
    "angsep": (angular_separation, 4),
}


class FilterExpression:
    """Condition on the columns of a table, as ``gtmktime`` takes them.

    There are comparisons (``== != < <= > >=``), arithmetic (``+ - * / % **``), ``&&``, ``||`` and
    ``!`` (or ``and``, ``or``, ``not``), parentheses, numbers, ``T`` and ``F``, columns by name
    (capitals or not), and the functions ``abs, sqrt, sin, cos`` (rad) and
    ``angsep(ra1, dec1, ra2, dec2)`` (deg). ``!`` binds as in C, ``not`` as in Python; comparisons
    don't chain.

    Parameters
    ----------
    text : str
        The condition.

    Raises
    ------
    ValueError
        If it has anything else; the place is named.

    Examples
    --------
    >>> import numpy as np
    >>> from dmgammapy.makers.lat._expressions import FilterExpression
    >>> good = FilterExpression("DATA_QUAL>0 && LAT_CONFIG==1 && abs(ROCK_ANGLE)<52")
    >>> sorted(good.names)
    ['DATA_QUAL', 'LAT_CONFIG', 'ROCK_ANGLE']
    >>> columns = {"DATA_QUAL": [1, 1, -1], "LAT_CONFIG": [1, 1, 1], "ROCK_ANGLE": [-50, 60, 0]}
    >>> good.evaluate(columns)
    array([ True, False, False])
    """

    def __init__(self, text):
        if not isinstance(text, str) or not text.strip():
            raise ValueError(f"a filter must be a condition as text, got {text!r}.")
        if len(text) > LONGEST:
            raise ValueError(f"a filter must have up to {LONGEST} characters, got {len(text)}.")
        self.text = text.strip()
        parser = _Parser(self.text)
        self._tree = parser.parse()
        self.names = frozenset(parser.names)

    def __repr__(self):
        return f"FilterExpression({self.text!r})"

    def resolve(self, known):
        """Columns of a table that the filter uses.

        Parameters
        ----------
        known : list of str
            Columns there are.

        Returns
        -------
        columns : dict of str
            Name in the table for each name in the filter.

        Raises
        ------
        ValueError
            If a name is not a column.
        """
        by_capitals = {name.upper(): name for name in known}
        unknown = sorted(name for name in self.names if name.upper() not in by_capitals)
        if unknown:
            raise ValueError(
                f"filter {self.text!r}: unknown {', '.join(unknown)}; the columns are "
                f"{', '.join(known)}; the functions {', '.join(FUNCTIONS)}."
            )
        return {name: by_capitals[name.upper()] for name in self.names}

    def evaluate(self, columns):
        """Rows that pass.

        Parameters
        ----------
        columns : dict of array, shape (n,)
            Columns by name.

        Returns
        -------
        mask : array of bool, shape (n,)

        Raises
        ------
        ValueError
            If a column is unknown or has several numbers per row, a condition is none, or a
            number is not finite.
        """
        resolved = self.resolve(list(columns))
        values = {name: self._column(name, columns[there]) for name, there in resolved.items()}
        length = len(np.asarray(next(iter(columns.values()))))
        with np.errstate(all="ignore"):
            result = self._value(self._tree, values)
        if result.dtype != bool:
            raise self._error(f"{self._tree.text} is a number; expected a condition (a comparison)")
        return np.broadcast_to(result, (length,)).copy()

    def _column(self, name, values):
        """Numbers as floats, so that whole numbers of few bits don't overflow."""
        values = np.asarray(values)
        if values.ndim != 1 or values.dtype.kind not in "biuf":
            raise self._error(
                f"column {name} has {values.shape[1:] or 'no'} numbers per row; expected one"
            )
        return values if values.dtype == bool else values.astype(float)

    def _error(self, message):
        return ValueError(f"filter {self.text!r}: {message}.")

    def _value(self, node, values):
        """Value of a node of the tree, array of bool or float."""
        if node.kind == "constant":
            return np.asarray(node.value)
        if node.kind == "column":
            return values[node.value]
        operands = [self._value(child, values) for child in node.children]
        wants_conditions = node.kind in ("logical", "negation")
        for child, operand in zip(node.children, operands, strict=True):
            if wants_conditions != (operand.dtype == bool) and node.kind != "comparison":
                kinds = ("number", "condition") if wants_conditions else ("condition", "number")
                raise self._error(f"{child.text} is a {kinds[0]}; expected a {kinds[1]}")
        result = reduce(node.value, operands) if node.kind == "logical" else node.value(*operands)
        if result.dtype != bool and (bad := np.count_nonzero(~np.isfinite(result))):
            raise self._error(f"{node.text} is no finite number in {bad} of {result.size} rows")
        if node.kind == "comparison":
            self._check_compared(node, operands)
        return result

    def _check_compared(self, node, operands):
        """A row without a value must not pass, nor fail, without being seen."""
        for child, operand in zip(node.children, operands, strict=True):
            if operand.dtype != bool and (bad := np.count_nonzero(np.isnan(operand))):
                raise self._error(f"{child.text} is no number in {bad} of {operand.size} rows")


@dataclass
class _Node:
    """Operation, with the text it was made from."""

    kind: str
    value: object
    text: str
    children: list
    depth: int


class _Parser:
    """Recursive descent; each method reads what binds more than the one before."""

    def __init__(self, text):
        self.text = text
        self.tokens = list(self._split())
        self.index = 0
        self.depth = 0
        self.names = set()

    def _fail(self, what, place):
        """Error that shows the place."""
        rest = self.text[place:][:20]
        raise ValueError(
            f"filter {self.text!r}: {what} at position {place + 1}"
            + (f" ({rest!r})" if rest else " (the end)")
            + "; allowed are comparisons, arithmetic, && || !, parentheses, numbers, T, F, columns "
            f"and {', '.join(FUNCTIONS)}."
        )

    def _split(self):
        """Tokens: (kind, text, start, stop)."""
        place = 0
        while self.text[place:].strip():
            match = TOKEN.match(self.text, place)
            if not match:
                place += len(self.text[place:]) - len(self.text[place:].lstrip())
                letter = self.text[place]
                instead = f", write {INSTEAD[letter]}" if letter in INSTEAD else ""
                self._fail(f"unexpected {letter!r}{instead}", place)
            kind = match.lastgroup
            text = match[kind]
            if kind == "name" and text.lower() in WORDS:
                kind, text = "operator", WORDS[text.lower()]
            yield kind, text, match.start(match.lastgroup), match.end()
            place = match.end()
        yield "end", "", len(self.text), len(self.text)

    @property
    def _next(self):
        return self.tokens[self.index]

    def _take(self, *operators):
        """Text of the next token if it is one of the operators."""
        kind, text, _, _ = self._next
        if kind == "operator" and text in operators:
            self.index += 1
            return text
        return None

    def _node(self, kind, value, start, *children):
        """Node of the tokens from ``start`` to here."""
        text = self.text[self.tokens[start][2] : self.tokens[self.index - 1][3]]
        depth = 1 + max((child.depth for child in children), default=0)
        if depth > OPERATIONS:
            self._fail(f"more than {OPERATIONS} operations in each other", self.tokens[start][2])
        return _Node(kind, value, text, list(children), depth)

    def parse(self):
        """Tree of the whole text."""
        tree = self._either()
        if self._next[0] != "end":
            self._fail(f"unexpected {self._next[1]!r}", self._next[2])
        return tree

    def _either(self):
        self.depth += 1
        if self.depth > PARENTHESES:
            self._fail(f"more than {PARENTHESES} parentheses in each other", self._next[2])
        node = self._many(self._both, "||", np.logical_or)
        self.depth -= 1
        return node

    def _both(self):
        return self._many(self._not, "&&", np.logical_and)

    def _many(self, operand, operator, function):
        """Conditions side by side, so that a list of hundreds is no deeper than two."""
        start, nodes = self.index, [operand()]
        while self._take(operator):
            nodes.append(operand())
        if len(nodes) == 1:
            return nodes[0]
        return self._node("logical", function, start, *nodes)

    def _not(self):
        """Negation of a whole comparison, as `not` in Python."""
        start, negations = self.index, 0
        while self._take("not"):
            negations += 1
        node = self._comparison()
        for _ in range(negations):
            node = self._node("negation", np.logical_not, start, node)
        return node

    def _comparison(self):
        start = self.index
        node = self._sum()
        operator = self._take(*COMPARISONS)
        if operator:
            node = self._node("comparison", COMPARISONS[operator], start, node, self._sum())
        kind, text, place, _ = self._next
        if operator and kind == "operator" and text in COMPARISONS:
            self._fail("comparisons don't chain, write 'a < b && b < c'", place)
        return node

    def _sum(self):
        return self._left(self._product, "+", "-")

    def _product(self):
        return self._left(self._unary, "*", "/", "%")

    def _left(self, operand, *operators):
        """Operators that associate to the left."""
        start = self.index
        node = operand()
        while operator := self._take(*operators):
            node = self._node("arithmetic", ARITHMETIC[operator], start, node, operand())
        return node

    def _unary(self):
        """Signs and `!`, in a loop so that a row of them needs no depth."""
        start, signs = self.index, []
        while sign := self._take("-", "+", "!"):
            signs.append(sign)
        node = self._power()
        for sign in reversed(signs):
            kind = "negation" if sign == "!" else "arithmetic"
            function = {"!": np.logical_not, "-": np.negative, "+": np.positive}[sign]
            node = self._node(kind, function, start, node)
        return node

    def _power(self):
        start = self.index
        node = self._atom()
        if self._take("**"):
            start_exponent = self.index
            negative = self._take("-")
            exponent = self._atom()
            if negative:
                exponent = self._node("arithmetic", np.negative, start_exponent, exponent)
            node = self._node("arithmetic", np.power, start, node, exponent)
        return node

    def _atom(self):
        kind, text, place, _ = self._next
        start = self.index
        if self._take("("):
            node = self._either()
            self._close()
            return self._node(node.kind, node.value, start, *node.children)
        if kind not in ("number", "name"):
            self._fail(f"expected a number, a column or '(', got {text!r}", place)
        self.index += 1
        if kind == "number":
            return self._node("constant", float(text), start)
        if self._take("("):
            return self._call(text, start, place)
        if text.upper() in CONSTANTS:
            return self._node("constant", CONSTANTS[text.upper()], start)
        self.names.add(text)
        return self._node("column", text, start)

    def _call(self, name, start, place):
        """Function with its arguments."""
        if name.lower() not in FUNCTIONS:
            self._fail(f"unknown function {name!r}", place)
        function, count = FUNCTIONS[name.lower()]
        arguments = [self._either()]
        while self._take(","):
            arguments.append(self._either())
        self._close()
        if len(arguments) != count:
            self._fail(f"{name} takes {count} arguments, got {len(arguments)}", place)
        return self._node("arithmetic", function, start, *arguments)

    def _close(self):
        kind, text, place, _ = self._next
        if not self._take(")"):
            self._fail(f"expected ')', got {text!r}", place)
