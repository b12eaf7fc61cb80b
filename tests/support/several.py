"""Trainings of several processes, which talk over gloo on this machine's processors."""

from support.projects import TRAINER, edited

# Each says a line in one write: unbuffered, print() makes two, between which another rank may write.
# Says what the ranks come to together; where there is an argument, rank 1 does what that says before.
RANKS = """
import os, sys, torch, torch.distributed as dist
for ours, slurms in {"RANK": "SLURM_PROCID", "WORLD_SIZE": "SLURM_NTASKS"}.items():
    os.environ.setdefault(ours, os.environ.get(slurms, ""))
dist.init_process_group("gloo")
rank, total = dist.get_rank(), torch.tensor([float(dist.get_rank() + 1)])
if rank == 1 and len(sys.argv) > 1:
    exec(sys.argv[1])
dist.all_reduce(total)
print(f"rank {rank} of {dist.get_world_size()}: {total.item():.0f}\\n", end="", flush=True)
dist.destroy_process_group()
"""
# Each of two nodes has one rank, which is Lightning's doing.
LIGHTNING = """
import lightning as L, torch
from torch.utils.data import DataLoader, TensorDataset

class Model(L.LightningModule):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(4, 1)
    def training_step(self, batch):
        return self.layer(batch[0]).square().mean()
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)

L.seed_everything(1)
data = DataLoader(TensorDataset(torch.randn(64, 4)), batch_size=8)
off = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
trainer = L.Trainer(accelerator="cpu", devices=1, num_nodes=2, strategy="ddp", max_epochs=1, **off)
model = Model()
trainer.fit(model, data)
weights = model.layer.weight.sum().item()
told = f"rank {trainer.global_rank} of {trainer.world_size}: {trainer.global_step} steps, {weights:.6f}"
print(f"{told}\\n", end="", flush=True)
torch.distributed.destroy_process_group()  # else gloo's thread may be there at the interpreter's end, which aborts it
"""
# The trainer of the tests' projects: each rank has a share of the samples, and the first one saves what all come to.
SHARED = edited(
    TRAINER,
    (
        "from schedule import advance\n",
        "import torch\nimport torch.distributed as dist\nfrom schedule import advance\n",
    ),
    (
        "def loss_of(",
        """def mean_of_all(value):
    total = torch.tensor(value, dtype=torch.float64)
    dist.all_reduce(total)
    return total.item() / dist.get_world_size()


def loss_of(""",
    ),
    (
        '    train, val = load("train"), load("val")\n',
        """    rank, ranks = dist.get_rank(), dist.get_world_size()
    train, val = load("train")[rank::ranks], load("val")
    print(f"rank {rank} of {ranks}: {len(train)} samples\\n", end="", flush=True)
""",
    ),
    ("loss_of(threshold, train)", "mean_of_all(loss_of(threshold, train))"),
    (
        "    threshold, rows = fit()\n    save_logs(rows)\n    save(threshold)\n",
        """    dist.init_process_group("gloo")
    threshold, rows = fit()
    if dist.get_rank() == 0:
        save_logs(rows)
        save(threshold)
    dist.destroy_process_group()
""",
    ),
)
