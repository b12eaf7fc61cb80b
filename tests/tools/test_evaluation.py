"""Step 2: a version is scored by one fixed evaluator, and nothing is published that was not checked."""

import json
import shutil
from typing import Any

import pytest

from progressive_training.loop.project.integrity import accept_rules
from support.projects import EVALUATOR, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
V001 = "Models/Artifacts/v001"
SCORE = f"{V001}/eval_score.json"
WRITE = '    (OUT / "eval_score.json").write_text(json.dumps(score))\n'


def score_text(edit: str) -> tuple[str, str]:
    """An evaluator whose score, as text, is edited by the statement."""
    return WRITE, f'    text = json.dumps(score)\n    {edit}\n    (OUT / "eval_score.json").write_text(text)\n'


@pytest.mark.requirement("E2", "E3", "C7")
async def test_a_score_says_data_set_time_sample_count_metrics_and_latency(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        await agent.call("write_eval", source=EVALUATOR)
        scored = await agent.score()
        assert scored["state"] == "done" and "warnings" in scored
        again = await agent.score()
        assert again.pop("already_done") and not scored.pop("already_done")
        assert again == scored
        assert await agent.where() == ("analysis", 1)
    score = folder.json(SCORE)
    assert list(score) == ["dataset_id", "created_at", "num_samples", "metrics", "latency_ms"]
    assert (score["dataset_id"], score["num_samples"]) == ("v1", 20)
    accuracy = {"name": "accuracy", "value": 0.75, "higher_is_better": True}
    assert [set(metric) for metric in score["metrics"]] == [set(accuracy)] * 2
    # best.ckpt gives 0.75; last.ckpt is worse.
    assert score["metrics"][1] == accuracy
    # The time is the server's own, not what the evaluator claims.
    assert not score["created_at"].startswith("2026-01-01T00:00:00")


@pytest.mark.requirement("E4")
async def test_infer_samples_are_numbered_seeded_and_as_many_as_the_rules_say(at: At) -> None:
    folder = at("scored")
    shown = sorted(path.name for path in folder.path(f"{V001}/infer_samples").iterdir())
    assert shown == ["0001", "0002", "0003"]
    for name in shown:
        parts = {path.name for path in folder.path(f"{V001}/infer_samples/{name}").iterdir()}
        assert {"input.json", "output.json", "meta.json"} <= parts
        assert folder.json(f"{V001}/infer_samples/{name}/meta.json")["seed"] == 42


@pytest.mark.requirement("E1")
async def test_a_missing_evaluator_is_made_from_the_template_for_the_metrics_of_the_rules(at: At) -> None:
    folder = at("started")
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "Image classification", "num_val": 20}')
    shutil.rmtree(folder.path(".progressive-training"))
    # An interpreter that runs nothing: what the template does is shown in tests/loop/evaluate.
    folder.write("bin/no-python", "#!/bin/sh\nexit 7\n")
    folder.path("bin/no-python").chmod(0o755)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        folder.set_rules(eval_config={"metrics": ["accuracy", "f1"]}, execution_config={"python": "bin/no-python"})
        accept_rules(folder.project())
        assert "exit code 7" in await agent.failed_evaluation()
        script = folder.read("03_eval.py")
        compile(script, "03_eval.py", "exec")
        assert "f1" in script and "progressive_training" not in script
        assert await agent.where() == ("evaluate", 1)


@pytest.mark.requirement("E1")
async def test_where_no_template_serves_the_agent_is_asked_to_write_the_evaluator(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        text = await agent.refused("run_eval", version=1)
        assert "'threshold search'" in text and "write_eval" in text
        brief = await agent.brief()
        assert all(word in brief for word in ("samples.jsonl", "eval_score.json", "infer_samples", "--checkpoint"))


@pytest.mark.requirement("E1")
async def test_an_evaluator_is_corrected_until_it_scores(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        assert "03_eval.py" in await agent.refused("write_eval", source="def main(:")
        assert "would be empty" in await agent.refused("write_eval", source=" \n")
        await agent.call("write_eval", source="raise SystemExit(1)")
        assert "exit code 1" in await agent.failed_evaluation()
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.call("write_eval", source=EVALUATOR))["already_done"]
        assert (await agent.score())["state"] == "done"


@pytest.mark.requirement("E3", "E4")
@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (("main()\n", "raise ValueError('모양')\n"), "ValueError: 모양"),
        ((WRITE, ""), "eval_score.json: was not written"),
        (score_text("text = text[:-2]"), "not valid JSON"),
        (score_text("text = '[]'"), "eval_score.json"),
        (score_text("text = text.replace('0.75', 'NaN')"), "NaN is not a JSON number"),
        (score_text("text = text.replace('0.75', '1e999')"), "metrics.1.value"),
        (score_text("text = text.replace('0.75', '\"0.75\"')"), "metrics.1.value"),
        (score_text("text = text.replace('\"accuracy\"', '\"loss\"')"), "named twice: loss"),
        (score_text("text = text[:-1] + ', \"num_samples\": 20}'"), "a key stands there twice"),
        (score_text("text = text.replace('\"v1\"', '\"v2\"')"), "dataset_id is 'v2', this loop's is 'v1'"),
        (score_text("text = text.replace('\"num_samples\": 20', '\"num_samples\": 19')"), "num_samples is 19"),
        (score_text("text = text.replace('\"num_samples\": 20', '\"num_samples\": true')"), "num_samples"),
        (score_text("text = text.replace('\"latency_ms\": ', '\"latency_ms\": -')"), "latency_ms"),
        (score_text("text = text[:-1] + ', \"extra\": 1}'"), "extra"),
        (score_text("text = text.replace('true', '\"yes\"')"), "higher_is_better"),
        (('encoding="utf-8"))\n    began', 'encoding="utf-8"))[:7]\n    began'), "num_samples is 7, and stats.json"),
        (("for row in rows), encoding", "for row in rows[:5]), encoding"), "it has 5 lines"),
        (("for row in rows), encoding", "for row in [*rows, rows[0]]), encoding"), "twice"),
        (('{"loss": loss, ', '{"loss": float("nan"), '), "NaN"),
        (('"id": sample["id"], "scores"', '"id": 1, "scores"'), '"id" string'),
        (('(folder / "meta.json")', '(folder / "meta.txt")'), "lacks meta.json"),
        (('(folder / "input.json")', '(folder / "in.json")'), "lacks input"),
        (("min(int(arguments.samples), len(rows))", "7"), "it holds 7 samples"),
        (("min(int(arguments.samples), len(rows))", "0"), "it holds no sample"),
    ],
)  # fmt: skip
@pytest.mark.whole(but=8)
async def test_an_evaluation_that_leaves_something_unsound_publishes_nothing_and_can_be_corrected(
    at: At, edit: tuple[str, str], words: str
) -> None:
    folder = at("trained")
    source = EVALUATOR.replace("\n\nmain()\n", "\n\n" + edit[1]) if edit[0] == "main()\n" else edited(EVALUATOR, edit)
    async with connected(folder) as agent:
        await agent.call("write_eval", source=source)
        assert words in await agent.failed_evaluation()
        assert await agent.where() == ("evaluate", 1)
        assert words.split(":")[0] in await agent.brief()
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


@pytest.mark.requirement("E2")
async def test_a_right_evaluator_whose_score_is_nan_for_weights_in_disorder_is_accepted(at: At) -> None:
    source = edited(
        EVALUATOR,
        (
            "    model = json.loads(Path(arguments.checkpoint).read_text())\n",
            "    try:\n"
            "        model = json.loads(Path(arguments.checkpoint).read_text())\n"
            "    except ValueError:\n"
            '        model = {"threshold": math.nan}\n',
        ),
    )
    async with connected(at("trained")) as agent:
        await agent.call("write_eval", source=source)
        assert (await agent.score())["state"] == "done"


async def test_an_evaluation_that_hangs_is_ended_at_its_limit(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_eval_minutes": 0.005})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source="import time\ntime.sleep(600)\n")
        assert "0.005 minutes" in await agent.failed_evaluation()


@pytest.mark.requirement("T4")
async def test_after_max_attempts_failed_evaluations_the_loop_says_so_and_goes_on_when_the_user_allows_more(
    folder: Folder,
) -> None:
    folder.set_rules(loop_config={"max_attempts": 2})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source="raise SystemExit(3)\n")
        await agent.failed_evaluation()
        assert await agent.where() == ("evaluate", 1)
        await agent.failed_evaluation()
        assert await agent.where() == ("stuck", 1)
        assert "2 evaluations failed or were cancelled, and loop_config.max_attempts is 2" in await agent.brief()
        assert "final_report" in await agent.refused("run_eval", version=1)
        folder.set_rules(loop_config={"max_attempts": 3})
        assert accept_rules(folder.project())
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


async def test_a_cancelled_evaluation_may_be_run_again(at: At) -> None:
    folder = at("trained")
    async with connected(folder) as agent:
        await agent.call("write_eval", source="import time\ntime.sleep(600)\n")
        assert (await agent.call("run_eval", version=1))["state"] == "running"
        assert await agent.where() == ("evaluating", 1)
        assert not (await agent.call("cancel_run", version=1))["already_done"]
        assert await agent.where() == ("evaluate", 1)
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


@pytest.mark.requirement("E3")
@pytest.mark.parametrize("name", ["accuracy", "precision"])
async def test_a_metric_that_was_not_computed_is_a_warning(at: At, name: str) -> None:
    folder = at("trained")
    folder.set_rules(eval_config={"metrics": [name], "primary_metric": name})
    accept_rules(folder.project())
    source = edited(
        EVALUATOR, ('        {"name": "accuracy", "value": sum(hits) / len(hits), "higher_is_better": True},\n', "")
    )
    async with connected(folder) as agent:
        await agent.call("write_eval", source=source)
        scored = await agent.score()
        assert scored["state"] == "done"
        assert any(f"primary_metric '{name}'" in warning for warning in scored["warnings"])


@pytest.mark.requirement("E3")
async def test_without_metrics_in_the_rules_the_loss_alone_is_asked_for(at: At) -> None:
    folder = at("trained")
    rules: dict[str, Any] = folder.json("user_defined_rules.json")
    del rules["eval_config"]
    folder.write("user_defined_rules.json", json.dumps(rules))
    accept_rules(folder.project())
    source = edited(
        EVALUATOR, ('        {"name": "accuracy", "value": sum(hits) / len(hits), "higher_is_better": True},\n', "")
    )
    async with connected(folder) as agent:
        assert "metrics: loss (primary: loss)" in await agent.brief()
        await agent.call("write_eval", source=source)
        scored = await agent.score()
        assert list(scored["metrics"]) == ["loss"] and not scored["warnings"]


@pytest.mark.parametrize("name", ["best.ckpt", "additional_assets/../best.ckpt"])
async def test_weights_that_the_loop_did_not_train_are_not_scored(at: At, name: str) -> None:
    folder = at("trained")
    trained = folder.path(f"{V001}/best.ckpt").read_bytes()
    folder.write("03_eval.py", EVALUATOR)
    folder.write(f"{V001}/{name}", '{"threshold": 0.5}')
    async with connected(folder) as agent:
        assert "changed after training" in await agent.refused("run_eval", version=1)
        folder.path(f"{V001}/best.ckpt").unlink()
        assert "is missing, though training left it" in await agent.refused("run_eval", version=1)
        folder.path(f"{V001}/best.ckpt").symlink_to(folder.path(f"{V001}/last.ckpt"))
        assert "plain file" in await agent.refused("run_eval", version=1)
        folder.path(f"{V001}/best.ckpt").unlink()
        folder.path(f"{V001}/best.ckpt").write_bytes(trained)
        assert (await agent.score())["state"] == "done"


async def test_a_json_module_of_the_projects_own_does_not_stand_in_for_the_evaluators(at: At) -> None:
    folder = at("trained")
    folder.write("json.py", "raise RuntimeError('shadowed')\n")
    folder.write("sitecustomize.py", "raise RuntimeError('shadowed')\n")
    async with connected(folder) as agent:
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"


async def test_an_evaluation_runs_the_snapshot_of_what_was_trained(at: At) -> None:
    folder = at("trained")
    folder.write("schedule.py", "raise RuntimeError('changed since')\n")
    source = EVALUATOR.replace(
        "def predict(",
        "import sys\n\nsys.path.insert(0, arguments.source)\nfrom schedule import advance\n\n\ndef predict(",
    )
    async with connected(folder) as agent:
        await agent.call("write_eval", source=source)
        assert (await agent.score())["state"] == "done"


async def test_an_evaluation_leaves_no_copy_of_the_project_behind(at: At) -> None:
    folder = at("scored")
    attempt = folder.path(".progressive-training/attempts/v001/eval-001")
    assert not {"stage", "out"} & {path.name for path in attempt.iterdir()}
