"""Drafts on how the weights are stepped: optimiser, learning rate, momentum, weight decay, schedule, clipping."""

import ast
from collections.abc import Iterator

from ...loop.script import Script
from ...loop.script.places import OPTIMIZERS
from .edits import (
    Draft,
    Edit,
    callee,
    calls,
    dotted,
    function,
    import_edit,
    imported,
    keyword,
    newline_of,
    number,
    only,
    with_keyword,
)
from .levers import find_lever, rounded

_ADAM_RANGE = (1e-4, 5e-3)  # step sizes that Adam is commonly run with
_ADAM_DEFAULT = 1e-3
_SGD_ONLY = ("momentum", "nesterov", "dampening")
_SCHEDULERS = "torch.optim.lr_scheduler"


def adaptive_optimizer(script: Script) -> Iterator[Draft]:
    """SGD becomes AdamW; a learning rate outside of what AdamW is usually run with becomes its default as well."""
    call = only(calls(script.tree, *OPTIMIZERS))
    if call is None or callee(call) != "SGD" or len(call.args) > 2 or any(item.arg is None for item in call.keywords):
        return
    edits: list[Edit] = []
    name = "AdamW"
    if isinstance(call.func, ast.Attribute):
        start, end = script.span(call.func)
        edits.append((end - len("SGD"), end, name))
    else:
        edits.append((*script.span(call.func), name))
        if imported(script, f"torch.optim.{name}") is None:
            edits.append(import_edit(script, "torch.optim", name))
    dropped = [item for item in call.keywords if item.arg in _SGD_ONLY]
    if dropped:
        given = [script.source(node) for node in call.args]
        given += [f"{item.arg}={script.source(item.value)}" for item in call.keywords if item not in dropped]
        start = script.span(call.func)[1]
        edits.append((start, script.span(call)[1], f"({', '.join(given)})"))
    text = script.edited(edits)
    change = "SGD becomes AdamW" + (f" (without {', '.join(item.arg or '' for item in dropped)})" if dropped else "")
    lever = find_lever(script, "learning_rate")
    if lever is not None and not _ADAM_RANGE[0] <= lever.value <= _ADAM_RANGE[1]:
        moved = find_lever(Script.parse(text, script.name), "learning_rate")
        if moved is None:
            return
        text = moved.with_value(_ADAM_DEFAULT)
        change += f", and the learning rate {lever.value:g} becomes its usual {_ADAM_DEFAULT:g}"
    yield Draft(
        goal="Reach a lower loss in the same number of epochs.",
        change=f"{change}.",
        text=text,
        expected_impact="Steps that adapt to each weight need less tuning, and mostly get further in few epochs.",
        risk="Low: the model and the data stay; it may fit the training set more closely than SGD did.",
    )


def momentum(script: Script) -> Iterator[Draft]:
    """Plain SGD gets a momentum of 0.9."""
    call = only(calls(script.tree, "SGD"))
    if call is None or len(call.args) > 2 or keyword(call, "momentum") or find_lever(script, "momentum"):
        return
    yield Draft(
        goal="Reach a lower loss in the same number of epochs.",
        change="SGD gets momentum=0.9; it had none.",
        text=with_keyword(script, call, "momentum", "0.9"),
        expected_impact="Steps in one direction add up to about ten times the step size, so training gets further.",
        risk="Low: one argument; if the learning rate is high already, the loss may swing.",
    )


def learning_rate(script: Script, factor: float) -> Iterator[Draft]:
    """The learning rate times `factor`, within what its optimiser is commonly run with."""
    lever = find_lever(script, "learning_rate")
    if lever is None or lever.value <= 0:
        return
    value = rounded(lever.value * factor)
    plain = any(callee(call) == "SGD" for call in calls(script.tree, *OPTIMIZERS))
    if not 1e-5 <= value <= (1.0 if plain else 1e-2):
        return
    up = factor > 1
    yield Draft(
        goal="Get further in the same number of epochs."
        if up
        else "Settle lower instead of stepping over the minimum.",
        change=f"The learning rate {lever.value:g} becomes {value:g}.",
        text=lever.with_value(value),
        expected_impact="A faster fall of both losses." if up else "A steadier validation loss with a lower end.",
        risk="Medium: too large a step makes the loss swing." if up else "Low: training may end before it levels off.",
    )


def weight_decay(script: Script, *, up: bool) -> Iterator[Draft]:
    """Three times (or a third of) the weight decay; a usual first value where there is none."""
    goal = "Keep the weights smaller, so that the model memorises less." if up else "Hold the weights back less."
    impact = "The validation loss comes closer to the training loss." if up else "A lower training loss."
    risk = "Low: one value; too much of it slows the fit." if up else "Low: one value; the model may memorise more."
    lever = find_lever(script, "weight_decay")
    if lever is not None and lever.value > 0:
        value = rounded(lever.value * 3 if up else lever.value / 3)
        if value <= 0.3:
            change = f"The weight decay {lever.value:g} becomes {value:g}."
            yield Draft(goal, change, lever.with_value(value), impact, risk)
        return
    call = only(calls(script.tree, *OPTIMIZERS))
    if not up or call is None:
        return
    given = keyword(call, "weight_decay")
    if given is not None and number(given.value) != 0:
        return
    first = {"AdamW": 0.05, "SGD": 5e-4}.get(callee(call), 1e-4)
    before = "AdamW's default 0.01" if callee(call) == "AdamW" and given is None else "0"
    text = lever.with_value(first) if lever is not None else with_keyword(script, call, "weight_decay", f"{first:g}")
    yield Draft(goal, f"The weight decay goes from {before} to {first:g}.", text, impact, risk)


def cosine_schedule(script: Script) -> Iterator[Draft]:
    """An optimiser that configure_optimizers returns bare gets a cosine schedule over the trainer's epochs."""
    method = function(script.tree, "configure_optimizers")
    if method is None or "lr_scheduler" in script.source(method) or not method.args.args:
        return
    returns = [node for node in ast.walk(method) if isinstance(node, ast.Return)]
    if len(returns) != 1 or returns[0] is not method.body[-1] or returns[0].value is None:
        return
    value = returns[0].value
    if not (isinstance(value, ast.Name) or (isinstance(value, ast.Call) and callee(value) in OPTIMIZERS)):
        return
    schedulers = imported(script, _SCHEDULERS)
    name = f"{schedulers}.CosineAnnealingLR" if schedulers else imported(script, f"{_SCHEDULERS}.CosineAnnealingLR")
    optim = imported(script, "torch.optim")
    if name is None and optim:
        name = f"{optim}.lr_scheduler.CosineAnnealingLR"
    edits: list[Edit] = []
    if name is None:
        name = "CosineAnnealingLR"
        edits.append(import_edit(script, _SCHEDULERS, name))
    indent = " " * returns[0].col_offset
    me = method.args.args[0].arg
    variable = dotted(value) or "optimizer"
    lines = [] if isinstance(value, ast.Name) else [f"{variable} = {script.source(value)}"]
    lines.append(f"scheduler = {name}({variable}, T_max={me}.trainer.max_epochs)")
    lines.append(f'return {{"optimizer": {variable}, "lr_scheduler": scheduler}}')
    edits.append((*script.span(returns[0]), f"{newline_of(script)}{indent}".join(lines)))
    yield Draft(
        goal="Settle into the minimum at the end of training instead of stepping around it.",
        change="The learning rate now falls to zero along a cosine over the epochs; it was constant.",
        text=script.edited(edits),
        expected_impact="The last epochs gain a little on both losses, and the end depends less on luck.",
        risk="Low: the same start; with very few epochs the small last steps may come too early.",
    )


def gradient_clipping(script: Script) -> Iterator[Draft]:
    """The Trainer clips gradients at norm 1 where it clips none."""
    call = only(calls(script.tree, "Trainer"))
    if call is None or keyword(call, "gradient_clip_val") or any(item.arg is None for item in call.keywords):
        return
    yield Draft(
        goal="Keep single bad batches from throwing the weights off.",
        change="The Trainer clips gradients at a norm of 1.0; it clipped none.",
        text=with_keyword(script, call, "gradient_clip_val", "1.0"),
        expected_impact="No more jumps in the loss; hardly any change where there were none.",
        risk="Low: small gradients stay as they are.",
    )
