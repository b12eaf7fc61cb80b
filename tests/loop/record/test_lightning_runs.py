"""What the recorder says of Lightning's runs is what the script itself counts."""

from collections import Counter
from typing import Any

import pytest
from loop.record.conftest import LIGHTNING, MODEL, PYTORCH_LIGHTNING, Record, Recorded, Warm

from progressive_training.loop.record.ranks import Fit

SAY = """
say(batches=model.batches, epochs=model.epochs, scores=model.scores, steps=t.global_step,
    weights=[float(value) for value in model.layer.weight.flatten()])
"""


def fit_of(done: Recorded) -> Fit:
    assert done.code == 0, done.output
    assert not done.run.problems, done.run.problems
    assert len(done.run.fits) == 1
    return done.run.fits[0]


def span(fit: Fit) -> tuple[float, float, float]:
    lr = fit.first.optimizers[0].groups[0].lr
    assert lr is not None
    return lr.lowest, lr.highest, lr.last


@pytest.mark.parametrize("script", [LIGHTNING, PYTORCH_LIGHTNING], ids=["lightning", "pytorch_lightning"])
@pytest.mark.whole(but="lightning")
def test_a_fit_is_recorded_as_the_script_counts_it(record: Record, script: str) -> None:
    done = record(script + "L.seed_everything(7)\nmodel, t = Model(), trainer()\nt.fit(model, *loaders())\n" + SAY)
    fit, said = fit_of(done), done.said[0]
    first = fit.first
    assert fit.epochs_run == said["epochs"] == 3
    assert fit.steps == said["steps"] == first.steps_after == 21
    assert dict(fit.batch_sizes) == Counter(said["batches"]) == {16: 18, 4: 3}
    assert (fit.usual_batch, fit.batches_per_step, fit.forward_ratio) == (16, 1.0, 1.0)
    assert fit.samples_per_epoch == 100 and first.validation_samples == 30 and first.backwards == 21
    assert [row.values["val_acc"] for row in first.metrics.rows if row.role == "validation"] == said["scores"]
    assert all("train_loss" in row.values for row in first.metrics.rows if row.role == "train")
    train = first.loaders_of("train")[0]
    assert train.sizes == ((4, 3), (16, 18)) and train.distinct_indices == train.dataset_length == 100
    assert first.shared_inputs == 0
    assert first.settings is not None and first.end is not None
    assert first.settings.max_epochs == 3 and first.end.by == "max_epochs"
    assert first.settings.parameters == first.settings.trainable == 10
    assert first.settings.hyper_parameters == {"lr": 0.1}
    assert first.optimizers[0].kind == "SGD" and span(fit) == (0.1, 0.1, 0.1)
    decay = first.optimizers[0].groups[0].weight_decay
    assert decay is not None and decay.last == 0.01
    assert first.generators is not None and first.generators.torch_seed == 7
    assert done.run.ended and done.run.world_size == 1


@pytest.mark.parametrize(
    "script",
    [
        "L.seed_everything(7)\nmodel, t = Model(), trainer()\nt.fit(model, *loaders(workers=2))\n" + SAY,
        "L.seed_everything(7)\nmodel, t = Model(), trainer(gradient_clip_val=0.1, accumulate_grad_batches=2)\n"
        "t.fit(model, *loaders())\nt.test(model, loaders()[1])\n" + SAY + "say(more=torch.rand(3).tolist())\n",
    ],
    ids=["workers", "accumulated"],
)
@pytest.mark.whole
def test_results_are_the_same_to_the_bit_with_and_without_the_recorder(record: Record, script: str) -> None:
    without = record(LIGHTNING + script, recorder=False)
    with_it = record(LIGHTNING + script)
    assert without.code == with_it.code == 0, with_it.output
    assert not without.run.processes and with_it.run.fits
    assert with_it.said == without.said and with_it.said[0]["weights"]


@pytest.mark.whole
def test_workers_of_a_loader_leave_no_facts_and_batches_are_counted_as_delivered(record: Record) -> None:
    done = record(LIGHTNING + "model, t = Model(), trainer()\nt.fit(model, *loaders(workers=2))\n" + SAY)
    fit = fit_of(done)
    assert len(done.run.processes) == 1
    assert dict(fit.batch_sizes) == Counter(done.said[0]["batches"])
    train = fit.first.loaders_of("train")[0]
    assert train.workers == 2 and train.drawn == train.sizes == ((4, 3), (16, 18)) and train.distinct_indices == 100


def test_a_test_after_the_fit_is_no_epoch_of_it(warm: Warm) -> None:
    script = "model, t = Model(), trainer()\nt.fit(model, *loaders())\nt.test(model, loaders()[1])\n" + SAY
    done = warm(LIGHTNING + script)
    assert fit_of(done).epochs_run == 3
    assert [(one.first.kind, one.first.test_samples) for one in done.run.evaluations] == [("test", 30)]


def test_early_stopping_is_named_also_in_the_first_epoch(warm: Warm) -> None:
    stopper = "L.pytorch.callbacks.EarlyStopping('val_loss', patience=0, stopping_threshold=100.0)"
    done = warm(LIGHTNING + f"model, t = Model(), trainer(callbacks=[{stopper}])\nt.fit(model, *loaders())\n" + SAY)
    end = fit_of(done).first.end
    assert end is not None and end.by == "early_stopping"
    assert fit_of(done).epochs_run == done.said[0]["epochs"] == 1


def test_a_module_that_stops_its_trainer_is_told_from_a_callback(warm: Warm) -> None:
    script = "class Stops(Model):\n    def on_train_epoch_end(self):\n        self.trainer.should_stop = True\n"
    done = warm(LIGHTNING + script + "t = trainer()\nt.fit(Stops(), *loaders())\n")
    end = fit_of(done).first.end
    assert end is not None and end.by == "should_stop" and fit_of(done).epochs_run == 1


def test_steps_can_end_a_fit_within_an_epoch(warm: Warm) -> None:
    done = warm(LIGHTNING + "model, t = Model(), trainer(-1, max_steps=10)\nt.fit(model, *loaders())\n" + SAY)
    fit = fit_of(done)
    assert fit.first.end is not None and fit.first.end.by == "max_steps"
    assert (fit.steps, fit.first.epochs.count, fit.first.batches) == (10, 2, 10)


def test_folds_are_fits_of_their_own(warm: Warm) -> None:
    script = "for fold in range(3):\n    model, t = Model(), trainer(fold + 1)\n    t.fit(model, *loaders())\n" + SAY
    done = warm(LIGHTNING + script)
    assert done.code == 0 and not done.run.problems
    assert [(fit.epochs_run, fit.steps) for fit in done.run.fits] == [(1, 7), (2, 14), (3, 21)]


def test_a_pretraining_trainer_is_told_from_the_one_after_it(warm: Warm) -> None:
    script = "model = Model()\ntrainer(2).fit(model, *loaders(50))\nt = trainer(1)\nt.fit(model, *loaders(10))\n"
    done = warm(LIGHTNING + script)
    assert [(fit.epochs_run, fit.usual_batch) for fit in done.run.fits] == [(2, 50), (1, 10)]
    first, second = (fit.first.weights for fit in done.run.fits)
    assert first and second and first != second


@pytest.mark.parametrize("name", ["lightning.pytorch", "pytorch_lightning"])
def test_a_tuner_s_trial_is_no_fit_and_the_rate_that_it_found_is_the_one_recorded(warm: Warm, name: str) -> None:
    script = f"""
from {name}.tuner import Tuner
model, t = Model(), trainer()
train, val = loaders()
found = Tuner(t).lr_find(model, train, val, num_training=20)
t.fit(model, train, val)
say(lr=model.hparams.lr, steps=t.global_step)
"""
    done = warm((LIGHTNING if name.startswith("lightning.") else PYTORCH_LIGHTNING) + script)
    assert done.code == 0, done.output
    assert len(done.run.trials) == 1 and done.run.trials[0].first.within == "fit"
    real = [fit for fit in done.run.fits if fit.first.end is None or fit.first.end.by != "tuner"]
    assert len(real) == 1 and real[0].steps == done.said[0]["steps"] == 21
    assert span(real[0]) == (done.said[0]["lr"],) * 3 and done.said[0]["lr"] != 0.1


def test_accumulation_is_seen_as_batches_to_a_step(warm: Warm) -> None:
    script = "model, t = Model(), trainer(accumulate_grad_batches=3)\nt.fit(model, *loaders())\n" + SAY
    fit = fit_of(done := warm(LIGHTNING + script))
    assert fit.steps == done.said[0]["steps"] == 9 and fit.first.backwards == 21
    assert fit.batches_per_step == pytest.approx(21 / 9)
    assert fit.first.epochs.rows[0].accumulation == 3


def test_a_scheduler_s_lowest_highest_and_last_rate_are_those_of_real_steps(warm: Warm) -> None:
    script = """
class Cycled(Model):
    def configure_optimizers(self):
        self.used = []
        optimizer = super().configure_optimizers()
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.5, total_steps=21)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}
    def on_before_optimizer_step(self, optimizer):
        self.used.append(optimizer.param_groups[0]["lr"])
model, t = Cycled(), trainer()
t.fit(model, *loaders())
say(used=model.used)
"""
    fit = fit_of(done := warm(LIGHTNING + script))
    used = done.said[0]["used"]
    assert span(fit) == (min(used), max(used), used[-1])
    optimizer = fit.first.optimizers[0]
    assert optimizer.schedulers == ("OneCycleLR",) and optimizer.groups[0].lr is not None
    assert optimizer.groups[0].lr.changes == len(set(used)) - 1


def test_a_rate_that_a_subclass_sets_within_its_own_step_is_seen(warm: Warm) -> None:
    script = """
class Eager(torch.optim.SGD):
    def step(self, closure=None):
        kept = [group["lr"] for group in self.param_groups]
        for group in self.param_groups:
            group["lr"] = 0.3
        result = super().step(closure)
        for group, lr in zip(self.param_groups, kept):
            group["lr"] = lr
        return result
class Own(Model):
    def configure_optimizers(self):
        return Eager(self.parameters(), lr=0.1)
t = trainer()
t.fit(Own(), *loaders())
"""
    fit = fit_of(warm(LIGHTNING + script))
    assert fit.steps == 21 and span(fit)[1] == 0.3


def test_what_the_model_is_given_for_a_batch_shows_a_replay(warm: Warm) -> None:
    script = """
class Replays(Model):
    kept = []
    def training_step(self, batch, batch_idx):
        self.kept = [*self.kept[-3:], batch]
        return super().training_step([torch.cat(part) for part in zip(*self.kept)], batch_idx)
t = trainer()
t.fit(Replays(), *loaders())
"""
    fit = fit_of(warm(LIGHTNING + script))
    assert fit.usual_batch == 16 and fit.forward_ratio == 4.0


def test_what_the_checkpoint_callback_holds_as_best_has_its_epoch(warm: Warm) -> None:
    script = """
from lightning.pytorch.callbacks import ModelCheckpoint
best = ModelCheckpoint("out", "best", monitor="val_acc", mode="max", save_last=True, enable_version_counter=False)
model, t = Model(), trainer(5, callbacks=[best], enable_checkpointing=True)
t.fit(model, *loaders())
say(scores=model.scores, score=float(best.best_model_score), path=best.best_model_path)
"""
    fit = fit_of(done := warm(LIGHTNING + script))
    saved, said = fit.first.checkpoints[0], done.said[0]
    assert (saved.monitor, saved.mode, saved.save_last) == ("val_acc", "max", True)
    assert (saved.best_score, saved.best_model_path) == (said["score"], said["path"])
    assert saved.best_epoch is not None and said["scores"].index(max(said["scores"])) == saved.best_epoch
    assert saved.best_step == 7 * (saved.best_epoch + 1)


def test_a_fit_that_raises_leaves_its_error_and_its_finished_epochs(warm: Warm) -> None:
    script = """
class Fails(Model):
    def on_train_epoch_start(self):
        if self.current_epoch == 2:
            raise RuntimeError("out of luck")
t = trainer()
t.fit(Fails(), *loaders())
"""
    done = warm(LIGHTNING + script)
    assert done.code == 1 and "out of luck" in done.output
    fit = done.run.fits[0]
    assert fit.first.end is not None and (fit.first.end.by, fit.epochs_run) == ("exception", 2)
    assert fit.first.end.what == "RuntimeError: out of luck"
    assert done.run.first is not None and done.run.first.uncaught == "RuntimeError"


def test_a_loss_that_is_no_number_is_told_with_its_epoch(warm: Warm) -> None:
    script = """
class Diverges(Model):
    def training_step(self, batch, batch_idx):
        loss = super().training_step(batch, batch_idx)
        return loss * float("nan") if self.current_epoch == 1 and batch_idx == 2 else loss
t = trainer(2)
t.fit(Diverges(), *loaders())
"""
    first = fit_of(warm(LIGHTNING + script)).first.non_finite[0]
    assert (first.epoch, first.backward, first.value) == (1, 10, "nan")


def test_epochs_are_counted_as_they_run_and_not_as_the_trainer_says(warm: Warm) -> None:
    script = (
        """
class Rewinds(Model):
    more = 4
    def on_train_epoch_end(self):
        super().on_train_epoch_end()
        if self.more:
            self.more -= 1
            current = self.trainer.fit_loop.epoch_progress.current
            for name in ("processed", "completed", "ready", "started"):
                setattr(current, name, getattr(current, name) - 1)
model, t = Rewinds(), trainer()
t.fit(model, *loaders())
"""
        + SAY
    )
    done = warm(LIGHTNING + script)
    assert fit_of(done).epochs_run == done.said[0]["epochs"] == 7


@pytest.mark.whole
def test_the_command_line_of_lightning_is_recorded_like_any_other_script(record: Record) -> None:
    script = """
from lightning.pytorch.cli import LightningCLI
class Data(L.LightningDataModule):
    def __init__(self, batch_size: int = 20):
        super().__init__()
        self.batch_size = batch_size
    def train_dataloader(self):
        return loaders(self.batch_size)[0]
    def val_dataloader(self):
        return loaders()[1]
LightningCLI(Model, Data, save_config_callback=None)
"""
    arguments = ["fit", "--trainer.max_epochs=2", "--trainer.accelerator=cpu", "--trainer.logger=false"]
    done = record(LIGHTNING + script, *arguments, "--data.batch_size=25", "--trainer.enable_checkpointing=false")
    fit = fit_of(done)
    assert (fit.epochs_run, fit.usual_batch) == (2, 25)
    assert fit.first.settings is not None and fit.first.settings.datamodule == "Data"


def test_fabric_s_setup_and_its_own_loop_are_recorded(warm: Warm) -> None:
    script: Any = (
        LIGHTNING.replace(MODEL, "")
        + """
fabric = L.Fabric(accelerator="cpu", devices=1)
fabric.seed_everything(5)
model = nn.Linear(4, 2)
model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters(), lr=0.02))
train = fabric.setup_dataloaders(DataLoader(samples(100, 1), batch_size=20))
for epoch in range(2):
    for inputs, labels in train:
        optimizer.zero_grad()
        fabric.backward(F.cross_entropy(model(inputs), labels))
        optimizer.step()
"""
    )
    done = warm(script)
    assert done.code == 0 and not done.run.problems, done.output
    loop = done.run.loops[0]
    assert (loop.steps, loop.backwards, loop.optimizers[0].kind) == (10, 10, "Adam")
    assert loop.loaders[0].role == "train" and loop.loaders[0].sizes == ((20, 10),)
