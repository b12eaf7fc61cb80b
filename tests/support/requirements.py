"""Every requirement of the loop, by its ID; tests say with `@pytest.mark.requirement(ID)` which they show."""

REQUIREMENTS: dict[str, str] = {
    "C1": "The user's rules and instruction are read first; absent means none, malformed is an error with its place.",
    "C2": "No Step changes, weakens or bypasses what they fix, and the server writes neither file.",
    "C3": "An action that conflicts with the rules is refused and may be sent again, changed.",
    "C4": "max_versions (10 by default) ends the loop, and the report then comes exactly once.",
    "C5": "Versions are whole numbers, written with at least three digits, in every name.",
    "C6": "The data set is chosen once, by argument, rules or being the only one, and stays to the end.",
    "C7": "Every eval_score.json carries the data set's id.",
    "C8": "A loop starts only because somebody asked for it.",
    "I1": "The start reads stats.json, the baseline and what its smoke test found.",
    "I2": "Existing versions are adopted: the highest one is next to be trained.",
    "I3": "The baseline is audited and gets at most one patch, which makes it consistent and never better.",
    "I4": "The audit leaves a patch report with four parts, also when it found nothing.",
    "I5": "v001 is the baseline with version, paths and fixed values set; with nothing to start from there is no loop.",
    "T1": "What the rules fix is what a training uses, checked in the code before and in its records after.",
    "T2": "A training leaves checkpoints, spec, assets and logs, or has failed and says which one lacks.",
    "T3": "A training that touches evaluation outputs is rejected.",
    "T4": "A failed version is wiped, explained, repaired by the rules and trained again; each attempt keeps its row.",
    "E1": "A missing 03_eval.py is made for the metrics of the rules, or asked of the agent.",
    "E2": "best.ckpt is scored, on the whole validation set and nothing else.",
    "E3": "eval_score.json has exactly its fields, and a primary metric that lacks is warned of.",
    "E4": "Infer samples are few, seeded, numbered, and whole.",
    "A1": "An analysis has five parts, and names plateaus, regressions and trade-offs from the published scores.",
    "X1": "Exactly one action is selected, with all six parts.",
    "X2": "An action against the rules is refused and the rule is named.",
    "S1": "At max_versions comes the report, before that the next version.",
    "N1": "The next version is its parent and the one action's diff, under a header that says so.",
    "R1": "The report folder holds leaderboard, analysis and the best bundle; a script makes the table anew.",
    "R2": "Every version counts, under one protocol, by its own eval_score.json.",
    "R3": "The leaderboard has five columns and one for each metric, and empty cells where a value lacks.",
    "R4": "Each folder of Models/external/ is a row, scored alike.",
    "R5": "Rows are ranked by the primary metric in its direction, those without it last and warned of.",
    "R6": "The final analysis says why the first three rank where they do.",
}

NOT_YET = {"R4"}
"""What no test shows, because it is not built."""
