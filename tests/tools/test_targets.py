"""A version is measured by the same targets as the first. An evaluator of one's own may read them by the version's
code, so that is looked at; the loop's own refuses others (test_own_evaluator.py).
"""

import pytest

from support.projects import EVALUATOR, At, connected, edited

pytestmark = pytest.mark.anyio
# As an evaluator that takes the targets from the version's code does where that code has changed them.
TURNED = edited(
    EVALUATOR,
    ('"target": sample["label"]}', '"target": target(sample)}'),
    (
        "def main():\n",
        "def target(sample):\n"
        "    turned = arguments.version == 'v002' and sample['x'] < 0.2\n"
        "    return 1 - sample['label'] if turned else sample['label']\n\n\n"
        "def main():\n",
    ),
)


@pytest.mark.requirement("R2")
@pytest.mark.parametrize(("source", "told"), [(EVALUATOR, []), (TURNED, ["4 of 20 targets are not those of v001"])])
async def test_other_targets_than_those_of_the_first_version_are_a_warning(
    at: At, source: str, told: list[str]
) -> None:
    async with connected(at("trained")) as agent:
        await agent.call("write_eval", source=source)
        assert (await agent.score())["state"] == "done"
        await agent.analyse()
        await agent.act()
        await agent.author()
        await agent.train(2)
        warnings = (await agent.score(2))["warnings"]
        brief = await agent.brief()
        await agent.analyse(2)
        seen, report = await agent.call("next_step"), await agent.call("final_report", stop_reason="enough")
    assert [warning.split(":")[0] for warning in warnings] == told
    score = float(brief.split("| **accuracy** | 0.75 | ")[1].split(" |")[0])
    # Nothing says by how much it is better, and it isn't the best.
    assert ("not comparable" in brief) is bool(told) and ("gained" in brief or "+" in brief.split("##")[0]) is not told
    assert report["best"] == ("v001" if told else "v002"), (report, score)
    assert f"best: {report['best']}" in seen["brief"]
