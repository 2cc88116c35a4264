"""CoOp, and other learners of prompts: a context before class names, learnt on few pictures of seen classes."""

import dataclasses
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.samplers import Batch, batches, steps
from unseen.methods.base import Card
from unseen.methods.needs import PromptedTowers
from unseen.methods.prompted import DECAY, MOMENTUM, PromptedMethod, views
from unseen.nn.prompt_learners import RegulatedLearner
from unseen.nn.schedules import resting_then_cosine
from unseen.nn.train import Run, train


class CoOp(PromptedMethod):
    """Learn the vectors before class names in a prompt, with both towers frozen [1].

        p(k | x) = softmax_k s <z(x), w([SOS][context][name k.][EOS])>

    The same context stands before names that there are no pictures of.

    Parameters
    ----------
    learner : {"coop", "cocoop", "kgcoop", "promptsrc"}
        The context alone; a context moved by each picture [2]; one that is held near hand-written prompts [3]; the same
        with agreement of predictions and a mean over training [4] (`unseen.nn.prompt_learners`).
    n_context : int, >= 1
        Vectors of the context.
    words : str
        What it says at first.
    generalized : bool
        Predict among all classes, or among the unseen ones if there are some. May be changed after `fit`.
    handicap : float, >= 0
        Taken from the scores of seen classes where all are predicted. May be changed after `fit`.
    shots : int, >= 0
        Samples of each class that are learnt from, at most; 0 takes all.
    learning_rate : float, > 0
        Of SGD; 1e-5 in the first epoch, then half a cosine to 0.
    epochs : int, >= 0
        With 0 nothing is learnt: the words alone (zero-shot).
    batch_size : int, >= 1

    Attributes
    ----------
    network_ : Module
        From pictures, or rows read before, to scores of `classes_`.
    classes_ : ClassSpace
    seen_ : Tensor (k,)
        Whether a class was learnt from.
    learnt_ : dict of str to Tensor
        What was learnt: the context, and for CoCoOp a small network. `with_classes` writes it before others.
    history_ : dict of arrays (epochs,)
        `loss`.

    References
    ----------
    [1] Zhou, Yang, Loy, Liu, "Learning to Prompt for Vision-Language Models", IJCV 2022.
    [2] Zhou, Yang, Loy, Liu, "Conditional Prompt Learning for Vision-Language Models", CVPR 2022.
    [3] Yao, Zhang, Xu, "Visual-Language Prompt Tuning with Knowledge-guided Context Optimization", CVPR 2023.
    [4] Khattak et al., "Self-regulating Prompts: Foundational Model Adaptation without Forgetting", ICCV 2023.
    """

    card = Card(
        slug="coop",
        cost=20.0,
        title="Learning to Prompt for Vision-Language Models",
        venue="IJCV 2022",
        official_code="KaiyangZhou/CoOp",
        summary="Learn the words before class names in the prompt of a frozen image-text model.",
        unseen={"classes"},
        modalities={"features", "image"},
        protocols={"closed", "zsl", "gzsl"},
        needs=(PromptedTowers(),),
        presets={
            "default": {},
            "generalized": {"generalized": True},
            "kgcoop": {"learner": "kgcoop"},
            "promptsrc": {"learner": "promptsrc"},
        },
        at_prediction={"generalized", "handicap"},
        on_request={"kgcoop", "promptsrc"},
        smoke={"epochs": 2, "shots": 4},
        parts=("unseen.nn.prompt_learners", "unseen.encoders.trainable.shared_space"),
        left_out=(
            "Prompts in deeper layers and in the image tower (PromptSRC): features of frozen towers are read once.",
            "A context of its own for each class, and names in the middle (CoOp's variants).",
        ),
        notes=("CoCoOp trains in the batches of the others; the released code has one picture in each.",),
        baseline=True,
    )  # fmt: skip

    history_: dict[str, NDArray[Any]] = dataclasses.field(init=False)

    def fit(self, *, source: Domain, classes: ClassSpace, encoder: Any) -> Self:
        """Learn from few pictures of the classes that `source` has; all of `classes` are predicted."""
        task = self._task(source, classes, encoder)
        learner = task.learner
        names = [classes.names[i] for i in task.base]
        self.history_ = {}
        if self.epochs:
            base = learner.named(names)
            size = min(self.batch_size, len(task.source))
            per_epoch = steps(len(task.source), size)
            sgd = torch.optim.SGD(learner.parameters(), lr=self.learning_rate, momentum=MOMENTUM, weight_decay=DECAY)

            def objective(batch: Batch, run: Run) -> Tensor:
                assert batch.y is not None
                with torch.no_grad():
                    rows = learner.rows(batch.x)
                return learner.loss(learner.image_features(rows), batch.y, learner.text_features(base, rows), base)

            def remember(run: Run) -> None:
                if isinstance(learner, RegulatedLearner):
                    learner.remember(run.epoch / self.epochs)

            run = train(
                objective,
                name="coop",
                nets={"learner": learner},
                optimizers={"sgd": sgd},
                schedulers={"rate": resting_then_cosine(sgd, self.epochs, per_epoch)},
                batches=batches(task.source, size, augment=views if task.source.kind == "image" else None),
                epochs=self.epochs,
                steps_per_epoch=per_epoch,
                after_epoch=remember,
            )
            self.history_ = {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}
        return self._settle(task, classes)
