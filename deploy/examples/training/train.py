# The smallest training program that can be stopped at any moment and goes on where it was. It finds the
# weight 3 by gradient descent, and takes the number of steps as its argument.
import json, os, signal, sys

told, weight, step, steps = [], 0.0, 0, int(sys.argv[1])
signal.signal(signal.SIGTERM, lambda *_: told.append(True))  # asked to go
reports = open(os.environ["PROGRESS_FILE"], "a", buffering=1)  # each line is seen at once
if os.environ["RESUME_FROM"]:
    weight, step = json.load(open(os.environ["RESUME_FROM"] + "/state.json"))

def write(file, text):  # whole or not at all, and on the disk when it returns
    with open(file + ".tmp", "w") as f:
        f.write(text), f.flush(), os.fsync(f.fileno())
    os.replace(file + ".tmp", file)

while step < steps:
    step, weight = step + 1, weight - 1e-4 * (weight - 3)
    if told or step % 1000 == 0 or step == steps:
        checkpoint = f"{os.environ['CHECKPOINT_DIR']}/step-{step}"
        os.makedirs(checkpoint, exist_ok=True)
        write(checkpoint + "/state.json", json.dumps([weight, step]))
        write(checkpoint + "/COMMITTED", "")  # last: from here on it counts
        print(f"progress step={step} loss={(weight - 3) ** 2} percent={100 * step / steps}", file=reports)
        print(f"committed step={step} path={checkpoint}", file=reports)
        if told and step < steps:
            sys.exit(75)  # saved; start me again when there is room
