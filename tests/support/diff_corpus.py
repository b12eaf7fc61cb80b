"""Real edits of training scripts, written as diffs and spoilt in the ways of language models; seeded.

The true new text is known from the edit, so that an applied diff can be told right from silently wrong. A case is
`determined` when the spoilt diff still says where each hunk goes; otherwise refusing is the only right answer.
Nothing here uses the code under test.
"""

import difflib
import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass
class Line:
    """A line of a draft: its marker, its text, and whether the text still is what the true diff says."""

    mark: str
    text: str
    true: bool = True


@dataclass
class DraftHunk:
    numbers: list[int]  # old start, old count, new start, new count
    lines: list[Line]
    header: str = "full"


@dataclass
class Draft:
    """A diff on its way from correct to spoilt."""

    name: str
    old: list[str]
    hunks: list[DraftHunk]
    style: str = "unified"
    head: str = "plain"
    before: str = ""
    after: str = ""
    crlf: bool = False
    final_newline: bool = True
    numbers_right: bool = True
    broken: bool = False  # it quotes what the script does not hold: no place can be right
    lost_markers: set[int] = field(default_factory=set[int])  # id() of context lines to print without their marker


@dataclass(frozen=True)
class Case:
    """A text, a spoilt diff, and what it should lead to."""

    text: str
    diff: str
    truth: str
    damage: tuple[str, ...]
    determined: bool


# --- edits ---------------------------------------------------------------------------------------------------------


def _indent(line: str) -> str:
    return line[: len(line) - len(line.lstrip())]


def _tweak_number(lines: list[str], rng: random.Random) -> list[str]:
    spots = [i for i, line in enumerate(lines) if re.search(r"\d", line)]
    if not spots:
        return lines
    at = rng.choice(spots)
    number = rng.choice(list(re.finditer(r"\d+(\.\d+)?", lines[at])))
    text = lines[at][: number.start()] + str(rng.choice([3, 7, 0.25, 96])) + lines[at][number.end() :]
    return [*lines[:at], text, *lines[at + 1 :]]


_NEW_LINES = (
    ["scheduler.step()"],
    ["# keep the running mean of the weights", "ema.update(model)"],
    ["self.extra = nn.Dropout(0.3)"],
    ["noise = torch.randn(4) * 0.01", "", "assert noise.isfinite().all()"],
    ["if step % 50 == 0:", "    print('step', step)"],
    ["x = F.gelu(x)"],
)


def _insert(lines: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(1, len(lines))
    indent = _indent(next((line for line in lines[at:] if line.strip()), ""))
    tabs = any(line.startswith("\t") for line in lines)
    new = [line.replace("    ", "\t") if tabs else line for line in rng.choice(_NEW_LINES)]
    return [*lines[:at], *(indent + line if line else "" for line in new), *lines[at:]]


def _insert_at_end(lines: list[str], rng: random.Random) -> list[str]:
    return [*lines, "", f"FINISHED = {rng.randrange(100)}"]


def _insert_at_start(lines: list[str], rng: random.Random) -> list[str]:
    return [f"# run {rng.randrange(100)}", *lines]


def _delete(lines: list[str], rng: random.Random) -> list[str]:
    at = rng.randrange(len(lines) - 3)
    return lines[:at] + lines[at + rng.choice([1, 1, 2]) :]


def _wrap(lines: list[str], rng: random.Random) -> list[str]:
    spots = [i for i, line in enumerate(lines[:-2]) if line.strip() and _indent(line) and lines[i + 1].strip()]
    if not spots:
        return lines
    at = rng.choice(spots)
    indent = _indent(lines[at])
    unit = "\t" if "\t" in indent else "    "
    return [*lines[:at], indent + "if step >= 0:", unit + lines[at], *lines[at + 1 :]]


def _rewrite(lines: list[str], rng: random.Random) -> list[str]:
    spots = [i for i, line in enumerate(lines[:-3]) if line.strip()]
    at = rng.choice(spots)
    indent = _indent(lines[at])
    return [*lines[:at], indent + "value = compute(1, 2)", indent + "check(value)", *lines[at + rng.choice([1, 2]) :]]


_EDITS = (_tweak_number, _tweak_number, _insert, _insert, _insert_at_end, _insert_at_start, _delete, _wrap, _rewrite)


def _draft(name: str, old: list[str], new: list[str], context: int) -> Draft:
    hunks: list[DraftHunk] = []
    for group in difflib.SequenceMatcher(None, old, new, autojunk=False).get_grouped_opcodes(context):
        lines: list[Line] = []
        for tag, i1, i2, j1, j2 in group:
            if tag == "equal":
                lines += [Line(" ", text) for text in old[i1:i2]]
            else:
                lines += [Line("-", text) for text in old[i1:i2]] + [Line("+", text) for text in new[j1:j2]]
        first, last = group[0], group[-1]
        hunks.append(DraftHunk([first[1] + 1, last[2] - first[1], first[3] + 1, last[4] - first[3]], lines))
    return Draft(name, old, hunks)


# --- damage --------------------------------------------------------------------------------------------------------
# Each function spoils a draft in place and returns whether it found anything to spoil.


def _all_lines(draft: Draft) -> Iterator[Line]:
    return (line for hunk in draft.hunks for line in hunk.lines)


def wrong_counts(draft: Draft, rng: random.Random) -> bool:
    for hunk in draft.hunks:
        hunk.numbers[1] = max(1, hunk.numbers[1] + rng.choice([-3, -2, -1, 1, 2, 5]))
        hunk.numbers[3] = max(1, hunk.numbers[3] + rng.choice([-3, -2, -1, 1, 2, 5]))
    return True


def no_numbers(draft: Draft, rng: random.Random) -> bool:
    header = rng.choice(["bare", "dots", "short", "named"])
    for hunk in draft.hunks:
        hunk.header = header
    draft.numbers_right = False
    return True


def one_shift(draft: Draft, rng: random.Random) -> bool:
    by = rng.choice([-9, -4, -1, 2, 7, 23, 60])
    for hunk in draft.hunks:
        hunk.numbers[0] = max(1, hunk.numbers[0] + by)
        hunk.numbers[2] = max(1, hunk.numbers[2] + by)
    draft.numbers_right = False
    return True


def random_shifts(draft: Draft, rng: random.Random) -> bool:
    for hunk in draft.hunks:
        by = rng.randrange(-40, 41)
        hunk.numbers[0] = max(1, hunk.numbers[0] + by)
        hunk.numbers[2] = max(1, hunk.numbers[2] + by)
    draft.numbers_right = False
    return True


def trailing_blanks_lost(draft: Draft, rng: random.Random) -> bool:
    spots = [line for line in _all_lines(draft) if line.mark != "+" and line.text != line.text.rstrip()]
    for line in spots:
        line.text = line.text.rstrip()
    return bool(spots)


def trailing_blanks_added(draft: Draft, rng: random.Random) -> bool:
    for line in _all_lines(draft):
        if line.mark != "+" and rng.random() < 0.5:
            line.text += rng.choice([" ", "  ", "\t"])
    return True


def trailing_blanks_everywhere(draft: Draft, rng: random.Random) -> bool:
    if any(line.text != line.text.rstrip() for line in _all_lines(draft)):
        return False
    if not all(any(line.mark != "+" and line.text.strip() for line in hunk.lines) for hunk in draft.hunks):
        return False
    for line in _all_lines(draft):
        line.text += " " if line.text else ""
    return True


def crlf_diff(draft: Draft, rng: random.Random) -> bool:
    draft.crlf = not draft.crlf
    return True


def diff_without_final_newline(draft: Draft, rng: random.Random) -> bool:
    draft.final_newline = False
    return True


def blank_markers_lost(draft: Draft, rng: random.Random) -> bool:
    spots = [line for line in _all_lines(draft) if line.mark == " " and not line.text.strip()]
    draft.lost_markers |= {id(line) for line in spots}
    return bool(spots)


def some_markers_lost(draft: Draft, rng: random.Random) -> bool:
    spots = [
        line for line in _all_lines(draft) if line.mark == " " and line.text[:1] not in "+-@\\" and rng.random() < 0.4
    ]
    draft.lost_markers |= {id(line) for line in spots}
    return bool(spots)


def all_markers_lost(draft: Draft, rng: random.Random) -> bool:
    spots = [line for line in _all_lines(draft) if line.mark == " " and line.text[:1] not in "+-@\\"]
    draft.lost_markers |= {id(line) for line in spots}
    return bool(spots)


def indented(draft: Draft, rng: random.Random) -> bool:
    by = rng.choice(["    ", "  ", "        "]) if "\t" not in "".join(draft.old) else "\t"
    for line in _all_lines(draft):
        line.text = by + line.text if line.text.strip() else line.text
    return True


def dedented(draft: Draft, rng: random.Random) -> bool:
    done = False
    for hunk in draft.hunks:
        indents = [_indent(line.text) for line in hunk.lines if line.text.strip()]
        by = min(indents, key=len)
        if by and all(indent.startswith(by) for indent in indents):
            done = True
            for line in hunk.lines:
                line.text = line.text[len(by) :] if line.text.strip() else line.text
    return done


def _levels(text: str, unit: str, other: str) -> str:
    levels = 0
    while text.startswith(unit):
        text, levels = text[len(unit) :], levels + 1
    return other * levels + text


def other_unit(draft: Draft, rng: random.Random) -> bool:
    """Tabs for blanks, or blanks for tabs; a diff without any indentation has nothing to spoil."""
    mine, other = ("\t", "    ") if any(line.startswith("\t") for line in draft.old) else ("    ", "\t")
    for line in _all_lines(draft):
        line.text = _levels(line.text, mine, other)
    return any(_indent(line.text) for line in _all_lines(draft) if line.mark != "+")


def padded_markers(draft: Draft, rng: random.Random) -> bool:
    if not all(any(line.mark == "-" and line.text.strip() for line in hunk.lines) for hunk in draft.hunks):
        return False
    for line in _all_lines(draft):
        line.text = " " + line.text if line.mark != " " and line.text else line.text
    return True


def fenced(draft: Draft, rng: random.Random) -> bool:
    label = rng.choice(["diff", "", "patch", "python"])
    draft.before = f"Here is the change:\n\n```{label}\n"
    draft.after = "\n```\n\n- It keeps the rest.\n+ Nothing else moves.\n"
    return True


def prose_around(draft: Draft, rng: random.Random) -> bool:
    draft.before = "I would make one change, to the script only.\n\n"
    draft.after = "\n\nThis should lower the validation loss.\nLet me know how the run goes.\n"
    return True


def shuffled(draft: Draft, rng: random.Random) -> bool:
    if len(draft.hunks) < 2:
        return False
    draft.hunks.reverse()
    return True


def other_head(draft: Draft, rng: random.Random) -> bool:
    draft.head = rng.choice(["none", "git", "each", "dated", "renamed", "envelope"])
    return True


def less_context(draft: Draft, rng: random.Random) -> bool:
    done = False
    for hunk in draft.hunks:
        for end in (0, -1):
            for _ in range(rng.choice([0, 1, 2])):
                if len(hunk.lines) > 2 and hunk.lines[end].mark == " ":
                    line = hunk.lines.pop(end)
                    done = True
                    if end == 0:
                        hunk.numbers[0] += 1
                        hunk.numbers[2] += 1
                    hunk.numbers[1] -= 1
                    hunk.numbers[3] -= 1
                    draft.lost_markers.discard(id(line))
    return done


def context_misquoted(draft: Draft, rng: random.Random) -> bool:
    """The outermost context line is paraphrased, where another one stands between it and the change."""
    done = False
    for hunk in draft.hunks:
        for at, beside in ((0, 1), (-1, -2)):
            if len(hunk.lines) > 4 and hunk.lines[at].mark == hunk.lines[beside].mark == " " and rng.random() < 0.7:
                line = hunk.lines[at]
                if line.text.strip():
                    line.text, line.true = line.text + "  # as before", False
                    done = True
                    break
    return done


def outer_blank_dropped(draft: Draft, rng: random.Random) -> bool:
    """A blank context line is left out, with context on both of its sides."""
    for hunk in draft.hunks:
        for at in range(1, min(3, len(hunk.lines) - 1)):
            around = hunk.lines[at - 1 : at + 2]
            if all(line.mark == " " for line in around) and not around[1].text and around[2].text:
                for line in hunk.lines[:at]:
                    line.true = False
                del hunk.lines[at]
                hunk.numbers[0] += 1
                return True
    return False


def search_replace(draft: Draft, rng: random.Random) -> bool:
    if not all(any(line.mark != "+" and line.text.strip() for line in hunk.lines) for hunk in draft.hunks):
        return False
    draft.style = "search"
    draft.numbers_right = False
    return True


def removed_misquoted(draft: Draft, rng: random.Random) -> bool:
    """A removed line that the script holds otherwise, as after an edit that the model has not seen."""
    spots = [line for line in _all_lines(draft) if line.mark == "-" and re.search(r"\w{3}", line.text)]
    if spots:
        line = rng.choice(spots)
        line.text, line.true = re.sub(r"\w{3}", "zzz", line.text, count=1), False
        draft.broken = True
    return bool(spots)


def near_context_dropped(draft: Draft, rng: random.Random) -> bool:
    """The context line right beside a change is left out, so that the change seems to stand one line off.

    Only where what remains does not stand in the script: else it would be the correct diff of another edit.
    """
    hunk = rng.choice(draft.hunks)
    spots = [
        at
        for at in range(2, len(hunk.lines) - 2)
        if all(hunk.lines[edge].mark == " " for edge in (at, 0, -1))
        and {hunk.lines[at - 1].mark, hunk.lines[at + 1].mark} & {"+", "-"}
    ]
    if not spots:
        return False
    at = rng.choice(spots)
    dropped = hunk.lines.pop(at)
    if _spots(draft, hunk, strip=True):
        hunk.lines.insert(at, dropped)
        return False
    draft.broken = True
    return True


def hunk_repeated(draft: Draft, rng: random.Random) -> bool:
    draft.hunks.append(rng.choice(draft.hunks))
    draft.broken = True
    return True


def no_context(draft: Draft, rng: random.Random) -> bool:
    """Only changed lines are left, and no numbers."""
    for hunk in draft.hunks:
        while hunk.lines[0].mark == " ":
            hunk.lines.pop(0)
        while hunk.lines[-1].mark == " ":
            hunk.lines.pop()
        hunk.header = "bare"
    draft.numbers_right = False
    return True


# What usually takes a diff its meaning: refusing is right then, and a wrong result counts as anywhere.
RUIN = (removed_misquoted, near_context_dropped, hunk_repeated, no_context)
_CONTEXT = (less_context, outer_blank_dropped, context_misquoted)
DAMAGE: tuple[Callable[[Draft, random.Random], bool], ...] = (
    wrong_counts,
    no_numbers,
    one_shift,
    random_shifts,
    trailing_blanks_lost,
    trailing_blanks_added,
    trailing_blanks_everywhere,
    crlf_diff,
    diff_without_final_newline,
    blank_markers_lost,
    some_markers_lost,
    all_markers_lost,
    indented,
    dedented,
    other_unit,
    padded_markers,
    fenced,
    prose_around,
    shuffled,
    other_head,
    less_context,
    context_misquoted,
    outer_blank_dropped,
    search_replace,
)
# What can't stand together: the damage would no longer be what its name says.
_APART = (
    {"indented", "dedented", "other_unit", "padded_markers"},
    {"some_markers_lost", "all_markers_lost", "indented", "dedented", "other_unit", "padded_markers"},
    {"context_misquoted", "outer_blank_dropped", "search_replace", "less_context"},
    {"padded_markers", "search_replace"},
    {"fenced", "prose_around"},
    {"trailing_blanks_lost", "trailing_blanks_added", "trailing_blanks_everywhere"},
    {"trailing_blanks_everywhere", "context_misquoted", "search_replace"},
    # An unmarked line that is misquoted too is prose to any reader.
    {"some_markers_lost", "context_misquoted"},
    {"all_markers_lost", "context_misquoted"},
)

# --- rendering -----------------------------------------------------------------------------------------------------


def _body(draft: Draft, hunk: DraftHunk) -> list[str]:
    return [("" if id(line) in draft.lost_markers else line.mark) + line.text for line in hunk.lines]


def _hunk_header(hunk: DraftHunk) -> str:
    a, b, c, d = hunk.numbers
    forms = {"full": f"@@ -{a},{b} +{c},{d} @@", "bare": "@@ @@", "dots": "@@ ... @@", "short": "@@"}
    return forms.get(hunk.header, "@@ def forward(self, x): @@")


def render(draft: Draft) -> str:
    """The draft as the text that a model would send."""
    name = draft.name
    head = {
        "plain": [f"--- a/{name}", f"+++ b/{name}"],
        "none": [],
        "git": [f"diff --git a/{name} b/{name}", "index 83db48f..bf2a1c4 100644", f"--- a/{name}", f"+++ b/{name}"],
        "each": [f"--- a/{name}", f"+++ b/{name}"],
        "dated": [f"--- {name}\t2026-01-02 10:00:00", f"+++ {name}\t2026-01-02 10:05:00"],
        "renamed": ["--- a/02_train_v001.py", "+++ b/02_train_v002.py"],
        "envelope": ["*** Begin Patch", f"*** Update File: {name}"],
    }[draft.head]
    out: list[str] = []
    for at, hunk in enumerate(draft.hunks):
        if draft.style == "search":
            old = [line.text for line in hunk.lines if line.mark != "+"]
            new = [line.text for line in hunk.lines if line.mark != "-"]
            out += [name, "<<<<<<< SEARCH", *old, "=======", *new, ">>>>>>> REPLACE"]
        else:
            out += head if at == 0 or draft.head == "each" else []
            out += [_hunk_header(hunk), *_body(draft, hunk)]
    if draft.head == "envelope" and draft.style == "unified":
        out.append("*** End Patch")
    text = draft.before + "\n".join(out) + (draft.after or ("\n" if draft.final_newline else ""))
    return text.replace("\n", "\r\n") if draft.crlf else text


# --- what the spoilt diff still says -------------------------------------------------------------------------------


def _spots(draft: Draft, hunk: DraftHunk, *, strip: bool) -> list[int]:
    """Where in the old text all of the hunk's true old lines stand, counted by hand and in full."""

    def plain(text: str) -> str:
        return text.strip() if strip else text.rstrip()

    old = [line for line in hunk.lines if line.mark != "+"]
    wanted = [(at, plain(line.text)) for at, line in enumerate(old) if line.true]
    lines = [plain(line) for line in draft.old]
    spots: list[int] = []
    for start in range(-3, len(lines)):
        if all(0 <= start + at < len(lines) and lines[start + at] == text for at, text in wanted):
            spots.append(start)
    return spots


def is_determined(draft: Draft, *, reindented: bool) -> bool:
    """Whether each hunk has one place, by its lines or by right line numbers."""
    if draft.broken:
        return False
    if draft.numbers_right:
        return all(any(line.mark != "+" for line in hunk.lines) for hunk in draft.hunks)
    return all(len(_spots(draft, hunk, strip=reindented)) == 1 for hunk in draft.hunks)


# --- cases ---------------------------------------------------------------------------------------------------------


def _compatible(names: list[str]) -> bool:
    return all(len(group & set(names)) < 2 for group in _APART)


def corpus(count: int, *, seed: int, scripts: Mapping[str, str]) -> Iterator[Case]:
    """`count` cases: a script, one to three edits, one to four kinds of damage."""
    rng = random.Random(seed)
    names = sorted(scripts)
    made = 0
    while made < count:
        name = rng.choice(names)
        case = _case(name, scripts[name], rng)
        if case is not None:
            made += 1
            yield case


def _case(name: str, text: str, rng: random.Random) -> Case | None:
    old = text.removesuffix("\n").split("\n")
    new = old
    for _ in range(rng.choice([1, 1, 2, 3])):
        new = rng.choice(_EDITS)(new, rng)
    if new == old:
        return None
    draft = _draft(name, old, new, context=3)
    chosen = rng.sample(DAMAGE, rng.choice([1, 1, 2, 2, 3, 4]))
    if rng.random() < 0.12:
        chosen = [rng.choice(RUIN), *chosen[:1]]
    if not _compatible([damage.__name__ for damage in chosen]):
        return None
    ending = rng.choice(["\n", "\n", "\n", "\r\n"])
    draft.crlf = ending == "\r\n" and rng.random() < 0.5
    # Context goes first: what is counted, shifted or shown without markers must be the final lines.
    chosen.sort(key=lambda damage: 0 if damage in _CONTEXT else 1 if damage in RUIN else 2)
    damage = tuple(one.__name__ for one in chosen if one(draft, rng))
    if not damage:
        return None
    end = rng.choice([ending, ending, ""])
    determined = is_determined(draft, reindented=bool({"indented", "dedented", "other_unit"} & set(damage)))
    return Case(ending.join(old) + end, render(draft), ending.join(new) + end, damage, determined)
