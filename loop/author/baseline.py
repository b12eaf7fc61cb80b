"""Step 0: audits the baseline, makes it ready by at most one minimal patch, and makes v001 from it (I1-I5)."""

import ast
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..errors import GuardError, ProjectError, ScriptError
from ..project.project import Project
from ..project.version import Version
from ..rules.reading import Rules
from ..script.changes import changed_symbols
from ..script.fixed import Fixed, materialise
from ..script.imports import code_files
from ..script.settings import replace_setting, settings
from ..script.source import Script, decode_script
from ..script.synonyms import synonyms
from ..script.version import with_header, with_version
from ..store.paths import ARTIFACTS, BASELINE, BASELINE_SCRIPT, PREPDATA
from ..text import Say, Told
from ..train.verdicts import measurable
from .config_copies import copied
from .finding import Finding, asked
from .guard import patches_by_file
from .patch import apply_patch, unified_diff

BASELINE_FOLDER = f"{ARTIFACTS}/{BASELINE}"
SMOKE_REPORT = f"{BASELINE_FOLDER}/_tests/baseline_smoke_test_report.md"
PATCH_REPORT = f"{BASELINE_FOLDER}/_tests/baseline_patch_report.md"
_OPTIMAL_BATCH = re.compile(r"optimal_batch_size\W{0,20}?(\d+)")
_MODEL_WORDS = re.compile(
    r"(?:^|\.)(?:nn|optim|functional|F|torchmetrics|lr_scheduler|transforms)\.|Loss$|loss$|entropy|Dataset$|Optimizer$"
)
_MODEL_BASES = re.compile(r"Module$|Model$|Dataset$|DataModule$|Optimizer$|Scheduler$|Loss$")
_CONSISTENCY_NAMES = re.compile(r"version|dataset|path|dir|root|folder|artifact|log|batch", re.I)


@dataclass(frozen=True)
class Prepared:
    """Everything that `start_loop` commits."""

    baseline: Mapping[str, str]
    v001: str
    configs: Mapping[str, str]
    findings: tuple[Finding, ...]
    applied: tuple[str, ...]
    diff: str
    asked: tuple[str, ...]

    def report(self, say: Say) -> str:
        """baseline_patch_report.md (I4)."""
        issues = [finding.told(say) for finding in self.findings]
        parts = [
            say("# Baseline patch report"),
            "## issues_found",
            _list(issues, say),
            "## patch_summary",
            f"```diff\n{self.diff.rstrip()}\n```" if self.diff else say("No patch was needed."),
            "## files_changed",
            _list(sorted(self.baseline), say),
            "## compatibility_notes",
            _list(
                [f"v001: {line}" for line in self.applied] or [say("v001 is the baseline with its version set.")], say
            ),
        ]
        return "\n\n".join(parts) + "\n"


def prepare(project: Project, rules: Rules, dataset_id: str, patch: str | None) -> Prepared:
    """Audits the baseline, applies the caller's patch and the server's own corrections, and makes v001's text.

    Writes nothing. Raises `ProjectError` without a baseline, `DiffError`, `GuardError` for a patch that goes beyond
    consistency, `ScriptError` for a baseline that can't become v001.
    """
    tree = project.workspace.tree
    if not tree.is_file(BASELINE_SCRIPT):
        raise ProjectError("is missing", where=BASELINE_SCRIPT, hint="put a working training script there")
    originals = _sources(project)
    texts = _patched(originals, patch) if patch else dict(originals)
    settled: list[Finding] = []
    texts[BASELINE_SCRIPT] = _corrected(texts[BASELINE_SCRIPT], project, rules, dataset_id, settled)
    baseline = Script.parse(texts[BASELINE_SCRIPT], BASELINE_SCRIPT)
    modules = [Script.parse(text, name) for name, text in texts.items() if name != BASELINE_SCRIPT]
    first = _first_version(baseline, modules, Version(project, 1), rules)
    open_findings = [*first.findings, *_audit(texts, dataset_id), *_unstated_rules(first.missing, rules)]
    changed = {name: text for name, text in texts.items() if text != originals[name]}
    diff = "".join(unified_diff(originals[name], text, name=name) for name, text in changed.items())
    return Prepared(changed, first.text, first.configs, (*settled, *open_findings), first.applied, diff, first.asked)


def _sources(project: Project) -> dict[str, str]:
    """The baseline's text and those of its local modules, by path; the baseline comes first."""
    names = code_files(BASELINE_SCRIPT, project.workspace.root)
    return {name: decode_script(project.workspace.tree.read(name), name) for name in names}


def _patched(originals: Mapping[str, str], patch: str) -> dict[str, str]:
    texts = dict(originals)
    for name, file_patch in patches_by_file(patch, tuple(originals)).items():
        texts[name] = apply_patch(texts[name], file_patch, name=name).text
        _require_consistency(Script.parse(originals[name], name), Script.parse(texts[name], name))
    return texts


def _require_consistency(old: Script, new: Script) -> None:
    """Raises `GuardError` for a patch that changes the model, the loss, the optimiser or the data (I3)."""
    changes = changed_symbols(old, new)
    learning = {
        node.name
        for node in ast.walk(old.tree)
        if isinstance(node, ast.ClassDef) and any(_MODEL_BASES.search(ast.unparse(base)) for base in node.bases)
    }
    inside = [name for name in changes.symbols if name.split(".")[0] in learning]
    constants = {symbol.name for script in (old, new) for symbol in script.symbols if symbol.kind == "constant"}
    tuned = [name for name in changes.symbols if name in constants and not _CONSISTENCY_NAMES.search(name)]
    calls = [] if _model_calls(old) == _model_calls(new) else ["a call that makes the model, the loss or the data"]
    sums = [] if _arithmetic(old) == _arithmetic(new) else ["what is computed"]
    if found := [*inside, *tuned, *calls, *sums]:
        raise GuardError(
            f"the baseline patch changes {', '.join(found)}; it may only make the script stable and consistent",
            where=new.name,
            hint="keep paths, VERSION, DATASET_ID, logging and batch size in the patch; improvements begin with v002",
        )


def _model_calls(script: Script) -> Counter[str]:
    return Counter(
        ast.unparse(node)
        for node in ast.walk(script.tree)
        if isinstance(node, ast.Call) and _MODEL_WORDS.search(ast.unparse(node.func))
    )


def _arithmetic(script: Script) -> Counter[str]:
    """Products, differences and powers; not + and /, which also join texts and paths."""
    return Counter(
        ast.unparse(node)
        for node in ast.walk(script.tree)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult | ast.Sub | ast.Pow | ast.MatMult)
    )


def _corrected(text: str, project: Project, rules: Rules, dataset_id: str, settled: list[Finding]) -> str:
    """The server's own part of the patch: constants that disagree, and the batch size that the smoke test found."""
    script = Script.parse(text, BASELINE_SCRIPT)
    for setting in settings(script):
        if setting.kind == "constant" and setting.name == "DATASET_ID" and setting.value != dataset_id:
            text = replace_setting(script, setting, dataset_id)
            values = {"found": setting.value, "wanted": dataset_id}
            issue = Told("DATASET_ID is {found!r}, the loop's is {wanted!r}", values)
            settled.append(Finding(issue, Told("set")))
    if Script.parse(text, BASELINE_SCRIPT).constant("VERSION") not in (None, BASELINE):
        found = Script.parse(text, BASELINE_SCRIPT).constant("VERSION")
        text, _ = with_version(text, old=BASELINE, new=BASELINE)
        values = {"found": found, "script": BASELINE_SCRIPT, "wanted": BASELINE}
        settled.append(Finding(Told("VERSION is {found!r}, and {script} is {wanted!r}", values), Told("set")))
    return _with_batch_size(text, project, rules, settled)


def _with_batch_size(text: str, project: Project, rules: Rules, settled: list[Finding]) -> str:
    optimal = optimal_batch_size(project)
    if optimal is None:
        return text
    names, values = synonyms("batch_size", rules.file.synonyms), {"optimal": optimal}
    if any(fixed.name.lower() in names for fixed in rules.fixed):
        issue = Told("the smoke test found optimal_batch_size {optimal}", values)
        settled.append(Finding(issue, Told("the user's rules fix it")))
        return text
    made = materialise(Script.parse(text, BASELINE_SCRIPT), [Fixed("optimal_batch_size", "batch_size", optimal)])
    if made.missing:
        issue = Told("optimal_batch_size {optimal} can't be used: the script states no batch size", values)
        settled.append(Finding(issue))
    elif made.applied:
        issue = Told("the script doesn't use optimal_batch_size {optimal}", values)
        settled.append(Finding(issue, "; ".join(made.applied)))
    return made.text


def optimal_batch_size(project: Project) -> int | None:
    """What the baseline's smoke test found, or None."""
    try:
        report = project.workspace.tree.read(SMOKE_REPORT).decode(errors="replace")
    except FileNotFoundError:
        return None
    match = _OPTIMAL_BATCH.search(report)
    return int(match[1]) if match and int(match[1]) > 0 else None


@dataclass(frozen=True)
class _First:
    """v001: its script, the copies of settings files that it reads, and what was done; `missing` are rules unstated."""

    text: str
    configs: Mapping[str, str]
    applied: tuple[str, ...]
    findings: tuple[Finding, ...]
    missing: tuple[Fixed, ...]
    asked: tuple[str, ...]


def _first_version(baseline: Script, modules: Sequence[Script], first: Version, rules: Rules) -> _First:
    try:
        text, moved = with_version(baseline.text, old=BASELINE, new=first.id)
    except ScriptError as error:
        hint = f'call start_loop with patch = a diff that adds VERSION = "{BASELINE}" and derives the paths from it'
        raise ScriptError(error.what, where=BASELINE_SCRIPT, hint=hint) from error
    fixed, extra = rules.fixed, rules.file.synonyms
    made = materialise(Script.parse(text, first.script_name), fixed, extra)
    script = Script.parse(made.text, first.script_name)
    copies = copied(script, modules, first.project.workspace.tree, fixed, extra, first.id)
    applied = (*moved, *made.applied, *copies.applied)
    header = [("Made from", BASELINE_SCRIPT), ("Set", "; ".join(applied))]
    told = {*copies.stated, *(one.rule.rule for one in made.asked)}
    return _First(
        with_header(copies.script, f"{first.id}, the baseline under the user's rules", header),
        copies.files,
        applied,
        (*copies.findings, *(asked(one.rule, one.places, some=one.some) for one in made.asked)),
        tuple(rule for rule in made.missing if rule.rule not in told),
        tuple(dict.fromkeys((*(one.rule.rule for one in made.asked if not one.some), *copies.asked))),
    )


def _audit(texts: Mapping[str, str], dataset_id: str) -> list[Finding]:
    """What the loop expects of a baseline and doesn't find. It is reported, not repaired."""
    code = "\n".join(texts.values())
    script = Script.parse(texts[BASELINE_SCRIPT], BASELINE_SCRIPT)
    findings: list[Finding] = []
    if script.constant("DATASET_ID") is None:
        findings.append(Finding(Told("there is no module-level DATASET_ID constant")))
    for wanted, what in (
        ("prepdata", Told("no data path under {folder} was found", {"folder": f"{PREPDATA}/{dataset_id}/"})),
        ("Artifacts", Told("no artifact path {folder} was found", {"folder": f"{BASELINE_FOLDER}/"})),
        ("logs", Told("no log path {folder} was found", {"folder": f"{BASELINE_FOLDER}/logs/version_#/"})),
        ("best", Told("nothing in the script names best.ckpt")),
    ):
        if wanted not in code:
            findings.append(Finding(what))
    return findings


def _unstated_rules(missing: Sequence[Fixed], rules: Rules) -> Iterator[Finding]:
    for fixed in missing:
        yield _unstated(fixed, measured=measurable(fixed, rules.file.synonyms))


def _unstated(fixed: Fixed, *, measured: bool) -> Finding:
    values = {"rule": fixed.rule, "value": fixed.value}
    if measured:
        return Finding(Told("{rule} = {value!r} is stated nowhere in the script; each run is measured for it", values))
    return Finding(
        Told(
            "{rule} = {value!r} is stated nowhere in the script, and nothing measures it: it stays not verified", values
        )
    )


def _list(items: Sequence[str], say: Say) -> str:
    return "\n".join(f"- {item}" for item in items) if items else f"- {say('none')}"
