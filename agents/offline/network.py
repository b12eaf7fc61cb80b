"""Drafts on the network and its loss: normalisation, width, dropout, label smoothing."""

import ast
import re
from collections.abc import Iterator

from ...loop.script import Script
from .edits import Draft, Edit, callee, calls, dotted, function, keyword, newline_of, number, with_keyword
from .levers import Lever, find_lever, find_name, rounded

_LAYERS = ("Linear", "Conv1d", "Conv2d", "Conv3d")
_NORMS = re.compile(r"\b(?:Batch|Layer|Group|Instance|RMS)Norm")
# Their inputs carry a time axis, where BatchNorm1d after a Linear would take the wrong one.
_SEQUENCES = ("Embedding", "LSTM", "GRU", "RNN", "MultiheadAttention", "TransformerEncoderLayer")
_ACTIVATIONS = ("ReLU", "LeakyReLU", "GELU", "SiLU", "ELU", "Tanh", "Hardswish", "Mish")
_LEAST_WIDTH, _MOST_WIDTH = 8, 1024


def normalise_layers(script: Script) -> Iterator[Draft]:
    """A normalisation layer between each Linear or Conv and the activation after it, where there is none yet."""
    if _NORMS.search(script.text):
        return
    sequence = bool(calls(script.tree, *_SEQUENCES))
    edits: list[Edit] = []
    kinds: list[str] = []
    for stack in calls(script.tree, "Sequential"):
        for layer, after in zip(stack.args, stack.args[1:], strict=False):
            if not (isinstance(layer, ast.Call) and isinstance(after, ast.Call) and callee(after) in _ACTIVATIONS):
                continue
            out = _out(layer)
            prefix = dotted(layer.func).rpartition(".")[0]
            if callee(layer) not in _LAYERS or out is None or not prefix:
                continue
            kind = "BatchNorm1d" if callee(layer) == "Linear" else callee(layer).replace("Conv", "BatchNorm")
            kind = "LayerNorm" if callee(layer) == "Linear" and sequence else kind
            kinds.append(kind)
            edits.append(_before(script, after, f"{prefix}.{kind}({script.source(out)})"))
    if not edits:
        return
    listed = " and ".join(dict.fromkeys(kinds))
    yield Draft(
        goal="Keep the hidden values in a range in which every layer learns.",
        change=f"{listed} between {_layers(len(edits))} and the activation after it; there was none.",
        text=script.edited(edits),
        expected_impact="Faster and steadier training; the loss depends less on the scale of the inputs.",
        risk="Low: few more weights; a last batch of one sample would fail, and small batches make it noisy.",
    )


def width(script: Script, factor: float) -> Iterator[Draft]:
    """The hidden width times `factor`: the hyper-parameter that the layers name, else the number that they share."""
    lever = _named_width(script)
    before, places = (lever.value, []) if lever is not None else _shared_width(script)
    after = int(before * factor)
    if not _LEAST_WIDTH <= after <= _MOST_WIDTH or before < _LEAST_WIDTH:
        return
    text = lever.with_value(after) if lever else script.edited((*script.span(node), str(after)) for node in places)
    up = factor > 1
    yield Draft(
        goal="Give the network more to learn with." if up else "Give the network less to memorise with.",
        change=f"The hidden width {int(before)} becomes {after}.",
        text=text,
        expected_impact="Both losses end lower." if up else "The validation loss comes closer to the training loss.",
        risk="Low: more weights to compute, so the latency may rise." if up else "Low: it may be too small to fit.",
    )


def dropout(script: Script, *, up: bool) -> Iterator[Draft]:
    """A tenth more dropout (a first 0.2 before the last layer where there is none), or a tenth less."""
    goal = "Make the network rely less on single hidden values." if up else "Let the network use all it has learned."
    impact = "The gap between the two losses narrows." if up else "A lower training loss."
    risk = "Low: training is noisier, and may need more epochs." if up else "Low: the model may memorise more."
    lever = find_lever(script, "dropout")
    if lever is not None and lever.value > 0:
        value = rounded(min(lever.value + 0.1, 0.5) if up else lever.value - 0.1)
        if value != lever.value and value >= 0.05:
            change = f"The dropout {lever.value:g} becomes {value:g}."
            yield Draft(goal, change, lever.with_value(value), impact, risk)
        return
    if not up:
        return
    if lever is not None:
        yield Draft(goal, "The dropout 0 becomes 0.2.", lever.with_value(0.2), impact, risk)
        return
    for stack in calls(script.tree, "Sequential"):
        last = stack.args[-1] if stack.args else None
        if len(stack.args) < 3 or not isinstance(last, ast.Call) or callee(last) != "Linear":
            continue
        prefix = dotted(last.func).rpartition(".")[0]
        if prefix and isinstance(before := stack.args[-2], ast.Call) and callee(before) in _ACTIVATIONS:
            text = script.edited([_before(script, last, f"{prefix}.Dropout(0.2)")])
            yield Draft(goal, "Dropout of 0.2 before the last layer; there was none.", text, impact, risk)
            return


def label_smoothing(script: Script) -> Iterator[Draft]:
    """Cross-entropy in training_step gets a label smoothing of 0.05; the validation loss stays as it is."""
    step = function(script.tree, "training_step")
    found = calls(step, "cross_entropy") if step is not None else []
    if len(found) != 1 or keyword(found[0], "label_smoothing") or find_lever(script, "label_smoothing"):
        return
    yield Draft(
        goal="Keep the network from being certain about single training samples.",
        change="The training loss smooths the labels by 0.05; the validation loss is computed as before.",
        text=with_keyword(script, found[0], "label_smoothing", "0.05"),
        expected_impact="Fewer confident mistakes; the training loss itself reads higher, as it counts more.",
        risk="Low: one argument of the training loss.",
    )


def _out(layer: ast.Call) -> ast.expr | None:
    """What a layer's width is given as: its second argument, by place or by name."""
    names = [item.value for item in layer.keywords if item.arg in ("out_features", "out_channels")]
    return layer.args[1] if len(layer.args) > 1 else (names[0] if names else None)


def _in(layer: ast.Call) -> ast.expr | None:
    names = [item.value for item in layer.keywords if item.arg in ("in_features", "in_channels")]
    return layer.args[0] if layer.args else (names[0] if names else None)


def _named_width(script: Script) -> Lever | None:
    """The first hyper-parameter by whose name one layer's width is given and another layer's input."""
    layers = calls(script.tree, *_LAYERS)
    classes = [node.name for node in script.tree.body if isinstance(node, ast.ClassDef)]
    ins = {name for layer in layers for name in _names(_in(layer))}
    for name in (name for layer in layers for name in _names(_out(layer)) if name in ins):
        if lever := find_name(script, name, callees=classes):
            return lever
    return None


def _shared_width(script: Script) -> tuple[float, list[ast.expr]]:
    """The largest literal that leaves one layer and enters another, and every place where layers name it; 0 for none.

    None, too, where any layer computes with it (`32 * 7 * 7`): those places would have to follow, and can't be told.
    """
    layers = calls(script.tree, *_LAYERS)
    shared = {number(_out(layer)) for layer in layers} & {number(_in(layer)) for layer in layers}
    value = max((value for value in shared if value is not None), default=0.0)
    norms = [call for call in ast.walk(script.tree) if isinstance(call, ast.Call) and _NORMS.match(callee(call))]
    places = [node for layer in layers for node in (_in(layer), _out(layer)) if node is not None]
    places += [call.args[0] for call in norms if call.args]
    computed = [node for node in places if not isinstance(node, ast.Constant)]
    if any(number(inner) == value for node in computed for inner in ast.walk(node)):
        return 0.0, []
    return value, [node for node in places if number(node) == value]


def _layers(count: int) -> str:
    return "the hidden layer" if count == 1 else f"each of {count} hidden layers"


def _names(node: ast.expr | None) -> Iterator[str]:
    """The last parts of the names in an expression, in the order of the text."""
    for inner in ast.walk(node) if node is not None else ():
        match inner:
            case ast.Name(id=name) | ast.Attribute(attr=name):
                yield name
            case _:
                pass


def _before(script: Script, node: ast.expr, new: str) -> Edit:
    """Puts an argument before another one, on a line of its own where that one has its own."""
    start = script.span(node)[0]
    line_start = script.data.rfind(b"\n", 0, start) + 1
    indent = script.data[line_start:start].decode()
    if indent.strip():
        return (start, start, f"{new}, ")
    return (start, start, f"{new},{newline_of(script)}{indent}")
