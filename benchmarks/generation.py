"""Generation and classification of 200 unseen classes, beside a bare loop and scikit-learn; from n to 4 n samples."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from common import Row, row
from loki import memory
from torch import nn

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.methods.zero_shot.lisgan import LisGAN
from unseen.nn.adversarial import conditional_critic, conditional_generator, critic_loss
from unseen.runtime import reproducible

SEEN, UNSEEN, D, A = 200, 200, 512, 64
SETTINGS: dict[str, Any] = {
    "epochs": 3,
    "seen_epochs": 10,
    "classifier_epochs": 20,
    "sample_souls": 0.0,
    "class_souls": 0.0,
}
"""A conditional WGAN without souls, 100 generated samples per unseen class; few epochs, as all grow alike."""


def problem(n: int) -> tuple[Domain, ClassSpace]:
    """n samples of 200 seen classes whose centres follow from 64 attributes; 200 more are unseen."""
    rng = np.random.default_rng(0)
    attributes = rng.normal(size=(SEEN + UNSEEN, A)).astype(np.float32)
    centres = np.maximum(attributes @ rng.normal(size=(A, D)) / A**0.5, 0)
    y = np.arange(n) % SEEN
    x = (centres[y] + 0.3 * rng.normal(size=(n, D))).astype(np.float32)
    classes = ClassSpace(names=[f"c{i}" for i in range(SEEN + UNSEEN)], attributes=attributes, seen=np.arange(SEEN))
    return Domain(x=x, y=y), classes


def ours(n: int) -> dict[str, float]:
    """The whole fit: seconds by stage, and megabytes beyond the inputs."""
    source, classes = problem(n)
    LisGAN(**{**SETTINGS, "epochs": 1, "classifier_epochs": 1}).fit(source=source.take(slice(0, 400)), classes=classes)
    Path("/proc/self/clear_refs").write_text("5")
    before, started = memory("VmRSS"), time.perf_counter()
    method = LisGAN(**SETTINGS).fit(source=source, classes=classes)
    whole, extra = time.perf_counter() - started, memory("VmHWM") - before
    started = time.perf_counter()
    method.adapt(source=source, classes=classes)
    return {"seconds": whole, "recognize": time.perf_counter() - started, "megabytes": round(extra, 1)}


def bare(n: int) -> dict[str, float]:
    """The same steps as people write them: a loop over batches, Adam, cross entropy."""
    source, classes = problem(n)
    x, y = torch.as_tensor(source.x), torch.as_tensor(source.y)
    x = (x - x.amin(dim=0)) / (x.amax(dim=0) - x.amin(dim=0))
    a = A**0.5 * F.normalize(torch.as_tensor(classes.attributes), dim=1)
    method = LisGAN(**SETTINGS)
    with reproducible(0):
        started = time.perf_counter()
        head = softmax(x, y, SEEN, SETTINGS["seen_epochs"], 100)
        generator = conditional_generator(D, A, A, method.hidden)
        critic = conditional_critic(D, A, method.hidden)
        adams = [
            torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.5, 0.999), fused=True) for net in (critic, generator)
        ]
        for step in range(SETTINGS["epochs"] * 5 * -(-n // 64)):
            index = torch.randperm(n)[:64]
            given = a[y[index]]
            with torch.no_grad():
                fake = generator(torch.randn(len(index), A), given)
            descend(adams[0], critic_loss(critic, x[index], fake, given))
            if step % 5 == 4:
                fake = generator(torch.randn(len(index), A), given)
                descend(adams[1], F.cross_entropy(head(fake), y[index]) * 0.01 - critic(fake, given).mean())
        with torch.no_grad():
            made = generator(torch.randn(UNSEEN, 100, A), a[SEEN:, None]).flatten(0, 1)
        softmax(made, torch.arange(UNSEEN).repeat_interleave(100), UNSEEN, SETTINGS["classifier_epochs"], 200)
        seconds = time.perf_counter() - started
    return {"seconds": seconds}


def softmax(x: torch.Tensor, y: torch.Tensor, k: int, epochs: int, size: int) -> nn.Linear:
    """A linear classifier by Adam."""
    head = nn.Linear(x.shape[1], k)
    adam = torch.optim.Adam(head.parameters(), lr=1e-3, betas=(0.5, 0.999), fused=True)
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x) - size + 1, size):
            index = order[start : start + size]
            descend(adam, F.cross_entropy(head(x[index]), y[index]))
    return head


def descend(adam: torch.optim.Adam, loss: torch.Tensor) -> None:
    """One step."""
    adam.zero_grad()
    loss.backward()
    adam.step()


def classifier(n: int) -> dict[str, float]:
    """scikit-learn's softmax regression on as many generated samples, 200 classes x 100."""
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x = rng.normal(size=(UNSEEN * 100, D)).astype(np.float32) + np.repeat(rng.normal(size=(UNSEEN, D)), 100, axis=0)
    started = time.perf_counter()
    LogisticRegression(max_iter=100).fit(x, np.repeat(np.arange(UNSEEN), 100))
    return {"seconds": time.perf_counter() - started}


def measured(way: str, n: int) -> dict[str, float]:
    """One of the above in a fresh process, on one thread."""
    done = subprocess.run([sys.executable, __file__, way, str(n)], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def run(n: int = 2_000) -> list[Row]:
    """The fit beside the bare loop, the classifier beside scikit-learn's, and both at four times the samples."""
    few, many, loop, peer = measured("ours", n), measured("ours", 4 * n), measured("bare", n), measured("classifier", n)
    job = f"generator and classifier, {n} samples of {SEEN} classes, {UNSEEN} unseen"
    told = {"megabytes": few["megabytes"]}
    rows = [row(job, few["seconds"], "the same steps in a bare loop", loop["seconds"], floor=">= 0.87", **told)]
    job = f"generate and classify {UNSEEN} unseen classes with the generator at hand"
    rows.append(row(job, few["recognize"], "scikit-learn's softmax regression on as many", peer["seconds"]))
    told = {"megabytes": many["megabytes"], "of 4 x the memory": round(many["megabytes"] / (4 * few["megabytes"]), 2)}
    rows.append(
        row(f"the fit on {4 * n} samples", many["seconds"], f"4 x {n}", 4 * few["seconds"], floor=">= 0.8", **told)
    )
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(json.dumps({"ours": ours, "bare": bare, "classifier": classifier}[sys.argv[1]](int(sys.argv[2]))))
