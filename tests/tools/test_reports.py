"""Step 7: every version under one protocol, the leaderboard, the best one's bundle, and why it is best."""

import csv
import io
import re
import shutil
import subprocess
import sys
from typing import Any

import pytest

from progressive_training.loop.project.integrity import accept_rules
from support.projects import EVALUATOR, At, Folder, connected

pytestmark = pytest.mark.anyio
COLUMNS = [
    "version_id",
    "dataset_id",
    "created_at",
    "latency_ms",
    "artifact_relpath",
    "metric__loss",
    "metric__accuracy",
]


def table(folder: Folder, report: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(folder.read(f"{report['folder']}/leaderboard.csv"))))


@pytest.mark.requirement("R1", "R3", "R5")
async def test_the_report_has_its_files_columns_and_order_and_every_path_in_it_resolves(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        report = await agent.report()
    assert re.fullmatch(r"Models/Report/\d{4}-\d{2}-\d{2}_\d{2}-\d{2}", report["folder"])
    rows = table(folder, report)
    assert list(rows[0]) == COLUMNS
    assert [(row["version_id"], float(row["metric__accuracy"])) for row in rows] == [("v002", 0.95), ("v001", 0.75)]
    assert [row["artifact_relpath"] for row in rows] == ["Artifacts/v002/best.ckpt", "../../Artifacts/v001/best.ckpt"]
    for row in rows:
        checkpoint = folder.path(report["folder"]) / row["artifact_relpath"]
        assert checkpoint.read_bytes() == folder.path(f"Models/Artifacts/{row['version_id']}/best.ckpt").read_bytes()
        score = folder.json(f"Models/Artifacts/{row['version_id']}/eval_score.json")
        assert row["created_at"] == score["created_at"] and float(row["latency_ms"]) == score["latency_ms"]
    bundle = folder.path(report["folder"]) / "Artifacts" / "v002"
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if path.is_file()}
    assert names == {"best.ckpt", "spec.json", "additional_assets/label_map.json"}


@pytest.mark.requirement("R1")
async def test_the_script_in_the_project_makes_the_same_leaderboard_by_itself(at: At) -> None:
    folder = at("reported")
    (report,) = folder.path("Models/Report").iterdir()
    before = (report / "leaderboard.csv").read_bytes()
    (report / "leaderboard.csv").unlink()
    script = folder.path("04_final_report.py")
    assert "progressive_training" not in script.read_text().replace("progressive-training", "")
    subprocess.run([sys.executable, "-I", str(script)], cwd="/", check=True, stdout=subprocess.DEVNULL)
    assert (report / "leaderboard.csv").read_bytes() == before


@pytest.mark.requirement("C1", "R1", "R5")
async def test_rules_beside_the_skill_rank_the_leaderboard_as_well(folder: Folder) -> None:
    skill = folder.root.parent / "skill"
    skill.mkdir()
    # Lower accuracy goes with a higher loss; so the metric is turned round to tell which one ranked.
    folder.set_rules(eval_config={"metrics": ["misses"], "primary_metric": "misses"}, loop_config={"max_versions": 2})
    folder.path("user_defined_rules.json").rename(skill / "user_defined_rules.json")
    source = EVALUATOR.replace('{"name": "accuracy"', '{"name": "misses"').replace(
        "sum(hits) / len(hits)", "1 - sum(hits) / len(hits)"
    )
    async with connected(folder, skill_folders=(skill,)) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=source)
        await agent.score()
        await agent.analyse()
        await agent.act()
        await agent.author()
        await agent.train(2)
        await agent.score(2)
        report = await agent.report(stop_reason="enough")
    assert report["best"] == "v001"
    assert [row["version_id"] for row in table(folder, report)] == ["v001", "v002"]
    before = folder.read(f"{report['folder']}/leaderboard.csv")
    subprocess.run([sys.executable, str(folder.path("04_final_report.py"))], check=True, stdout=subprocess.DEVNULL)
    assert folder.read(f"{report['folder']}/leaderboard.csv") == before


@pytest.mark.requirement("R6")
async def test_the_final_analysis_explains_the_first_three_from_what_the_loop_knows(at: At) -> None:
    folder = at("reported")
    (where,) = folder.path("Models/Report").iterdir()
    text = (where / "final-analysis.md").read_text(encoding="utf-8")
    assert "Best version: **v002**" in text
    assert "### 1. v002" in text and "### 2. v001" in text
    assert "Come closer to 0.5 in three epochs" in text and "Changed symbols: LEARNING_RATE" in text
    assert "+LEARNING_RATE = 0.5" in text and "The higher rate came closer." in text
    async with connected(folder) as agent:
        assert "call final_report" in (await agent.call("final_report"))["message"]
        for words in ("v002은 더 가까이 갔다.", "두 번째 글"):
            done = await agent.call("final_report", analysis=words)
            assert done["already_done"] and "call final_report" not in done["message"]
            text = (where / "final-analysis.md").read_text(encoding="utf-8")
            assert text.count(words) == 1
    assert "v002은" not in text and "### 1. v002" in text


@pytest.mark.requirement("C4", "R1")
async def test_the_report_is_made_once(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        first = await agent.report()
        files = folder.contents()
        again = await agent.report()
        assert again.pop("already_done") and not first.pop("already_done")
        assert again == first
    assert folder.contents() == files
    assert len(list(folder.path("Models/Report").iterdir())) == 1


@pytest.mark.requirement("C4", "S1")
@pytest.mark.parametrize("stage", ["started", "trained", "scored", "analysed", "acted", "authored", "finished"])
@pytest.mark.whole(but=2)
async def test_the_user_may_end_the_loop_early_between_any_two_steps(at: At, stage: str) -> None:
    folder = at(stage)
    async with connected(folder) as agent:
        report = await agent.report(stop_reason="그만 | enough")
        assert report["phase"] == "done"
        rows = table(folder, report)
        assert set(COLUMNS[:5]) <= set(rows[0] if rows else COLUMNS)
        assert report.get("best") == {"started": None, "trained": None, "finished": "v002"}.get(stage, "v001")
        for row in rows:
            if row["artifact_relpath"]:
                assert (folder.path(report["folder"]) / row["artifact_relpath"]).is_file()
    reason = "max_versions" if stage == "finished" else "그만 | enough"
    assert f"ended by: {reason}" in folder.read(f"{report['folder']}/final-analysis.md")


async def test_an_adopted_loop_may_be_ended_before_it_has_any_artifact(tmp_path: Any) -> None:
    from support.projects import TRAINER, make_project

    folder = make_project(tmp_path / "adopted", trainer=None)
    folder.write("02_train_v003.py", TRAINER.replace('"baseline"', '"v003"'))
    folder.set_rules(loop_config={"max_versions": 3})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        report = await agent.report(stop_reason="enough")
        assert [tuple(row.values()) for row in table(folder, report)] == [("v003", "", "", "", "")]


async def test_a_blank_reason_does_not_end_the_loop(at: At) -> None:
    async with connected(at("scored")) as agent:
        assert "pass stop_reason" in await agent.refused("final_report", stop_reason=" \n")


async def test_a_running_training_is_not_left_behind_by_a_report(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("    threshold, rows = fit()\n", "    __import__('time').sleep(600)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        assert "run_train" in await agent.refused("final_report", stop_reason="enough")
        await agent.call("cancel_run", version=1)


@pytest.mark.requirement("C4")
async def test_a_higher_max_versions_that_the_user_accepts_takes_the_loop_up_again(at: At) -> None:
    folder = at("reported")
    async with connected(folder) as agent:
        folder.set_rules(loop_config={"max_versions": 3})
        accept_rules(folder.project())
        assert await agent.where() == ("author", 2)
        await agent.author(2, ("START = 1.0", "START = 0.6"))
        await agent.train(3)
        await agent.score(3)
        await agent.analyse(3)
        await agent.act(3, where=["START"])
        report = await agent.report()
        assert [row["version_id"] for row in table(folder, report)] == ["v003", "v002", "v001"]
    assert len(list(folder.path("Models/Report").iterdir())) == 2


@pytest.mark.requirement("R2")
async def test_a_score_that_was_edited_by_hand_does_not_count(at: At) -> None:
    folder = at("finished")
    where = "Models/Artifacts/v001/eval_score.json"
    true = folder.json(where)["metrics"]
    folder.edit(where, ("0.75", "0.99"))
    async with connected(folder) as agent:
        report = await agent.report()
    assert report["best"] == "v002"
    assert float(table(folder, report)[1]["metric__accuracy"]) == 0.75
    assert folder.json(where)["metrics"] == true


@pytest.mark.requirement("R2", "E3")
@pytest.mark.parametrize("text", ["{", "[]", '{"metrics": 3}', None])
async def test_a_score_that_was_damaged_or_deleted_is_made_good(at: At, text: str | None) -> None:
    folder = at("finished")
    where = "Models/Artifacts/v001/eval_score.json"
    if text is None:
        folder.path(where).unlink()
    else:
        folder.write(where, text)
    async with connected(folder) as agent:
        report = await agent.report()
    assert float(table(folder, report)[1]["metric__accuracy"]) == 0.75


@pytest.mark.requirement("R2")
async def test_a_score_that_nobody_gave_a_version_does_not_make_it_win(at: At) -> None:
    folder = at("authored")
    forged = folder.read("Models/Artifacts/v001/eval_score.json").replace("0.75", "1.0")
    folder.write("Models/Artifacts/v002/eval_score.json", forged)
    folder.write("Models/Artifacts/v002/best.ckpt", "{}")
    async with connected(folder) as agent:
        report = await agent.report(stop_reason="enough")
    assert report["best"] == "v001"
    assert table(folder, report)[0]["version_id"] == "v001"


@pytest.mark.requirement("E3", "R5")
async def test_a_version_without_the_primary_metric_ranks_last_with_a_warning(at: At) -> None:
    folder = at("authored")
    async with connected(folder) as agent:
        report = await agent.report(stop_reason="enough")
        rows = table(folder, report)
        analysis = folder.read(f"{report['folder']}/final-analysis.md")
    assert rows[0]["version_id"] == "v001"
    assert "v002 ranks last: it is not trained" in analysis
    assert [row["metric__accuracy"] for row in rows[1:]] in ([], [""])


async def test_a_checkpoint_that_changed_after_its_score_is_not_bundled_and_one_that_is_gone_is_left_out(
    at: At,
) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        folder.write("Models/Artifacts/v002/best.ckpt", '{"threshold": 0.9}')
        text = await agent.refused("final_report")
        assert "Models/Artifacts/v002/best.ckpt" in text and "changed after training" in text
        folder.path("Models/Artifacts/v002/best.ckpt").unlink()
        assert "v002: best.ckpt is gone" in " ".join((await agent.call("next_step", brief=False))["remarks"])
        report = await agent.report()
    assert report["best"] == "v001" and [row["version_id"] for row in table(folder, report)] == ["v001"]
    assert "v002: best.ckpt is gone" in folder.read(f"{report['folder']}/final-analysis.md")


async def test_what_changed_after_its_training_is_not_bundled_as_the_best(at: At) -> None:
    folder = at("finished")
    best = "Models/Artifacts/v002"
    async with connected(folder) as agent:
        for name in ("best.ckpt", "spec.json", "additional_assets/label_map.json"):
            where = f"{best}/{name}"
            trained = folder.path(where).read_bytes()
            folder.write(where, '{"threshold": 0.9}')
            text = await agent.refused("final_report")
            assert where in text and "changed after training" in text
            folder.path(where).unlink()
            if name != "best.ckpt":  # a version without its weights is left out instead
                assert "is missing" in await agent.refused("final_report")
            folder.path(where).symlink_to("/etc/hostname")
            assert where in await agent.refused("final_report")
            folder.path(where).unlink()
            folder.path(where).write_bytes(trained)
        folder.write(f"{best}/additional_assets/added.json", "{}")
        folder.path(f"{best}/additional_assets/link").symlink_to("/etc/hostname")
        report = await agent.report()
    bundle = folder.path(f"{report['folder']}/Artifacts/v002")
    names = {path.relative_to(bundle).as_posix() for path in bundle.rglob("*") if not path.is_dir()}
    assert report["best"] == "v002" and names == {"best.ckpt", "spec.json", "additional_assets/label_map.json"}


async def test_foreign_folders_beside_the_artifacts_do_not_disturb_the_report(at: At) -> None:
    folder = at("finished")
    for name in ("v000", "v0002", "v099", "baseline-old"):
        folder.path(f"Models/Artifacts/{name}").mkdir()
    for name in ("02_train_v000.py", "02_train_v0002.py", "02_train_v2.py", "02_train_v003.py.bak"):
        folder.write(name, "")
    shutil.copytree(folder.path("Models/Artifacts/v002"), folder.path("Models/Artifacts/v077"))
    async with connected(folder) as agent:
        report = await agent.report()
    assert [row["version_id"] for row in table(folder, report)] == ["v002", "v001"]
