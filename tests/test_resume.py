"""A run that is killed at any moment and restarted ends with the same bytes as an uninterrupted run."""

import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from surefooted.core.files import read_tensors
from surefooted.pipeline.execute import execute, plan
from surefooted.pipeline.runtime import Runtime
from surefooted.pipeline.store import Store
from surefooted.pipeline.tasks import PredictTask, attack_task, train_task
from surefooted.training import loop

CPU = Runtime("cpu", threads=1)
NEAREST = {"carlini_wagner": {"steps": 3, "away_from": "prediction"}}
# Learnt labels, an inner attack, dropout, augmentation and momentum: everything with a state or random draws.
METHOD = {"pat_ar_adals": {"levels": 2, "alpha": 0.5, "eps": 0.1, "steps": 1, "robustness": NEAREST}}
NET = {"small_convnet": {"width": 2, "dropout": 0.2}}
AUGMENT = {"augment": ["crop", "flip", "shift"], "batch": 16}
SGD = {"optimiser": "sgd", "lr": 0.05, "nesterov": True, "weight_decay": 1e-3, "schedule": "cosine"}
TOGETHER = {"ar_adals_of_ensemble": {"members": 2, "levels": 2, "alpha": 0.5, "robustness": NEAREST}}
ON_THE_FLY = {"ar_adals": {"levels": 2, "alpha": 0.5, "every": 3, "robustness": NEAREST}}
KILLED = {
    "sgd": (METHOD, SGD, 8),
    "adam": (METHOD, {"optimiser": "adam"}, 4),
    "ar_adals_of_ensemble": (TOGETHER, {"optimiser": "adam"}, 3),
    "on the fly": (ON_THE_FLY, SGD, 3),
    "adp": ({"adp": {"members": 2}}, SGD, 3),
    "mixup": ("mixup", {"optimiser": "adam"}, 3),
    "uta, masks": ({"uta": {"eps": 0.1, "steps": 1, "view": {"mc_dropout": {"samples": 2}}}}, SGD, 3),
    "uta, latent": ({"uta": {"eps": 0.1, "steps": 2, "members": 2, "view": {"latent": {"stage": "conv2"}}}}, SGD, 3),
}
# Every few steps, so that kills fall between records.
WATCHED = {"robustness": {"eps": 0.05, "steps": 2, "every": 7, "images": 40, "part": "validation"}}


@pytest.fixture(scope="module")
def forked():
    """Processes that start fast: forked from one that has imported everything and computed nothing."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["lightning_fabric", "surefooted.pipeline.execute", "surefooted.training.recipes", "surefooted.models.nets"]
    )
    return context


@pytest.fixture
def data(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "noise.npz"
    np.savez(path, x_train=rng.integers(0, 256, (200, 8, 8), dtype=np.uint8), y_train=np.arange(200) % 3)
    return {"npz": {"path": str(path), "validation": 0.2}}


def run_until(task, root, seconds, steps, most):
    """Train, and sleep at ``most`` steps, so that the process is killed before the end."""
    torch.set_num_threads(1)
    loop.SECONDS_BETWEEN_CHECKPOINTS = seconds

    def tick(n):
        steps.value += n
        if steps.value >= most:
            time.sleep(60)

    task.run(Store(root), CPU, tick)


def wait_for(happened, seconds=300):
    end = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.001)


@pytest.mark.parametrize("method, optimiser, kills", KILLED.values(), ids=KILLED)
def test_training_killed_many_times(forked, data, tmp_path, method, optimiser, kills):
    moments = random.Random(0)
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    recipe = {"recipe": {"epochs": 2 + 22 * kills // 10, **AUGMENT, **optimiser}}
    growing = {"growing_eps": {"of": recipe, "shares": [[0, 0.1], [1.5, 1]]}}
    task = train_task(method, NET, data, growing, record=WATCHED)
    for store in (whole, broken):
        execute(task.requires, store, runtime=CPU)
    execute([task], whole, runtime=CPU)
    checkpoint, seen = broken.root / "work" / task.key / "checkpoint.safetensors", []
    for _ in range(kills):
        steps, least, seconds = forked.Value("q", 0, lock=False), moments.randint(2, 13), moments.choice([0, 0.01, 30])
        process = forked.Process(target=run_until, args=(task, broken.root, seconds, steps, least + 5))
        process.start()
        wait_for(lambda: steps.value >= least)  # noqa: B023 - called at once
        time.sleep(moments.uniform(0, 0.03))
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL and not task.is_done(broken)
        if checkpoint.exists():
            about = read_tensors(checkpoint)[1]
            seen.append((about["epoch"], about["step"]))
    assert seen == sorted(seen) and len(set(seen)) > kills / 2 and any(step for _, step in seen)
    execute([task], broken, runtime=CPU)
    for name in ("weights.safetensors", "history.json", "recorded.safetensors", "spec.json"):
        assert (task.path(broken) / name).read_bytes() == (task.path(whole) / name).read_bytes()
    learnt = [tuple(entry["soft_labels"]) for entry in task.history(broken) if "soft_labels" in entry]
    assert not learnt or len(set(learnt)) > 1
    assert not checkpoint.parent.exists()


def study(data):
    """Three trainings, one of which takes its levels from another, each with an attack and predictions."""
    recipe = {"recipe": {"epochs": 20, **AUGMENT}}
    tasks = []
    for method in ("vanilla", "ls", METHOD):
        victim = train_task(method, NET, data, recipe)
        moved = attack_task(victim, {"pgd": {"eps": 0.1, "steps": 5}})
        tasks += [PredictTask(victim), PredictTask(victim, source_attack=moved)]
    return tasks


def artifacts(store):
    """All files but the provenance, which holds times."""
    root = store.root / "artefacts"
    return {f.relative_to(root): f.read_bytes() for f in root.rglob("*") if f.is_file() and f.name != "provenance.json"}


def run_study(data, root):
    torch.set_num_threads(1)
    execute(study(data), Store(root), runtime=CPU, workers=2, quiet=True)


def descendants(pid):
    """Child processes of a process, and theirs."""
    found = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return found + [deeper for child in found for deeper in descendants(child)]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_study_killed_with_its_workers(forked, data, tmp_path):
    whole, broken = Store(tmp_path / "whole"), Store(tmp_path / "broken")
    execute(study(data), whole, runtime=CPU)
    process = forked.Process(target=run_study, args=(data, broken.root))
    process.start()
    wait_for(lambda: list(broken.root.glob("work/*/checkpoint.safetensors")))
    time.sleep(random.Random(1).uniform(0, 0.2))
    workers = descendants(process.pid)
    process.kill()
    process.join()
    assert len(workers) >= 2
    wait_for(lambda: not any(alive(worker) for worker in workers), 20)
    assert plan(study(data), broken) and not plan(study(data), whole)
    resumed = forked.Process(target=run_study, args=(data, broken.root))
    resumed.start()
    resumed.join(300)
    assert resumed.exitcode == 0
    assert artifacts(broken) == artifacts(whole) and len(artifacts(whole)) > 20
    assert os.listdir(broken.root / "work") == []


def test_ctrl_c_stops_cleanly_and_the_same_command_goes_on(data, tmp_path):
    words = ["train", "vanilla", "--net", "mlp", "--data", "npz", "--data.path", data["npz"]["path"], "--json"]
    words += ["--store", str(tmp_path / "s"), "--accelerator", "cpu", "--recipe.batch", "4", "--recipe.epochs"]
    # A shell makes background processes ignore Ctrl-C, which the tests may be; a user's process does not ignore it.
    heeds = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    code = f"{heeds}; from surefooted.cli import main; main()"
    command = [sys.executable, "-c", code, *words, "20000"]  # more epochs than the waits below leave time for
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_for(lambda: list((tmp_path / "s").glob("work/*/checkpoint.safetensors")))
            process.send_signal(signal.SIGINT)
            out, error = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130
    *epochs, last = error.splitlines()
    assert last == "surefooted: Stopped. Nothing is lost: the same command resumes."
    assert all(line.startswith("epoch ") for line in epochs)
    assert out.strip() == '{"error": "Stopped. Nothing is lost: the same command resumes."}'
    (checkpoint,) = (tmp_path / "s").glob("work/*/checkpoint.safetensors")
    assert read_tensors(checkpoint)[1]["epoch"] >= 1
