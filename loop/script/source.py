"""What a training script is: its text, its tree, its symbols and its constants.

Everything here reads the syntax tree; no line of a script is run. Offsets are UTF-8 byte offsets, as `ast` counts them:
scripts hold Hangul, and an edit keeps every other byte as it was, line endings included.
"""

import ast
import codecs
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache, wraps
from pathlib import Path
from typing import Concatenate, Literal, ParamSpec, TypeVar, cast

from ..errors import ProjectError, ScriptError

Constant = bool | int | float | str | None
SymbolKind = Literal["constant", "function", "class", "method", "field", "statement"]
FunctionNode = ast.FunctionDef | ast.AsyncFunctionDef
P = ParamSpec("P")
T = TypeVar("T")

MODULE = "<module>"
"""Name of the module-level statements that define nothing."""
MAIN = "__main__"
"""Name of the body of `if __name__ == "__main__":`."""

# A deeper tree is generated or hostile; walking it by recursion would end in RecursionError at an arbitrary place.
_MAX_DEPTH = 200


@dataclass(frozen=True)
class Symbol:
    """A named part of a script: `Model.configure_optimizers`, `LEARNING_RATE`, `Config.lr`. Lines count from 1."""

    name: str
    kind: SymbolKind
    line: int
    end_line: int


@dataclass(frozen=True)
class Script:
    """A parsed script. Equal when name and text are; `text` has no byte-order mark."""

    name: str
    text: str
    tree: ast.Module = field(compare=False, repr=False)

    @classmethod
    def parse(cls, text: str, name: str) -> "Script":
        """Parse `text`; `name` is what errors call it.

        Raises: ScriptError naming file:line:col for what this server's Python can't parse.
        """
        return cls._parse(text, name)

    # One Step asks for the same few scripts again and again; nobody changes a tree. Few: a tree takes some thirty times
    # the memory of its text, and each version of a loop brings new texts.
    @classmethod
    @lru_cache(maxsize=16)
    def _parse(cls, text: str, name: str) -> "Script":
        text = text.removeprefix("\ufeff")
        if (nul := text.find("\0")) >= 0:
            line = text.count("\n", 0, nul) + 1
            column = nul - text.rfind("\n", 0, nul)
            raise ScriptError(
                "a NUL byte stands in the script",
                where=f"{name}:{line}:{column}",
                hint="Save the file as UTF-8 text and try again.",
            )
        try:
            tree = ast.parse(text, filename=name)
        except SyntaxError as error:
            raise ScriptError(
                f"the script can't be parsed: {error.msg}",
                where=f"{name}:{error.lineno or 1}:{error.offset or 1}",
                hint=f"Correct the syntax there (it is read by Python {sys.version_info.major}."
                f"{sys.version_info.minor}).",
            ) from error
        except UnicodeEncodeError as error:
            line = text.count("\n", 0, error.start) + 1
            raise ScriptError(
                "a character can't be written as UTF-8 (a lone surrogate)",
                where=f"{name}:{line}:{error.start - text.rfind(chr(10), 0, error.start)}",
                hint="Remove that character.",
            ) from error
        except (RecursionError, MemoryError) as error:
            raise _too_deep(name) from error
        if _deeper_than(tree, _MAX_DEPTH):
            raise _too_deep(name)
        return cls(name, text, tree)

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """Every definition and module-level statement in the order of the file; imports and docstrings aside."""
        return tuple(
            Symbol(unit.name, unit.kind, _first_line(unit.node), unit.node.end_lineno or unit.node.lineno)
            for unit in units(self.tree)
        )

    def constant(self, name: str) -> Constant:
        """The literal that the module binds to `name`; None when it is no literal, or bound never or more than once."""
        values = [value for bound, value, _ in module_bindings(self.tree) if bound == name]
        if len(values) != 1 or values[0] is None:
            return None
        try:
            literal: object = ast.literal_eval(values[0])
        except (ValueError, TypeError):
            return None
        return literal if isinstance(literal, bool | int | float | str) else None

    @cached_property
    def findings(self) -> dict[object, object]:
        """What `kept_with_script` keeps of it."""
        return {}

    @cached_property
    def data(self) -> bytes:
        """The text as UTF-8, which the byte offsets refer to."""
        return self.text.encode()

    @cached_property
    def _line_starts(self) -> tuple[int, ...]:
        # Python's tokenizer ends a line at \n, \r\n and a lone \r, and nowhere else (str.splitlines has more).
        return (0, *(match.end() for match in re.finditer(rb"\r\n|\r|\n", self.data)))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        """Start and end byte offset of a node of this script's tree."""
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset or node.col_offset
        return self._line_starts[node.lineno - 1] + node.col_offset, self._line_starts[end_line - 1] + end_column

    def source(self, node: ast.expr | ast.stmt) -> str:
        """The text of a node, as written."""
        start, end = self.span(node)
        return self.data[start:end].decode()

    def edited(self, edits: Iterable[tuple[int, int, str]]) -> str:
        """The text with each (start, end) byte range replaced; ranges must not overlap."""
        data = self.data
        for start, end, replacement in sorted(edits, reverse=True):
            data = data[:start] + replacement.encode() + data[end:]
        return data.decode()


def kept_with_script(look: Callable[Concatenate[Script, P], T]) -> Callable[Concatenate[Script, P], T]:
    """The function, asked once for each script: what it finds is kept as long as the script is, and no longer.

    A cache of its own would keep every script that it was asked for, with its tree.
    """

    @wraps(look)
    def known(script: Script, /, *args: P.args, **kwargs: P.kwargs) -> T:
        key = (look, args, tuple(kwargs.items()))
        if key not in script.findings:
            script.findings[key] = look(script, *args, **kwargs)
        return cast(T, script.findings[key])

    return known


def read_script(path: Path, name: str | None = None) -> Script:
    """Read and parse a script, called `name` in errors (its file's name by default); a byte-order mark is dropped.

    Raises: ProjectError when the file can't be read; ScriptError when it isn't UTF-8 Python.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ProjectError(
            f"the script can't be read: {error.strerror}", where=str(path), hint="Check the path and its permissions."
        ) from error
    name = path.name if name is None else name
    return Script.parse(decode_script(data, name), name)


def decode_script(data: bytes, name: str) -> str:
    """The text of a script's bytes.

    A script that declares another encoding is refused, although Python would run it: the loop edits scripts, and
    writes UTF-8. Raises: ScriptError with line and column of the first byte that isn't UTF-8, or of that declaration.
    """
    hint = "save it as UTF-8 and try again"
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise ScriptError("the script is encoded as UTF-16", where=f"{name}:1:1", hint=hint)
    line, declared = _declared_encoding(data)
    foreign = declared is not None and _codec(declared, name, line) not in ("utf-8", "utf-8-sig")
    if foreign:
        hint = f"save it as UTF-8, remove that line (line {line}, coding: {declared}), and try again"
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        what = f"the script is not UTF-8 (byte 0x{data[error.start]:02x}{_reads_as(data)})"
        raise ScriptError(what, where=f"{name}:{_place(data, error.start)}", hint=hint) from error
    if foreign:
        raise ScriptError(f"the script declares the encoding {declared}", where=f"{name}:{line}:1", hint=hint)
    return text


# PEP 263: only a comment in one of the first two lines, and in the second only below a blank line or a comment.
_CODING = re.compile(rb"^[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)")
_BLANK = re.compile(rb"^[ \t\f]*(?:#.*)?$")


def _declared_encoding(data: bytes) -> tuple[int, str | None]:
    """The line with the script's coding comment and the encoding as it is spelled there; None without one."""
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").splitlines()[:2], start=1):
        if found := _CODING.match(line):
            return number, found[1].decode("ascii", errors="replace")
        if not _BLANK.match(line):
            break
    return 1, None


def _codec(declared: str, name: str, line: int) -> str:
    try:
        return codecs.lookup(declared).name
    except LookupError as error:
        hint = "remove that line, save the script as UTF-8, and try again"
        raise ScriptError(f"there is no encoding {declared}", where=f"{name}:{line}:1", hint=hint) from error


def _reads_as(data: bytes) -> str:
    """Windows in Korea saves as CP949; whoever sees its name knows which of an editor's menus to open."""
    try:
        text = data.decode("cp949")
    except UnicodeDecodeError:
        return ""
    return ", but it reads as CP949" if re.search(r"[가-힣]", text) else ""


def _place(data: bytes, offset: int) -> str:
    """`line:column` of a byte, both from 1; what comes before it in its line is UTF-8."""
    start = data.rfind(b"\n", 0, offset) + 1
    return f"{data.count(bytes([10]), 0, start) + 1}:{len(data[start:offset].decode()) + 1}"


def module_bindings(tree: ast.Module) -> Iterator[tuple[str, ast.expr | None, ast.stmt]]:
    """Each name that a top-level assignment binds, with its value (None: no value, or no single expression)."""
    for statement in tree.body:
        for name, value in bindings(statement):
            yield name, value, statement


def bindings(statement: ast.stmt) -> tuple[tuple[str, ast.expr | None], ...]:
    """The plain names that an assignment binds; empty when it binds an attribute or item, or is no assignment."""
    match statement:
        case ast.Assign(targets=targets, value=value):
            pairs = [pair for target in targets for pair in _pairs(target, value)]
        case ast.AnnAssign(target=ast.Name(id=name), value=value):
            return ((name, value),)
        case ast.AugAssign(target=ast.Name(id=name)):
            return ((name, None),)
        case _:
            return ()
    return tuple((name, value) for name, value in pairs if name) if all(name for name, _ in pairs) else ()


def is_main_guard(statement: ast.stmt) -> bool:
    """Whether the statement is `if __name__ == "__main__":` (either way around)."""
    match statement:
        case ast.If(test=ast.Compare(left=left, ops=[ast.Eq()], comparators=[right])):
            sides = {ast.unparse(left), ast.unparse(right)}
            return sides == {"__name__", "'__main__'"}
        case _:
            return False


def is_note(statement: ast.AST) -> bool:
    """Whether the statement is a bare string: a docstring or a note, which does nothing."""
    return (
        isinstance(statement, ast.Expr)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    )


@dataclass(frozen=True)
class Unit:
    name: str
    kind: SymbolKind
    node: ast.stmt
    shape: str
    owner: str  # the class it stands in, or ""


def units(tree: ast.Module) -> Iterator[Unit]:
    for statement in tree.body:
        if isinstance(statement, ast.Import | ast.ImportFrom) or is_note(statement):
            continue
        if is_main_guard(statement):
            yield Unit(MAIN, "statement", statement, shape(statement), "")
        elif not (found := list(_definitions(statement, ""))):
            yield Unit(MODULE, "statement", statement, shape(statement), "")
        else:
            yield from found


def _definitions(statement: ast.stmt, owner: str) -> Iterator[Unit]:
    prefix = f"{owner}." if owner else ""
    if isinstance(statement, FunctionNode):
        yield Unit(prefix + statement.name, "method" if owner else "function", statement, shape(statement), owner)
    elif isinstance(statement, ast.ClassDef):
        name = prefix + statement.name
        members = [list(_definitions(child, name)) for child in statement.body]
        loose = [child for child, found in zip(statement.body, members, strict=True) if not found]
        yield Unit(name, "class", statement, shape(statement, skip={"body"}) + shape(loose), owner)
        for found in members:
            yield from found
    else:
        whole = shape(statement)
        for name, value in bindings(statement):
            # `A, B = 1, 2` is two constants: changing one must not name the other.
            split = isinstance(statement, ast.Assign) and value is not None
            own = f"{name}={shape(value)}" if split else whole
            yield Unit(prefix + name, "field" if owner else "constant", statement, own, owner)


def _pairs(target: ast.expr, value: ast.expr | None) -> Iterator[tuple[str, ast.expr | None]]:
    match target:
        case ast.Name(id=name):
            yield name, value
        case ast.Starred(value=inner):
            yield from _pairs(inner, None)
        case ast.Tuple(elts=targets) | ast.List(elts=targets):
            values: Sequence[ast.expr | None] = [None] * len(targets)
            if isinstance(value, ast.Tuple | ast.List) and len(value.elts) == len(targets):
                starred = any(isinstance(item, ast.Starred) for item in (*targets, *value.elts))
                values = values if starred else value.elts
            for one, its in zip(targets, values, strict=True):
                yield from _pairs(one, its)
        case _:
            yield "", value


def shape(node: object, *, skip: Iterable[str] = ()) -> str:
    """What `ast.dump` says, without docstrings, positions and other things that change no behaviour.

    `skip` names fields of the outermost node to leave out.
    """
    if isinstance(node, ast.AST):
        ignored = {"kind", "ctx", "type_comment", *skip}
        parts = [f"{name}={shape(value)}" for name, value in ast.iter_fields(node) if name not in ignored]
        return f"{type(node).__name__}({','.join(parts)})"
    if isinstance(node, list):
        items = [item for item in cast("list[object]", node) if not (isinstance(item, ast.AST) and is_note(item))]
        return f"[{','.join([shape(item) for item in items])}]"
    return repr(node)


def _deeper_than(tree: ast.AST, limit: int) -> bool:
    level = [tree]
    for _ in range(limit):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
        if not level:
            return False
    return True


def _too_deep(name: str) -> ScriptError:
    return ScriptError(
        f"the script nests deeper than {_MAX_DEPTH} levels",
        where=f"{name}:1:1",
        hint="Break long chains of operators or elif branches up.",
    )


def _first_line(node: ast.stmt) -> int:
    decorators: list[ast.expr] = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])
