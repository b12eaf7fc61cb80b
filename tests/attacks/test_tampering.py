"""A score that the model did not earn, by way of files: edited by hand, by an agent's shell, by a training."""

import json
import os
from collections.abc import Callable

import pytest

from support.attacks import Attack, chapter
from support.projects import ACTION, ANALYSIS, EVALUATOR, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
stories = chapter("The score")
TRAIN, EVAL = "run_train", "run_eval"
ARTIFACTS = "Models/Artifacts/v001"
SCORE, BEST, LAST = f"{ARTIFACTS}/eval_score.json", f"{ARTIFACTS}/best.ckpt", f"{ARTIFACTS}/last.ckpt"
VAL = "dataset/prepdata/v1/val.json"


def forge(folder: Folder) -> None:
    score = folder.json(SCORE)
    score["metrics"][1]["value"] = 0.99
    folder.write(SCORE, json.dumps(score))


@stories(
    "",
    (("eval_score.json written by hand before any evaluation", "next_step", "it is trained, and not yet scored"),),
)
async def test_a_score_that_no_evaluation_made_counts_for_nothing(at: At, known: Attack) -> None:
    folder = at("trained")
    folder.write(SCORE, '{"metrics": [{"name": "accuracy", "value": 1.0, "higher_is_better": true}]}')
    async with connected(folder) as agent:
        step = await agent.call("next_step")
        assert step["next"]["why"] == known.says and step["phase"] == "evaluate"
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
    assert folder.json(SCORE)["metrics"][1]["value"] == 0.75


@stories(
    "change",
    (("eval_score.json edited by hand", "write_analysis", "| **accuracy** |  | 0.75 |", "detected"), forge),
    (
        ("eval_score.json replaced by a link", "write_analysis", "| **accuracy** |  | 0.75 |", "detected"),
        lambda folder: (
            folder.path(SCORE).rename(folder.path("mine.json")),
            folder.path(SCORE).symlink_to(folder.path("mine.json")),
        ),
    ),
    (
        ("eval_score.json deleted", "write_analysis", "| **accuracy** |  | 0.75 |", "detected"),
        lambda folder: folder.path(SCORE).unlink(),
    ),
)
async def test_a_score_that_was_edited_is_put_back_and_never_used(
    at: At, known: Attack, change: Callable[[Folder], object]
) -> None:
    folder = at("scored")
    published = folder.path(SCORE).read_bytes()
    change(folder)
    async with connected(folder) as agent:
        await agent.analyse()
    analysis = folder.read(f"{ARTIFACTS}/result-analysis.md")
    assert known.says in analysis, analysis
    assert folder.path(SCORE).read_bytes() == published and not folder.path(SCORE).is_symlink()
    assert '"score_restored"' in folder.read(".progressive-training/journal.jsonl")


def flip_labels(folder: Folder) -> None:
    """As careful as one can be: same size, same modification time."""
    path = folder.path(VAL)
    status = path.stat()
    text = path.read_text().replace('"label": 0', '"label": 2').replace('"label": 1', '"label": 0').replace("2}", "1}")
    path.write_text(text)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


PROTOCOL = "changed since the first score"


@stories(
    "change",
    (
        ("The evaluator edited in mid-loop", TRAIN, f"03_eval.py {PROTOCOL}"),
        lambda folder: folder.edit("03_eval.py", ("p > 0.5", "p > 0.4")),
    ),
    (
        ("The evaluator deleted in mid-loop", TRAIN, f"03_eval.py {PROTOCOL}"),
        lambda folder: folder.path("03_eval.py").unlink(),
    ),
    (
        ("A module that the evaluator would import, added in mid-loop", TRAIN, f"json.py {PROTOCOL}"),
        lambda folder: folder.write("json.py", "dumps = print\n"),
    ),
    (("Validation labels edited in mid-loop", TRAIN, f"the data set v1 {PROTOCOL}"), flip_labels),
    (
        ("A hard validation sample removed", TRAIN, f"the data set v1 {PROTOCOL}"),
        lambda folder: folder.write(VAL, json.dumps(json.loads(folder.read(VAL))[:-1])),
    ),
    (
        ("A file added to the data set", TRAIN, f"the data set v1 {PROTOCOL}"),
        lambda folder: folder.write("dataset/prepdata/v1/answers.json", "{}"),
    ),
)
async def test_an_evaluation_that_changed_in_mid_loop_stops_it_until_a_person_decides(
    at: At, known: Attack, change: Callable[[Folder], object]
) -> None:
    folder = at("authored")
    change(folder)
    async with connected(folder) as agent:
        result = await agent.client.call_tool(TRAIN, {"version": 2})
        text = getattr(result.content[0], "text", "")
        assert result.is_error and known.says in text and "user" in text, text
        assert not folder.path(".progressive-training/attempts/v002").exists()


@stories(
    "",
    (("The local module of an evaluator edited in mid-loop", "write_action", f"scoring.py {PROTOCOL}"),),
)
async def test_an_evaluator_is_locked_with_what_it_imports(at: At, known: Attack) -> None:
    folder = at("trained")
    folder.write("scoring.py", "LIMIT = 0.5\n")
    source = edited(
        EVALUATOR,
        ("from pathlib import Path\n", "import sys\nfrom pathlib import Path\n"),
        ("OUT = Path", "sys.path.insert(0, arguments.source)\nfrom scoring import LIMIT\n\nOUT = Path"),
        ("p > 0.5", "p > LIMIT"),
    )
    async with connected(folder) as agent:
        await agent.call("write_eval", source=source)
        await agent.score()
        await agent.analyse()
        folder.write("scoring.py", "LIMIT = 0.2\n")
        result = await agent.client.call_tool("write_action", {"version": 1, **ACTION})
        text = getattr(result.content[0], "text", "")
        assert result.is_error and known.says in text, text


@stories(
    "",
    (
        (
            "A new evaluator after the first action",
            "write_eval",
            "v001 was scored with it already; scores compare only while it stays",
        ),
    ),
)
async def test_an_agent_does_not_replace_the_evaluator(at: At, known: Attack) -> None:
    folder = at("authored")
    async with connected(folder) as agent:
        text = await agent.refused("write_eval", source=edited(EVALUATOR, ("p > 0.5", "p > 0.4")))
        assert known.says in text, text


def link_best(folder: Folder) -> None:
    folder.path(BEST).unlink()
    folder.path(BEST).symlink_to(folder.path(LAST))


@stories(
    "change",
    (
        ("Better weights put in the trained ones' place", EVAL, "best.ckpt: was changed after training"),
        lambda folder: folder.write(BEST, '{"threshold": 0.5}'),
    ),
    (("The trained weights replaced by a link", EVAL, "can't be opened as a plain file"), link_best),
    (
        ("The trained weights removed", EVAL, "best.ckpt is missing, though training left it"),
        lambda folder: folder.path(BEST).unlink(),
    ),
    (
        ("last.ckpt replaced, to hide how long it trained", EVAL, "last.ckpt: was changed after training"),
        lambda folder: folder.write(LAST, '{"threshold": 0.5}'),
    ),
    (
        ("last.ckpt removed, to hide how long it trained", EVAL, "last.ckpt is missing, though training left it"),
        lambda folder: folder.path(LAST).unlink(),
    ),
)
async def test_weights_that_the_loop_did_not_train_are_not_scored(
    at: At, known: Attack, change: Callable[[Folder], object]
) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        await agent.call("write_eval", source=EVALUATOR)
        change(folder)
        text = await agent.refused(EVAL, version=1)
        assert known.says in text, text


def link_asset(folder: Folder) -> None:
    folder.path(f"{V002}/additional_assets/label_map.json").unlink()
    folder.path(f"{V002}/additional_assets/label_map.json").symlink_to("/etc/hostname")


V002 = "Models/Artifacts/v002"


@stories(
    "change",
    (
        ("The best weights replaced before the report", "final_report", "best.ckpt: was changed after training"),
        lambda folder: folder.write(f"{V002}/best.ckpt", '{"threshold": 0.5}'),
    ),
    (
        ("spec.json edited before the report", "final_report", "spec.json: was changed after training"),
        lambda folder: folder.write(f"{V002}/spec.json", "{}"),
    ),
    (("An asset replaced by a link to anywhere", "final_report", "can't be opened as a plain file"), link_asset),
)
async def test_a_report_hands_over_only_what_was_trained(
    at: At, known: Attack, change: Callable[[Folder], object]
) -> None:
    folder = at("finished")
    change(folder)
    async with connected(folder) as agent:
        result = await agent.client.call_tool("final_report", {"wait_seconds": 45})
        text = getattr(result.content[0], "text", "")
        assert result.is_error and known.says in text, text


# Where a sandbox is at hand these writes fail at once; without one they are found afterwards.
@stories(
    "code",
    (
        ("Training writes its own score", TRAIN, f"training created or changed {SCORE}", "detected"),
        f'Path("{SCORE}").write_text("{{}}")',
    ),
    (
        (
            "Training writes its own samples to be shown",
            TRAIN,
            f"training created or changed {ARTIFACTS}/infer_samples",
            "detected",
        ),
        f'Path("{ARTIFACTS}/infer_samples").mkdir()',
    ),
    (
        (
            "Training writes the next version's score",
            TRAIN,
            "training created or changed Models/Artifacts/v002/eval_score.json",
            "detected",
        ),
        'Path("Models/Artifacts/v002").mkdir()\n    Path("Models/Artifacts/v002/eval_score.json").write_text("{}")',
    ),
    (
        ("Training edits the validation labels", TRAIN, f"training created or changed {VAL}", "detected"),
        f'Path("{VAL}").write_text(Path("{VAL}").read_text().replace("1}}", "0}}"))',
    ),
)
async def test_a_training_that_writes_what_judges_it_is_undone(folder: Folder, known: Attack, code: str) -> None:
    folder.set_rules(execution_config={"sandbox": "off"})
    folder.edit("02_train_baseline.py", ("    save(threshold)\n\n\nif", f"    save(threshold)\n    {code}\n\n\nif"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("evaluation output")
        assert known.says in failure["summary"], failure["summary"]


# The same out of v002, when v001 has a score: hidden in a module of the baseline that waits for it.
WAITING = """
if Path("Models/Artifacts/v001/eval_score.json").exists():
    {code}
"""


@stories(
    "code,step",
    (
        ("A later training edits an earlier score", TRAIN, f"training created or changed {SCORE}", "detected"),
        f'Path("{SCORE}").write_text("{{}}")',
        TRAIN,
    ),
    (
        ("A later training edits earlier weights", TRAIN, f"training created or changed {BEST}", "detected"),
        f'Path("{BEST}").write_text("{{}}")',
        TRAIN,
    ),
    (
        (
            "A later training edits an earlier receipt",
            TRAIN,
            "training created or changed .progressive-training/receipts/v001/eval.json",
            "detected",
        ),
        'Path(".progressive-training/receipts/v001/eval.json").write_text("{}")',
        TRAIN,
    ),
    (
        ("A later training edits the evaluator", EVAL, f"03_eval.py {PROTOCOL}", "detected"),
        'Path("03_eval.py").write_text(Path("03_eval.py").read_text() + "# better")',
        EVAL,
    ),
)
async def test_a_later_training_that_edits_what_was_scored_is_found(
    folder: Folder, known: Attack, code: str, step: str
) -> None:
    folder.set_rules(execution_config={"sandbox": "off"})
    folder.write("schedule.py", "from pathlib import Path\n" + WAITING.format(code=code) + folder.read("schedule.py"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author()
        if step == TRAIN:
            summary = (await agent.failed_training("evaluation output", 2))["summary"]
        else:
            await agent.client.call_tool(TRAIN, {"version": 2, "wait_seconds": 45})
            result = await agent.client.call_tool(EVAL, {"version": 2})
            summary = getattr(result.content[0], "text", "")
            assert result.is_error
        assert known.says in summary, summary


@stories(
    "name",
    (
        (
            "The receipt of a score edited by hand",
            "write_analysis",
            "receipts/v001/eval.json: is damaged or was edited by hand",
        ),
        "eval",
    ),
    (
        (
            "The receipt of a training edited by hand",
            "write_analysis",
            "receipts/v001/train.json: is damaged or was edited by hand",
        ),
        "train",
    ),
)
async def test_a_receipt_that_was_edited_by_hand_is_named(at: At, known: Attack, name: str) -> None:
    folder = at("scored")
    where = f".progressive-training/receipts/v001/{name}.json"
    receipt = folder.json(where)
    receipt["record"]["attempt"] = 7
    folder.write(where, json.dumps(receipt))
    async with connected(folder) as agent:
        result = await agent.client.call_tool("write_analysis", {"version": 1, **ANALYSIS})
        text = getattr(result.content[0], "text", "")
        assert result.is_error and known.says in text, text
