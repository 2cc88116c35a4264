"""ZSCL: two towers learn a stream of tasks, tied to what they were in feature space and in weight space."""

import copy
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.domain import Domain
from unseen.data.samplers import paired_batches, tensor
from unseen.methods.base import Card
from unseen.methods.multimodal.zscl.exemplars import herded
from unseen.methods.multimodal.zscl.objective import Objective, Tied
from unseen.methods.needs import TrainableTowers
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit
from unseen.methods.tower_streams import TowerStream
from unseen.nn.dual_encoder import in_parts, sentence
from unseen.nn.schedules import warm_then_cosine
from unseen.nn.train import Run, train
from unseen.nn.weight_space import Anchor, UniformAverage, interpolated, weights_of

NOISE = (1000, 10)
"""Random texts, and tokens of each, where `texts` asks for them."""


class ZSCL(TowerStream):
    """Fine-tune an image-text model on a stream of tasks without losing its zero-shot ability [1].

    Each `partial_fit` learns one task: labelled pictures, class names, templates of prompts. Both towers train on

        L = L_ce + distillation (L_img + L_txt) + consolidation |theta - theta_{t-1}|^2,

    where L_ce is the cross entropy of s <z, w_k> with the class texts encoded anew in each step, and L_img, L_txt keep
    the similarities of reference pictures to reference sentences as a frozen teacher has them. References need no
    labels and no pairs; they should be diverse. What is kept in the end is the mean of the weights at the start of the
    task and after every `average_every` steps. Any class with a name can be asked about, learnt or not.

    Settings make the other methods of the paper of it (`unseen.methods.multimodal.zscl.VARIANTS`): plain fine-tuning,
    WiSE-FT, LwF, LwF-VR, replay as iCaRL's, and each part of ZSCL left out.

    Parameters
    ----------
    teacher : {"initial", "previous", "wise"}
        The model as the stream began with it (ZSCL), as this task began with it (LwF), or 0.8 of the latter and 0.2 of
        the former.
    pictures : {"given", "task"}
        Reference pictures: those of `auxiliary`, or the task's own (LwF), which also stand where none are given.
    texts : {"given", "task", "noise"}
        Reference sentences: those of `corpus`, or the prompts of the task's classes (LwF), which also stand where none
        are given, or random tokens (LwF-VR).
    distillation : float, >= 0
        Weight of L_img and of L_txt.
    temperature : float, > 0
        T of the distillation.
    text_side : {"teacher", "student"}
        Whether L_txt reads the sentences' vectors from the teacher, as in the released code, or from the text tower
        that trains, so that it is held, too.
    feature_weight : float, >= 0
        Weight of the squared distance of the vectors of reference pictures from the teacher's.
    picture_weight : float, >= 0
        Weight of a distillation of the similarities of reference pictures among themselves.
    consolidation : float, >= 0
        Weight of the squared distance from the weights at the start of the task.
    average_every : int, >= 0
        Steps between two merges into the mean of weights; with 0 the last weights are kept.
    wise : float in [0, 1]
        In the end, this share of what was learnt and the rest of the initial weights (WiSE-FT); 1 changes nothing.
    exemplars : int, >= 0
        Samples kept of each class, by herding, and rehearsed in later tasks (iCaRL).
    negatives : {"none", "previous", "sentences"}
        What stands beside the task's classes in the cross entropy: nothing, the classes of the tasks before, or 100
        sentences of the corpus. For a label space that grows.
    label_smoothing : float in [0, 1]
        Share of the cross entropy's target that is spread over all classes.
    classes_per_step : int, >= 0
        Of more classes than this, a step encodes those of its batch and others at random; 0 encodes all.
    learning_rate : float, > 0
        Of AdamW, which begins anew with each task.
    warm_up : int, >= 0
        Steps in which the rate goes up; then it goes down to 0 by a cosine.
    iterations : int, >= 0
        The number of the last step, from 0; with 0 nothing is learnt at all: the model is asked as it is (zero-shot).
    batch_size : int, >= 1
        Samples of the task, and as many reference pictures, in a step.

    Attributes
    ----------
    network_ : Module
        The towers.
    initial_ : dict of str to Tensor
        The weights that the stream began with.
    classes_ : ClassSpace
        All classes learnt so far, in the order of the tasks.
    tasks_ : tuple of dict
        `classes` and `templates` of each task.
    vectors_ : Tensor (K, d)
        Of `classes_`: the mean over templates of the unit vectors of their texts, of unit length.
    exemplars_ : tuple of (x, y, number of the task)
        What is kept of tasks, with labels that index the task's own classes.
    history_ : tuple of dict of arrays
        Of each task, means between merges: `loss`, `ce`, and where they are asked for `image`, `text`, `moved`.

    References
    ----------
    [1] Zheng, Ma, Wang, Qin, Yue, You, "Preventing Zero-Shot Transfer Degradation in Continual Learning of
        Vision-Language Models", ICCV 2023.
    """

    card = Card(
        slug="zscl",
        cost=30.0,
        title="Preventing Zero-Shot Transfer Degradation in Continual Learning of Vision-Language Models",
        venue="ICCV 2023",
        official_code="Thunderbeee/ZSCL",
        summary="Fine-tune an image-text model on a stream of tasks without losing its zero-shot ability.",
        unseen={"domains", "classes"},
        modalities={"features", "image"},
        reads={"corpus": {"text"}},
        protocols={"stream"},
        needs=(TrainableTowers(),),
        presets={
            "default": {},
            "heads": {
                "learning_rate": 1e-3,
                "iterations": 300,
                "warm_up": 30,
                "average_every": 30,
                "consolidation": 0.01,
            },
            "lwf": {
                "teacher": "previous",
                "pictures": "task",
                "texts": "task",
                "consolidation": 0.0,
                "average_every": 0,
            },
            "class-incremental": {"distillation": 5.0, "consolidation": 0.0, "average_every": 10, "warm_up": 30},
        },
        on_request={"heads", "lwf", "class-incremental"},
        smoke={"iterations": 4, "warm_up": 2, "average_every": 2, "learning_rate": 1e-3, "batch_size": 16},
        parts=(
            "unseen.nn.dual_encoder.DualEncoder",
            "unseen.nn.weight_space.UniformAverage",
            "unseen.nn.weight_space.Anchor",
            "unseen.encoders.trainable.whole_towers",
            "unseen.evaluation.drive.Stream",
            "unseen.evaluation.metrics.continual.stream_scores",
        ),
        left_out=(
            "The eleven data sets of MTIL and CLIP's ViT-B/16: neither is at hand. `unseen continue` runs their "
            "folders with any open_clip model.",
            "Gradient checkpointing of large label sets: `classes_per_step` bounds what a step encodes.",
            "A rate of its own for single tasks (5e-5 for two of MTIL's): `set_params` before the task. The control "
            "that gives references to other methods as a task.",
        ),
        notes=(
            "Both terms of the distillation read the sentences' vectors from the teacher, as in the released code, "
            "where the text tower is held by the consolidation alone; the paper's text names both towers "
            "(`text_side`).",
            "The towers train in eval mode: dropout rests and BatchNorm keeps its statistics. CLIP has neither; a "
            "tower with BatchNorm would otherwise take on the statistics of each task.",
            "Training reads the first template of a task; a prediction means over all of them.",
            "On six unlike tasks that small towers learnt in five orders (`unseen reproduce zscl`), the initial model "
            "with a linear probe of frozen features for each task that was learnt is better on average (.628) than "
            "ZSCL (.605): where one knows which task a picture is of, and no task has to help another, it is the "
            "simpler choice. References of noise, and the previous model as the teacher, did there as well as the "
            "paper's; averaging the weights and references that are not the task's own are what helped.",
            "Heads and small towers train with a consolidation of .01: at the paper's 1 they hardly learn.",
            "In `unseen reproduce zscl` neither distillation nor consolidation was seen to raise transfer; "
            "`negatives='previous'` cost 21 points of average.",
            "A class name that several tasks have is read with the templates of the last of them.",
            "Reference pictures and those of the task are drawn in orders that begin anew after every merge.",
        ),
    )

    teacher: Literal["initial", "previous", "wise"] = "initial"
    pictures: Literal["given", "task"] = "given"
    texts: Literal["given", "task", "noise"] = "given"
    distillation: NonNegative = 1.0
    temperature: Positive = 2.0
    text_side: Literal["teacher", "student"] = "teacher"
    feature_weight: NonNegative = 0.0
    picture_weight: NonNegative = 0.0
    consolidation: NonNegative = 1.0
    average_every: Natural = 100
    wise: Unit = 1.0
    exemplars: Natural = 0
    negatives: Literal["none", "previous", "sentences"] = "none"
    label_smoothing: Unit = 0.2
    classes_per_step: Natural = 0
    learning_rate: Positive = 1e-5
    warm_up: Natural = 100
    iterations: Natural = 1000
    batch_size: Count = 64

    # -- learning ------------------------------------------------------------------------------------------

    def _learn(
        self, network: Any, source: Domain, task: dict[str, Any], auxiliary: Domain | None, corpus: Domain | None
    ) -> nn.Module:
        """Train on the task, unless nothing is to be learnt at all."""
        before = vars(self)
        state = weights_of(network)
        initial: dict[str, Tensor] = before.get("initial_", state)
        if self.iterations:
            history = self._train(network, initial, source, auxiliary, corpus, task)
            self.history_: tuple[Any, ...] = (*before.get("history_", ()), history)
            if self.wise < 1:
                network.load_state_dict(interpolated(initial, weights_of(network), self.wise))
        self.initial_ = initial
        return network

    def _keep(self, source: Domain) -> None:
        """Samples of the task to rehearse."""
        if self.exemplars:
            kept = (*self._kept(source), len(self.tasks_) - 1)
            self.exemplars_: tuple[Any, ...] = (*vars(self).get("exemplars_", ()), kept)

    def _begin(self, model: nn.Module | None) -> nn.Module:
        """A copy of the towers; which of their weights train is remembered: all that are not frozen, but s."""
        network = super()._begin(model)
        trained = [name for name, p in network.named_parameters() if p.requires_grad and name != "logit_scale"]
        if self.iterations and not trained:  # frozen for inference, as `Encoder` has them
            trained = [name for name, _ in network.named_parameters() if name != "logit_scale"]
        self.trained_ = tuple(trained)
        return network

    def _train(
        self,
        network: Any,
        initial: dict[str, Tensor],
        source: Domain,
        auxiliary: Domain | None,
        corpus: Domain | None,
        task: dict[str, Any],
    ) -> dict[str, NDArray[Any]]:
        """Step 10: anchor and mean are copies of the start, the loop has `iterations` + 1 steps, the mean is kept."""
        parameters = dict(network.named_parameters())
        for name, parameter in parameters.items():
            parameter.requires_grad_(name in self.trained_)
        network.eval()
        every = self.average_every or self.iterations + 1
        adam = torch.optim.AdamW(
            [parameters[name] for name in self.trained_ if name in parameters], lr=self.learning_rate, weight_decay=0.0
        )
        reference = source if self.pictures == "task" or auxiliary is None else auxiliary
        teacher = self._teacher(network, initial)
        average, anchor = UniformAverage(network), Anchor(network, [n for n in self.trained_ if n in parameters])
        tied = self._references(network, teacher, corpus, task)
        objective = Objective(self, network, teacher, anchor, tied)

        def merge(run: Run) -> None:
            if self.average_every and (run.step - 1) % every == 0:
                average.merge(network)
            if run.step > self.iterations:
                run.stop()

        run = train(
            objective,
            name=f"zscl-{len(vars(self).get('tasks_', ()))}",
            nets={"towers": network, "teacher": teacher, "average": average, "anchor": anchor, "tied": tied},
            optimizers={"adam": adam},
            schedulers={"rate": warm_then_cosine(adam, self.iterations, self.warm_up)},
            batches=paired_batches(source, reference.unlabeled(), self.batch_size),
            epochs=self.iterations // every + 1,
            steps_per_epoch=every,
            after_step=merge,
        )
        if self.average_every:
            average.copy_to(network)
        network.requires_grad_(True).cpu()
        return {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}

    def _teacher(self, network: nn.Module, initial: dict[str, Tensor]) -> Any:
        """The frozen model whose similarities are kept."""
        teacher = copy.deepcopy(network)
        if self.teacher == "initial":
            teacher.load_state_dict(initial)
        elif self.teacher == "wise":
            teacher.load_state_dict(interpolated(initial, weights_of(network), 0.8))
        return teacher.eval().requires_grad_(False)

    @torch.no_grad()
    def _references(self, network: Any, teacher: Any, corpus: Domain | None, task: dict[str, Any]) -> Tied:
        """Everything that is read in each step and never changes: sentences, class texts, exemplars."""
        prompts = [sentence(task["templates"][0], name) for name in task["classes"]]
        sentences = prompts if corpus is None else [str(text) for text in corpus.x]
        if self.texts == "noise":
            texts = network.reader.noise(*NOISE)
        else:
            texts = network.tokenize(prompts if self.texts == "task" else sentences)
        beside: list[str] = []
        if self.negatives == "previous" and "classes_" in vars(self):
            known = set(task["classes"])
            beside = [sentence(self._template_of(name)[0], name) for name in self.classes_.names if name not in known]
        elif self.negatives == "sentences":
            if corpus is None:
                raise ValueError(
                    "negatives='sentences' needs a corpus: the task's own prompts would stand against themselves"
                )
            beside = sentences
        old = []
        for x, y, number in vars(self).get("exemplars_", ()) if self.exemplars else ():
            past = self.tasks_[number]
            old.append((x, y, network.tokenize([sentence(past["templates"][0], name) for name in past["classes"]])))
        return Tied(
            classes=network.tokenize(prompts),
            texts=texts,
            vectors=in_parts(teacher.encode_text, texts),
            beside=network.tokenize(beside) if beside else None,
            old=old,
        )

    def _kept(self, source: Domain) -> tuple[Tensor, Tensor]:
        """Samples to rehearse, chosen by their vectors."""
        network: Any = self.network_
        x, y = tensor(source), torch.as_tensor(source.labels)
        with torch.no_grad():
            chosen = herded(in_parts(network.encode_image, x), y, self.exemplars)
        return x[chosen], y[chosen]
