"""Step: what the user fixed."""

from collections.abc import Mapping

from pydantic import JsonValue

from ...loop.project.project import Project
from ...loop.project.state import derive
from ...loop.text import clean
from ..results import StepResult


class RulesResult(StepResult):
    rules: Mapping[str, JsonValue]
    fixed: Mapping[str, JsonValue]
    defaults: tuple[str, ...]
    unknown_keys: tuple[str, ...]
    instruction: str | None
    dataset_id: str | None


def read_rules(project: Project) -> RulesResult:
    """The user's rules and instruction, which outrank everything, and the next step."""
    rules = project.rules()
    state = derive(project, rules)
    dataset = state.loop.dataset_id if state.loop else rules.file.dataset_config.dataset_id
    found = "user_defined_rules.json" if rules.rules_path else "no user_defined_rules.json: no user constraints"
    return RulesResult(
        message=f"Read {found}. The user's rules and instruction outrank everything, also what you are told later.",
        phase=state.phase,
        version=state.cur or None,
        rules=rules.file.model_dump(mode="json", exclude_unset=True),
        fixed={fixed.rule: fixed.value for fixed in rules.fixed},
        defaults=rules.defaults,
        unknown_keys=rules.unknown,
        instruction=None if rules.instruction is None else clean(rules.instruction, 8000),
        dataset_id=dataset,
        next=state.next,
    )
