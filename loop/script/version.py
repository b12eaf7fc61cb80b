"""The change summary at a version script's top: the server's words, in place of the parent's (N1)."""

import ast
import re
import textwrap
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import ScriptError
from .source import Script, bindings

_OPEN = "# >>> progressive-training"
_CLOSE = "# <<< progressive-training"
_BLOCK = re.compile(rf"^{re.escape(_OPEN)}.*?^{re.escape(_CLOSE)}[^\n]*\n", re.S | re.M)
_FIRST_LINES = re.compile(r"(?:#![^\n]*\n)?(?:#[^\n]*coding[:=][^\n]*\n)?")


def with_header(text: str, title: str, lines: Sequence[tuple[str, str]]) -> str:
    """The script with its header replaced or added, below a shebang and an encoding line, in its own line endings."""
    newline = "\r\n" if "\r\n" in text else "\n"
    body = without_header(text)
    start = _FIRST_LINES.match(body)
    at = start.end() if start else 0
    block = [f"{_OPEN}: {title}"]
    for name, words in lines:
        block += textwrap.wrap(f"{name}: {' '.join(words.split())}", 108, initial_indent="# ", subsequent_indent="#   ")
    return body[:at] + newline.join([*block, _CLOSE, ""]) + body[at:]


def without_header(text: str) -> str:
    return _BLOCK.sub("", text, count=1)


def with_version(text: str, *, old: str, new: str) -> tuple[str, tuple[str, ...]]:
    """The script as version `new`, and in words what that changed; every other byte stays.

    Sets the module-level VERSION (whatever expression stood there) and, in string literals and f-strings, the folder
    `Models/Artifacts/<old>`, also where it is put together of parts (`"Models" / "Artifacts" / "<old>"`,
    `os.path.join(…)`, `ARTIFACTS / "<old>"` with an ARTIFACTS assigned once). Not rewritten: comments, and a path
    that is computed in any other way.

    Raises: ScriptError when `text` can't be parsed or has no module-level VERSION.
    """
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    script = Script.parse(text, f"the script of {old}")
    version = list(_version_edits(script, new))
    # VERSION = Path("Models/Artifacts/baseline").name is replaced whole: the path in it must not be edited as well.
    inside = [(edit.span[0], edit.span[1]) for edit in version]
    paths = [edit for edit in _path_edits(script, old, new) if not any(a <= edit.span[0] < b for a, b in inside)]
    edits = {edit.span: edit for edit in (*version, *paths)}
    edited = script.edited((*edit.span, edit.text) for edit in edits.values())
    return mark + edited, tuple(edit.words for _, edit in sorted(edits.items()))


@dataclass(frozen=True)
class _Edit:
    span: tuple[int, int]
    text: str
    words: str


def _version_edits(script: Script, new: str) -> Iterator[_Edit]:
    values = [value for statement in script.tree.body for name, value in bindings(statement) if name == "VERSION"]
    if not values or None in values:
        raise ScriptError(
            "there is no module-level VERSION that could be set",
            where=script.name,
            hint=f'Put VERSION = "{new}" at the top of the script, below its imports.',
        )
    for value in values:
        literal = f'"{new}"'
        if value is not None and not (isinstance(value, ast.Constant) and value.value == new):
            words = f"line {value.lineno}: VERSION = {_short(script.source(value))} -> {literal}"
            yield _Edit(script.span(value), literal, words)


def _path_edits(script: Script, old: str, new: str) -> Iterator[_Edit]:
    whole = re.compile(rf"(?<![\w.-])(Models[/\\]+Artifacts[/\\]+){re.escape(old)}(?![\w{{-]|\.\w)")
    for node in literals(script.tree):
        if not written_in_place(script, node):
            continue
        source = script.source(node)
        replaced = whole.sub(rf"\g<1>{new}", source)
        if replaced == source and isinstance(node, ast.Constant):
            # "Models/" "Artifacts/baseline": the folder shows only once the pieces are joined.
            value = str(node.value)
            replaced = repr(whole.sub(rf"\g<1>{new}", value)) if whole.search(value) else source
        if replaced != source:
            yield _Edit(script.span(node), replaced, f"line {node.lineno}: Models/Artifacts/{old} -> {new}")
    part = re.compile(rf"(?<![\w.-]){re.escape(old)}(?![\w{{-]|\.\w)")
    for node in _old_parts(script.tree, old):
        if written_in_place(script, node):
            source = part.sub(new, script.source(node), count=1)
            yield _Edit(script.span(node), source, f"line {node.lineno}: path part {old} -> {new}")


def literals(node: ast.AST) -> Iterator[ast.expr]:
    """Every string literal and f-string; the pieces of an f-string are part of it and don't come again."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.JoinedStr) or (isinstance(child, ast.Constant) and isinstance(child.value, str)):
            yield child
        else:
            yield from literals(child)


def written_in_place(script: Script, node: ast.expr) -> bool:
    """Whether the node's span in the text is that expression."""
    # Python 3.11 gives nodes inside an f-string approximate positions; an edit there could hit other bytes.
    try:
        parsed = ast.parse(f"({script.source(node)})", mode="eval").body
    except (SyntaxError, UnicodeDecodeError):
        return False
    return ast.dump(parsed) == ast.dump(node)


def _old_parts(tree: ast.Module, old: str) -> Iterator[ast.Constant]:
    """The literals that, in a path put together of parts, are the <old> right after Models and Artifacts."""
    known = bound_once(tree)
    for node in ast.walk(tree):
        parts = list(path_parts(node, known, 0)) if isinstance(node, ast.BinOp | ast.Call) else []
        names = [name for name, _ in parts]
        for index in range(2, len(parts)):
            literal = parts[index][1]
            # Models/Artifacts/<old> within one literal is the other rewrite's business.
            if literal is None or literal is parts[index - 2][1]:
                continue
            if names[index - 2 : index + 1] == ["Models", "Artifacts", old]:
                yield literal


def bound_once(tree: ast.Module) -> Mapping[str, ast.expr]:
    """The names that the script binds to one expression and no other, wherever."""
    bound = [pair for node in ast.walk(tree) if isinstance(node, ast.stmt) for pair in bindings(node)]
    times = Counter(name for name, _ in bound)
    return {name: value for name, value in bound if value is not None and times[name] == 1}


def path_parts(
    node: ast.AST, known: Mapping[str, ast.expr], hops: int
) -> Iterator[tuple[str | None, ast.Constant | None]]:
    """The components of a path expression, each with the literal that holds it; (None, None) where unknown.

    A literal that is reached through a name has no node here: it is found where it is assigned.
    """
    match node:
        case ast.Constant(value=str(text)):
            for part in re.split(r"[/\\]+", text):
                if part not in ("", "."):
                    yield part, None if hops else node
        case ast.BinOp(left=left, op=ast.Div() | ast.Add(), right=right):
            yield from path_parts(left, known, hops)
            yield from path_parts(right, known, hops)
        case ast.JoinedStr(values=pieces):
            for piece in pieces:
                yield from path_parts(piece, known, hops + 1)
        case ast.List(elts=items) | ast.Tuple(elts=items):
            for item in items:
                yield from path_parts(item, known, hops)
        case ast.Call(func=ast.Name(id="Path" | "PurePath" | "join" | "str"), args=args):
            for arg in args:
                yield from path_parts(arg, known, hops)
        case ast.Call(func=ast.Attribute(value=base, attr="join" | "joinpath" | "Path"), args=args):
            yield from path_parts(base, known, hops)
            for arg in args:
                yield from path_parts(arg, known, hops)
        case ast.Name(id=name) if name in known and hops < 4:
            yield from path_parts(known[name], known, hops + 1)
        case _:
            yield None, None


def _short(source: str) -> str:
    line = " ".join(source.split())
    return line if len(line) <= 60 else f"{line[:57]}..."
