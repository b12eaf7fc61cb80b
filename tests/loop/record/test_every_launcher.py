"""Ranks of plain loops are recorded too, whoever starts them and whatever shares the model among them."""

import pytest
from loop.record.conftest import COMMON, Record, Recorded

GLOO = {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
# Two epochs of 100 samples, which two ranks share in batches of 10: ten steps each.
TRAIN = """
import torch.distributed as dist
from torch.utils.data.distributed import DistributedSampler

def train(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.02)
    data = samples(100, 1)
    sampler = DistributedSampler(data, shuffle=True)
    loader = DataLoader(data, 10, sampler=sampler)
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for inputs, labels in loader:
            optimizer.zero_grad()
            F.cross_entropy(model(inputs), labels).backward()
            optimizer.step()
"""
SPAWN = """
import socket
import torch.multiprocessing as mp
def work(rank, port):
    dist.init_process_group("gloo", f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    torch.manual_seed(5)
    train(WRAPPED)
    dist.destroy_process_group()
if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    mp.start_processes(work, args=(port,), nprocs=2, start_method=sys.argv[1])
"""
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
WRAPPERS = {
    "DistributedDataParallel": "nn.parallel.DistributedDataParallel(nn.Linear(4, 2))",
    "FullyShardedDataParallel": "fsdp.FullyShardedDataParallel(nn.Linear(4, 2), device_id=torch.device('cpu'))",
    None: "fsdp.fully_shard(nn.Linear(4, 2), mesh=init_device_mesh('cpu', (2,)))",
}
SHARDS = "import torch.distributed.fsdp as fsdp\nfrom torch.distributed.device_mesh import init_device_mesh\n"


def expect_two_loops(done: Recorded) -> None:
    assert done.code == 0, done.output
    assert not done.run.problems, done.run.problems
    assert done.run.world_size == 2 and not done.run.fits
    assert sorted(one.rank for one in done.run.processes if one.trained) == [0, 1]
    assert [loop.steps for loop in done.run.loops] == [10, 10]
    for loop in done.run.loops:
        (train,) = loop.loaders
        assert train.role == "train" and train.sizes == ((10, 10),) and train.sampler == "DistributedSampler"
        assert train.distinct_indices == 50 and [row.samples for row in train.passes.rows] == [50, 50]
        assert loop.optimizers[0].kind == "AdamW" and loop.forwards[0].samples == 10


def test_plain_loops_that_torchrun_starts_are_one_run(record: Record) -> None:
    script = TRAIN + "dist.init_process_group('gloo')\ntrain(WRAPPED)\ndist.destroy_process_group()\n"
    script = script.replace("WRAPPED", WRAPPERS["DistributedDataParallel"])
    done = record(COMMON + script, env=GLOO, launcher=TORCHRUN)
    expect_two_loops(done)
    assert {loop.forwards[0].wrapper for loop in done.run.loops} == {"DistributedDataParallel"}
    assert {loop.forwards[0].parameters for loop in done.run.loops} == {10}


@pytest.mark.parametrize("wrapper", WRAPPERS, ids=["ddp", "fsdp", "fully_shard"])
@pytest.mark.whole
def test_spawned_ranks_say_which_they_are_and_what_shares_their_model(record: Record, wrapper: str | None) -> None:
    script = COMMON + SHARDS + TRAIN + SPAWN.replace("WRAPPED", WRAPPERS[wrapper])
    done = record(script, "spawn", env=GLOO)
    expect_two_loops(done)
    assert {loop.forwards[0].wrapper for loop in done.run.loops} == {wrapper}
    assert {(seed.call, seed.value) for seed in done.run.seeds} >= {("torch.manual_seed", 5)}


@pytest.mark.whole
def test_forked_ranks_of_a_plain_loop_are_told_apart(record: Record) -> None:
    script = COMMON + TRAIN + SPAWN.replace("WRAPPED", WRAPPERS["DistributedDataParallel"])
    expect_two_loops(record(script, "fork", env=GLOO))


@pytest.mark.whole
def test_fabric_s_own_ranks_are_one_run_and_tell_how_it_was_set_up(record: Record) -> None:
    script = """
import lightning as L
if __name__ == "__main__":
    fabric = L.Fabric(accelerator="cpu", devices=2, strategy="ddp", precision="bf16-mixed")
    fabric.launch()
    model, optimizer = fabric.setup(m := nn.Linear(4, 2), torch.optim.AdamW(m.parameters(), lr=0.02))
    train = fabric.setup_dataloaders(DataLoader(samples(100, 1), 10, shuffle=True))
    for epoch in range(2):
        for inputs, labels in train:
            optimizer.zero_grad()
            fabric.backward(F.cross_entropy(model(inputs), labels))
            optimizer.step()
"""
    done = record(COMMON + script, env=GLOO)
    expect_two_loops(done)
    for loop in done.run.loops:
        (fabric,) = loop.fabric
        assert (fabric.strategy, fabric.precision, fabric.world_size) == ("DDPStrategy", "bf16-mixed", 2)
        assert (loop.forwards[0].device, loop.forwards[0].autocast) == ("cpu", "bfloat16")
