"""Hostile and half-valid tool calls for every phase of a loop, drawn by Hypothesis."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from .projects import ACTION, ANALYSIS, EVALUATOR, STAGES, TRAINER, diff, edited

# Texts of 2 MB and calls that train take their time.
SLOW = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)
FAILED = "failed"
NEW = "new"
PHASES = (NEW, *STAGES, FAILED)
"""Stages of `projects.STAGES`, a project without a loop, and one whose training failed."""

_HUGE = 2_000_000
_STRIDE = 7
_NESTED: Any = []
for _ in range(40):
    _NESTED = [_NESTED]
_TEXTS = (
    *("", " ", "\n", "1", "v001", "--help", "-rf", "~", "None", "true", "{{ 7 * 7 }}", "%s%n{0}", "$(touch pwned)"),
    *("../../pwned", "/tmp/pwned", "..\\pwned", "Models/Artifacts/v001/eval_score.json", "v1/../v1", "v1 ", ".", ".."),
    *(
        "\0",
        "v1\0",
        "a\0b",
        "\ud800",
        "good\udfffbad",
        "\u202eabc",
        "a\u200bb\ufeff",
        "\x1b[31mred\x1b]0;t\x07",
        "\x9b1m",
    ),
    *("나의 폴더", "é", "e\u0301", "😀", "x" * 300, "x" * _HUGE, "\n" * 100_000, "(" * 20_000, "-" * 20_000),
    *("02_train_v001.py", "START", "+Name", "fit", "main.x.y", "```\nobey me", "</data>", "import os\n" * 30_000),
)
_NUMBERS = (0, 1, 2, 3, -1, 999_999, 10**6, 10**9, 2**31, 2**63, 2**64, 10**30, 1.0, 2.0, 0.5, -0.0, 1e308, 1e-300)
_OTHERS = (None, True, False, float("nan"), float("inf"), [], {}, [[]], _NESTED, ["x"] * 3_000, {"a": {"b": [1]}})
_FOREIGN_DIFFS = (
    "--- a/../../pwned\n+++ b/../../pwned\n@@ -0,0 +1 @@\n+x\n",
    "--- /dev/null\n+++ b/pwned.py\n@@ -0,0 +1 @@\n+x\n",
    "--- a/02_train_v001.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    "--- a/user_defined_rules.json\n+++ b/user_defined_rules.json\n@@ -1 +1 @@\n-{\n+[\n",
    "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n",
    "GIT binary patch\nliteral 4\nLc$@(M00\n",
    "rename from 02_train_v001.py\nrename to /tmp/pwned\n",
    "@@ -1,999999999 +1,999999999 @@\n-x\n+y\n",
    "@@ @@\n@@ @@\n",
    "+" * 50_000,
    "--- a\n+++ b\n" * 5_000,
    "<<<<<<< SEARCH\nLEARNING_RATE = 0.2\n=======\nLEARNING_RATE = 0.5\n>>>>>>> REPLACE\n",
)
_LINES = (
    "",
    "-",
    "+",
    " ",
    "@@",
    "@@ -1,1 +1,1 @@",
    "\\ No newline at end of file",
    "+\0",
    "+\u202e",
    "-\ud800",
    "+\t\tx",
)

hostile = st.one_of(
    *(st.sampled_from(values) for values in (_TEXTS, _NUMBERS, _OTHERS)),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.sampled_from((*_TEXTS[:40], 1, None, [])), max_size=5),
    st.dictionaries(st.sampled_from(_TEXTS[:20]), st.integers(), max_size=3),
)


@dataclass(frozen=True, repr=False)
class Call:
    stage: str
    tool: str
    arguments: dict[str, Any]

    @property
    def writable(self) -> bool:
        """Whether JSON can hold it: half a surrogate pair it can't."""
        try:
            json.dumps(self.arguments, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return False
        return True

    def __repr__(self) -> str:
        shown = ", ".join(f"{ascii(name)[:60]}={ascii(value)[:120]}" for name, value in self.arguments.items())
        return f"[{self.stage}] {self.tool}({shown[:1500]})"


def version_at(stage: str) -> int:
    return 2 if stage in ("authored", "finished", "reported") else 1


def valid_arguments(tool: str, stage: str) -> dict[str, Any]:
    """What the tool takes, with the version that the loop is at."""
    wait = {"wait_seconds": 30}
    version = {"version": version_at(stage)}
    change = diff(TRAINER, edited(TRAINER, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")), "02_train_v001.py")
    repair = diff(FAILING, TRAINER, "02_train_v001.py")
    return {
        "read_rules": {},
        "start_loop": {"dataset_id": "v1", "patch": ""},
        "next_step": {"brief": True, **wait},
        "run_train": {**version, "resume": False, **wait},
        "repair_version": {**version, "diff": repair, "root_cause": "a typing error", "change_summary": "typed again"},
        "run_eval": {**version, **wait},
        "write_eval": {"source": EVALUATOR},
        "cancel_run": version,
        "write_analysis": {**version, **ANALYSIS},
        "write_action": {**version, **ACTION, "deferred": ["another start"]},
        "author_next_version": {**version, "diff": change},
        "final_report": {"analysis": "The higher rate did it.", "stop_reason": "enough", **wait},
    }[tool]


FAILING = edited(TRAINER, ("rows = fit()\n", "rows = fitt()\n"))
TOOLS = ("read_rules", "start_loop", "next_step", "run_train", "repair_version", "run_eval", "write_eval", "cancel_run")
TOOLS += ("write_analysis", "write_action", "author_next_version", "final_report")


@st.composite
def diffs(draw: st.DrawFn, good: str) -> str:
    """A diff with some lines lost, doubled, swapped, replaced, or of another file."""
    if draw(st.booleans()):
        return draw(st.sampled_from(_FOREIGN_DIFFS))
    lines = good.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["lose", "double", "swap", "replace", "insert", "cut", "crlf"])):
            case "lose":
                lines[at : at + 1] = [] if len(lines) > 1 else [""]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                lines[at], lines[0] = lines[0], lines[at]
            case "replace":
                lines[at] = draw(st.sampled_from(_LINES))
            case "insert":
                lines.insert(at, draw(st.sampled_from(_LINES)))
            case "cut":
                lines = lines[: at + 1]
            case _:
                lines = [f"{line}\r" for line in lines]
    return "\n".join(lines)


@st.composite
def calls(draw: st.DrawFn, stages: tuple[str, ...] = PHASES, tools: tuple[str, ...] = TOOLS) -> Call:
    """Mostly one thing wrong in a call that would do; also nothing right at all, and now and then nothing wrong."""
    stage, tool = draw(st.sampled_from(stages)), draw(st.sampled_from(tools))
    arguments = dict(valid_arguments(tool, stage))
    names = sorted(arguments)
    match draw(st.sampled_from(["one", "one", "one", "one", "missing", "extra", "all", "nothing"])):
        case "one" if names:
            name = draw(st.sampled_from(names))
            special = diffs(arguments[name]) if name in ("diff", "patch") else hostile
            arguments[name] = draw(st.one_of(special, hostile))
        case "missing" if names:
            del arguments[draw(st.sampled_from(names))]
        case "extra":
            arguments[draw(st.sampled_from(_TEXTS))] = draw(hostile)
        case "all":
            arguments = {name: draw(hostile) for name in names}
        case _:
            pass
    return Call(stage, tool, arguments)


def drawn(stage: str, count: int) -> list[Call]:
    """The same `count` calls each time, of every tool in turn, such as JSON can hold."""
    found: list[Call] = []
    each = -(-count // len(TOOLS))
    for tool in TOOLS:

        @settings(max_examples=each, derandomize=True, database=None, deadline=None, suppress_health_check=SLOW)
        @given(call=calls((stage,), (tool,)))
        def draw(call: Call) -> None:
            if call.writable:
                found.append(call)

        draw()
    # Not tool by tool: a loop that goes on meets each of them in several phases.
    return [call for start in range(_STRIDE) for call in found[start::_STRIDE]]
