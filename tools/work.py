"""What the Steps do. `results.work` imports it at the first call of one: listing the tools doesn't load the loop."""

from ..loop.author.action import Action, further_action, write_action
from ..loop.author.next_version import author_next_version
from ..loop.author.repair import repair_version
from ..loop.author.start import start_loop
from ..loop.author.trial import try_diff
from ..loop.evaluate.evaluation import evaluate
from ..loop.evaluate.evaluator import has_evaluator, read_settings, renewable, served_family, write_evaluator
from ..loop.evaluate.hardest import pictures
from ..loop.judge.analysis import Analysis, write_analysis
from ..loop.judge.best import best_version
from ..loop.judge.exploration.exploration import explore, explored
from ..loop.judge.labels import record_judgements
from ..loop.project.confinement import unconfined
from ..loop.rehearse.page import PAGE, headline, worst
from ..loop.rehearse.rehearsal import rehearse
from ..loop.rehearse.words import told as finding_told
from ..loop.report.cancel import cancel
from ..loop.report.estimate import estimate, late_warning
from ..loop.train.progress import progress_of
from ..loop.train.training import expect_first, train
from ..pages.report import Finished, finish
from ..prompts.briefs import brief, whole_brief
from ..prompts.eval_script import eval_script

__all__ = [
    "PAGE",
    "Action",
    "Analysis",
    "Finished",
    "author_next_version",
    "best_version",
    "brief",
    "cancel",
    "estimate",
    "eval_script",
    "evaluate",
    "expect_first",
    "explore",
    "explored",
    "finding_told",
    "finish",
    "further_action",
    "has_evaluator",
    "headline",
    "late_warning",
    "pictures",
    "progress_of",
    "read_settings",
    "record_judgements",
    "rehearse",
    "renewable",
    "repair_version",
    "served_family",
    "start_loop",
    "train",
    "try_diff",
    "unconfined",
    "whole_brief",
    "worst",
    "write_action",
    "write_analysis",
    "write_evaluator",
]
