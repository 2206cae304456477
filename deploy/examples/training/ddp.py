"""Data-parallel training with PyTorch on a gang of any size, that gives its GPUs back when it is asked to.

It runs in one process per node, or under torchrun in one per GPU, and on CPUs where there is no GPU. A step
takes the same examples however many ranks share them, so a job may go on with another number of nodes and
its loss curve goes on with it.
"""
import argparse, os, signal, sys

import torch
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing.errors import record
from torch.nn.parallel import DistributedDataParallel

BATCH = 64  # of all ranks together; their number has to divide it


class Notice:
    """Whether this rank was asked to go: by SIGTERM or, where only a launcher gets that, by the file."""

    def __init__(self):
        self.signalled = False
        signal.signal(signal.SIGTERM, self.take)

    def take(self, *_):
        self.signalled = True

    def given(self):
        return self.signalled or os.path.exists(os.environ["PREEMPT_FILE"])


def examples(step, device):
    """This rank's part of the step's batch: points and how far they are from the origin."""
    rank, world = dist.get_rank(), dist.get_world_size()
    x = torch.rand(BATCH, 2, generator=torch.Generator().manual_seed(step))[rank::world].to(device)
    return x, x.norm(dim=1, keepdim=True)


def sync(path):
    """Makes a file or a directory durable."""
    fd = os.open(path, os.O_RDONLY)
    os.fsync(fd)
    os.close(fd)


def save(model, optimizer, step, report):
    """Commits a checkpoint. Every rank calls it, the first one writes, and none returns before it is done."""
    if dist.get_rank() == 0:
        path = f"{os.environ['CHECKPOINT_DIR']}/step-{step}"
        report(f"saving step={step}")
        os.makedirs(path, exist_ok=True)
        state = {"model": model.module.state_dict(), "optimizer": optimizer.state_dict(), "step": step}
        torch.save(state, path + "/state.pt.tmp")
        sync(path + "/state.pt.tmp")
        os.replace(path + "/state.pt.tmp", path + "/state.pt")
        sync(path)
        open(path + "/COMMITTED", "w").close()  # last: from here on it counts
        sync(path)
        report(f"committed step={step} path={path}")
    dist.barrier()


def reporter():
    """What writes a line to the platform. The first rank speaks for all of them."""
    file = open(os.environ["PROGRESS_FILE"], "a", buffering=1)
    return lambda line: print(line, file=file) if dist.get_rank() == 0 else None


@record  # an exception goes to TORCHELASTIC_ERROR_FILE, where the platform reads it
def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--checkpoint-every", type=int, default=100, help="steps")
    args = parser.parse_args()
    notice = Notice()  # before anything slow: a gang may be asked to go while it starts
    cuda = torch.cuda.is_available()
    device = torch.device("cuda", int(os.environ["LOCAL_RANK"])) if cuda else torch.device("cpu")
    dist.init_process_group("nccl" if cuda else "gloo")
    if BATCH % dist.get_world_size():
        print(f"{dist.get_world_size()} ranks: they have to divide the batch of {BATCH}", file=sys.stderr)
        sys.exit(78)
    report = reporter()

    torch.manual_seed(1)
    net = torch.nn.Sequential(torch.nn.Linear(2, 32), torch.nn.Tanh(), torch.nn.Linear(32, 1)).to(device)
    model = DistributedDataParallel(net, device_ids=[device.index] if cuda else None)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    step = 0
    if os.environ["RESUME_FROM"]:
        state = torch.load(os.environ["RESUME_FROM"] + "/state.pt", map_location=device)
        model.module.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        step = state["step"]

    while step < args.steps:
        x, y = examples(step, device)
        loss = torch.nn.functional.mse_loss(model(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        # The notice reaches the ranks at different moments, and they have to save the same step: one that
        # was asked to go asks all the others, in the same step.
        shared = torch.stack([loss.detach(), torch.tensor(float(notice.given()), device=device)])
        dist.all_reduce(shared)
        leave = shared[1].item() > 0 and step < args.steps
        report(f"progress step={step} loss={shared[0].item() / dist.get_world_size():.9f} percent={100 * step / args.steps}")
        if leave or step % args.checkpoint_every == 0 or step == args.steps:
            save(model, optimizer, step, report)
        if leave:
            sys.exit(75)  # saved; start us again when there is room


if __name__ == "__main__":
    main()
