"""TinyCLIP: affinity mimicking, weight inheritance by hand or by learnt gates, in stages."""

import copy
import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from unseen.data.classes import ClassSpace
from unseen.data.pairs import Pairs
from unseen.data.samplers import batches, endless
from unseen.methods.base import Card, Method
from unseen.methods.compression.tinyclip.affinity import AffinityDistillation
from unseen.methods.compression.tinyclip.gates import SIDES, Budget, MaskedDualEncoder, counted, report
from unseen.methods.compression.tinyclip.inheritance import Depth, Selection, inherit_weights, parameters
from unseen.methods.compression.tinyclip.needs import TowersToPrune, prunable_towers
from unseen.methods.compression.tinyclip.resnets import is_resnet
from unseen.methods.compression.tinyclip.shapes import Plan, fitting, made, plan_of, smallest
from unseen.methods.compression.tinyclip.training import Distilling, Pruning, Taught
from unseen.methods.parameters import Count, Natural, NonNegative, Positive, Unit
from unseen.nn.contrastive import LARGEST
from unseen.nn.dual_encoder import class_vectors, dual_encoder, in_parts, named_classes, templates_of
from unseen.nn.schedules import warm_then_cosine
from unseen.nn.train import Run, train

BETAS, EPSILON = (0.9, 0.98), 1e-6
AS_CLASSES = 1000
"""Texts of the pairs that stand for classes where none are named."""


class TinyCLIP(Method):
    """Make a two-tower model small: inherit some of its weights, and mimic its image-text affinities [1].

    The student's rows softmax_j(s <I_i, T_j>), and those from texts to pictures, follow the teacher's over a batch of
    pairs without labels (`AffinityDistillation`). It begins with weights of the teacher: slices that are chosen by hand
    (`inherit_weights`), or what gates have learnt to keep under a budget that both towers share (`MaskedDualEncoder`).
    In several stages each inherits from the student before; the teacher stays the large model.

    Parameters
    ----------
    size : float in (0, 1)
        Share of the teacher's parameters that the student has: at most so many by hand; about as many by gates.
    inheritance : {"manual", "auto", "none"}
        By hand, by learnt gates, or fresh weights in the shape of "manual".
    selection : {"leading", "uniform", "importance"}
        Which channels, heads and units are inherited by hand.
    depth : {"interval_front", "even"}
        Which layers are.
    image_width, image_layers, text_width, text_layers : int, >= 0
        The student's shape by hand, in one stage; 0 is what `size` makes of it. Layers of a ResNet are those of every
        stage.
    stages : int, >= 1
        Steps from the whole model to `size`, each as large.
    alpha : float in [0, 1]
        Share of the affinities in the loss; the rest is CLIP's, to which pairs of one text are all right.
    weight : float, >= 0
        Of the loss.
    logit_scale : float, >= 0
        Factor of the cosines of teacher and student; with 0 each has its own, and the student's learns.
    budget : {"all", "blocks"}
        What `size` counts under gates: all parameters, or, as in the paper, attention and perceptrons alone.
    joint : bool
        Whether gates of both towers share one budget.
    two_sided : bool
        The paper's constraint; the released code's punishes too little sparsity alone.
    steps : int, >= 1
        Of distillation, in each stage.
    prune_steps, sparsity_warm_up : int, >= 1
        Of gates, before the distillation of a stage; and those in which their target goes up.
    gate_rate : float, > 0
        Learning rate of gates and multipliers.
    learning_rate : float, > 0
        Of AdamW, with a cosine.
    warm_up : int, >= 0
        Steps in which the rate goes up, without gates.
    weight_decay : float, >= 0
        Not of biases, norms and the scale.
    clip : float, > 0
        Largest norm of the gradient.
    batch_size : int, >= 1
        Pairs in a step.
    rows : int, >= 1
        Rows of the affinities that are held together.

    Attributes
    ----------
    student_ : DualEncoder
        The small towers.
    report_ : tuple of dict
        What is left of each tower and layer.
    size_ : float
        Share of the teacher's parameters that are left.
    stages_ : tuple of dict
        Of each stage the share that was asked for and the one that came of it.
    history_ : tuple of dict of arrays
        Of each training, means over tenths of it.
    classes_, vectors_ : ClassSpace, Tensor (k, d)
        The classes that were named, or the first texts of the pairs, and their vectors.

    References
    ----------
    [1] Wu et al., "TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance", ICCV 2023.
    """

    card = Card(
        slug="tinyclip",
        cost=60.0,
        title="TinyCLIP: CLIP Distillation via Affinity Mimicking and Weight Inheritance",
        venue="ICCV 2023",
        official_code="wkcn/TinyCLIP",
        summary="Make an image-text model small: inherit its weights, mimic its affinities (`unseen shrink`).",
        unseen={"data"},
        modalities={"image"},
        protocols={"compression"},
        needs=(TowersToPrune(),),
        presets={
            "default": {},
            "cpu": {
                "steps": 300,
                "prune_steps": 100,
                "sparsity_warm_up": 50,
                "gate_rate": 0.05,
                "learning_rate": 5e-4,
                "warm_up": 30,
                "batch_size": 128,
            },
        },
        on_request={"cpu"},
        smoke={
            "size": 0.5,
            "steps": 2,
            "prune_steps": 2,
            "sparsity_warm_up": 1,
            "warm_up": 1,
            "learning_rate": 1e-3,
            "batch_size": 12,
        },
        parts=(
            "unseen.nn.contrastive.contrastive",
            "unseen.nn.towers.VisionTower",
            "unseen.nn.towers.TextTower",
            "unseen.nn.pruning.slice_attention",
            "unseen.nn.hard_concrete.deterministic",
            "unseen.encoders.prunable.prunable_towers",
        ),
        left_out=(
            "Gathering the features of several devices (A5): one process; a batch is as large as its memory allows, "
            "the affinities in parts of it.",
            "Gates of ResNets: the released code has none either. `inheritance='manual'` makes them small.",
            "Towers of other makes: timm's, Hugging Face's, CoCa's, SigLIP's; they are refused by name.",
            "Random crops of the pictures: without them the teacher reads each pair once.",
        ),
        notes=(
            "The official code has an optimizer for each tower and one for the scale, all with the same settings: here "
            "it is one. The multipliers climb by `maximize`, which is AdamW with a negative rate.",
            "`budget='all'` counts embeddings and projections too, so that `size` is what a user sees on disk; the "
            "paper's budget is 'blocks'.",
            "A layer's attention (or perceptron) whose heads (units) are all closed gives nothing under gates, not "
            "even its bias, as it is not there once gates are folded.",
            "Where gates have not learnt to close as many as `size` asks for (too few `prune_steps`), all are closed a "
            "little further, alike, before they are folded.",
            "The teacher's vectors of each pair are kept: about 8 d bytes a pair.",
            "CLIP's loss (`alpha` below 1) holds all pairs of a batch with one text to be right; in the released code "
            "equal texts are wrong answers of each other.",
            "In several stages by hand the last has the shape that one stage would have; those before contain it.",
        ),
    )

    size: Unit = 0.5
    inheritance: Literal["manual", "auto", "none"] = "manual"
    selection: Selection = "leading"
    depth: Depth = "interval_front"
    image_width: Natural = 0
    image_layers: Natural = 0
    text_width: Natural = 0
    text_layers: Natural = 0
    stages: Count = 1
    alpha: Unit = 1.0
    weight: NonNegative = 1.0
    logit_scale: NonNegative = 50.0
    budget: Budget = "all"
    joint: bool = True
    two_sided: bool = False
    steps: Count = 10_000
    prune_steps: Count = 3000
    sparsity_warm_up: Count = 1000
    gate_rate: Positive = 0.02
    learning_rate: Positive = 1e-4
    warm_up: Natural = 2000
    weight_decay: NonNegative = 0.2
    clip: Positive = 5.0
    batch_size: Count = 1024
    rows: Count = 4096

    student_: nn.Module = dataclasses.field(init=False)

    def fit(self, *, pairs: Pairs, model: nn.Module, classes: ClassSpace | None = None, prompts: Any = None) -> Self:
        """Make the student.

        Parameters
        ----------
        pairs : Pairs
            Pictures and a text of each, as the towers read them; they need not be what the teacher learnt from.
        model : DualEncoder
            The teacher, whose towers `unseen.encoders.prunable` makes of an open_clip model.
        classes : ClassSpace
            What `predict` tells apart; the first texts of the pairs if absent.
        prompts : sequence of str
            Templates with a place {} for the name of a class.
        """
        templates = templates_of(prompts)
        texts = _checked(pairs, model)
        teacher: Any = copy.deepcopy(model).eval().requires_grad_(False)
        shares = [1 - (1 - self.size) * (i + 1) / self.stages for i in range(self.stages)]
        plans: list[tuple[Plan, Plan]] = []
        for share in reversed(shares):  # so that each stage can be cut from the one before
            plans.insert(0, self._planned(teacher, share, plans[0] if plans else None))
        labels = torch.as_tensor(np.unique(texts, return_inverse=True)[1])
        taught = Taught(teacher, teacher.tokenize(texts), int(class_vectors(teacher, ["a"]).shape[1]), labels)
        student = teacher
        self.history_: tuple[dict[str, NDArray[Any]], ...] = ()
        self.stages_: tuple[dict[str, Any], ...] = ()
        for number, (share, plan) in enumerate(zip(shares, plans)):
            student = self._stage(number, student, share, plan, taught, pairs)
            left = parameters(student) / parameters(teacher)
            self.stages_ = (*self.stages_, {"asked": share, "size": left})
        self.student_ = student.eval().requires_grad_(True)
        self.report_ = tuple(report(student, teacher))
        self.size_ = parameters(student) / parameters(teacher)
        named = classes is not None
        self.classes_ = classes or ClassSpace(names=tuple(dict.fromkeys(texts))[:AS_CLASSES])
        self.templates_ = templates if named or prompts is not None else ("{}",)
        self.vectors_ = class_vectors(student.cpu(), self.classes_.names, self.templates_)
        return self

    # -- one stage (step H) --------------------------------------------------------------------------------

    def _stage(
        self, number: int, parent: Any, share: float, plan: tuple[Plan, Plan], taught: Taught, pairs: Pairs
    ) -> Any:
        """Inherit, learn gates and fold where there are some, distil."""
        parent.cpu()
        taught.cpu()
        if self.inheritance == "auto":
            student = self._pruned(number, parent, share, taught, pairs)
        else:
            image, text = (made(getattr(taught.teacher, side), own) for side, own in zip(SIDES, plan))
            student = dual_encoder(image, text, parent.reader.to_json(), float(parent.logit_scale.detach().exp()))
            student.reader = parent.reader
            if self.inheritance == "manual":
                inherit_weights(student, parent, self.selection, self.depth)
        self._distilled(number, student, taught, pairs)
        return student

    def _distilled(self, number: int, student: Any, taught: Taught, pairs: Pairs) -> None:
        """Step A, for `steps` steps; a student of gates goes on without a warm-up."""
        adam = self._adam(student)
        warm = 0 if self.inheritance == "auto" else min(self.warm_up, self.steps - 1)
        student.train().requires_grad_(True)

        def hold(run: Run) -> None:
            self._hold(student)
            if run.step >= self.steps:
                run.stop()

        run = train(
            Distilling(student, taught, self._loss()),
            name=f"tinyclip-{number}",
            nets={"student": student, "taught": taught},
            optimizers={"adam": adam},
            schedulers={"rate": warm_then_cosine(adam, self.steps - 1, warm)},
            after_step=hold,
            **self._budget(self.steps, pairs),
        )
        student.eval()
        self._note(run)

    def _pruned(self, number: int, parent: Any, share: float, taught: Taught, pairs: Pairs) -> Any:
        """Step C: weights and gates learn together while the multipliers climb; then what is closed is taken out."""
        first, second = (counted(getattr(taught.teacher, side), self.budget) for side in SIDES)
        reached = 1 - sum(counted(getattr(parent, side), self.budget) for side in SIDES) / (first + second)
        masked = MaskedDualEncoder(
            parent, 1 - share, self.sparsity_warm_up, start=max(reached, 0.0), joint=self.joint, budget=self.budget,
            whole=(first, second), two_sided=self.two_sided,
        )  # fmt: skip
        masked.towers.train().requires_grad_(True)
        adam = self._adam(masked.towers)
        gates = torch.optim.AdamW(masked.masks.parameters(), lr=self.gate_rate, weight_decay=0.0)
        multipliers = torch.optim.AdamW([masked.multipliers], lr=self.gate_rate, weight_decay=0.0, maximize=True)

        def hold(run: Run) -> None:
            masked.clamp()
            self._hold(masked.towers)
            if run.step >= self.prune_steps:
                run.stop()

        run = train(
            Pruning(masked, taught, self._loss()),
            name=f"tinyclip-gates-{number}",
            nets={"masked": masked, "taught": taught},
            optimizers={"adam": adam, "gates": gates, "multipliers": multipliers},
            schedulers={"rate": warm_then_cosine(adam, self.prune_steps, self.prune_steps)},
            after_step=hold,
            **self._budget(self.prune_steps, pairs),
        )
        self._note(run)
        masked.cpu().settle(1 - share)
        return masked.fold()

    # -- parts ---------------------------------------------------------------------------------------------

    def _loss(self) -> AffinityDistillation:
        return AffinityDistillation(self.alpha, self.weight, self.logit_scale or None, self.rows)

    def _adam(self, towers: nn.Module) -> torch.optim.Optimizer:
        """AdamW, whose decay spares biases, norms and the scale."""
        groups: tuple[list[nn.Parameter], list[nn.Parameter]] = ([], [])
        for name, p in towers.named_parameters():
            if name != "logit_scale" or not self.logit_scale:
                groups[p.ndim < 2].append(p)
        decays = [{"params": groups[0], "weight_decay": self.weight_decay}, {"params": groups[1], "weight_decay": 0.0}]
        return torch.optim.AdamW(decays, lr=self.learning_rate, betas=BETAS, eps=EPSILON)

    def _hold(self, towers: Any) -> None:
        """The scale is the one that is set, or learns up to CLIP's 100."""
        if self.logit_scale:
            towers.logit_scale.data.fill_(math.log(self.logit_scale))
        else:
            towers.logit_scale.data.clamp_(0, math.log(LARGEST))

    def _budget(self, steps: int, pairs: Pairs) -> dict[str, Any]:
        """Batches without an end, in ten epochs."""
        every = -(-steps // 10)
        stream = batches(pairs.left.unlabeled(), self.batch_size)
        return {
            "batches": lambda run: endless(stream, run),
            "epochs": -(-steps // every),
            "steps_per_epoch": every,
            "clip": self.clip,
        }

    def _note(self, run: Run) -> None:
        keys = run.history[0]
        told = {key: np.array([epoch[key] for epoch in run.history]) for key in keys}
        self.history_ = (*self.history_, told)

    def _planned(self, teacher: Any, share: float, after: tuple[Plan, Plan] | None = None) -> tuple[Plan, Plan]:
        """The shapes of a student by hand, from which those of the stage after can be cut.

        Also where gates decide, so that too small a size is refused before work.
        """
        if not 0 < share < 1:
            raise ValueError(f"size must lie in (0, 1): a share of the teacher's parameters; got {self.size!r}")
        if self.inheritance == "auto" and is_resnet(teacher.image):
            raise ValueError("inheritance='auto' gates transformers; the image tower is a ResNet: take 'manual'")
        towers = teacher.image, teacher.text
        told = (self.image_width, self.image_layers), (self.text_width, self.text_layers)
        free = all(not any(own) for own in told)
        if not free and self.inheritance == "auto":
            raise ValueError("image_width, image_layers, text_width and text_layers are of inheritance='manual'; "
                             "gates decide by size: leave them 0")  # fmt: skip
        if not free and self.stages > 1:
            raise ValueError(f"stages must be 1 where a width or layers are told; got {self.stages}")
        if self.budget != "all" and self.inheritance != "auto":
            raise ValueError(f"budget={self.budget!r} is of inheritance='auto'; by hand size counts all parameters")
        most = int(share * parameters(teacher))
        if free or not all(all(own) for own in told):
            least = smallest(*towers)
            if most < least:
                raise ValueError(
                    f"size must be at least {least / parameters(teacher):.3f}, the smallest student of this model "
                    f"({least:,} parameters); got {self.size!r}"
                )
            found = fitting(*towers, most, after)
        else:
            found = plan_of(towers[0]), plan_of(towers[1])
        image, text = (_told(tower, plan, *own) for tower, plan, own in zip(towers, found, told))
        return image, text

    # -- asking (step E) -----------------------------------------------------------------------------------

    def decision_function(
        self, x: Tensor, classes: ClassSpace | None = None, prompts: Sequence[str] | None = None
    ) -> Float[Tensor, "n k"]:
        """s <z, w_k> of named classes; of those that `fit` was given if none are named."""
        student: Any = self.student_
        w = self.vectors_
        if classes is not None or prompts is not None:
            names = (classes or self.classes_).names
            w = class_vectors(student, names, self.templates_ if prompts is None else templates_of(prompts))
        return student.logit_scale.detach().exp() * in_parts(student.encode_image, x) @ w.T

    def network(self) -> nn.Module:
        """The image tower with the vectors of the classes."""
        student: Any = self.student_
        n, dim = self.vectors_.shape
        network = named_classes(copy.deepcopy(student.image), n, dim, float(student.logit_scale.detach().exp()))
        network.weights.copy_(self.vectors_)
        return network


def _checked(pairs: Pairs, model: nn.Module) -> list[str]:
    """The texts of pairs that can be learnt from; the model is found to have towers that can be made small."""
    if not prunable_towers(model):
        told = "two towers that can be pruned, as unseen.encoders.prunable makes them of open_clip's"
        raise TypeError(f"model must be {told}; got {type(model).__name__}")
    if pairs.left.kind != "image" or pairs.right.kind != "text":
        raise ValueError(f"pairs must be of pictures and texts; got {pairs.left.kind} and {pairs.right.kind}")
    texts = [str(text) for text in pairs.right.x]
    empty = [i for i, text in enumerate(texts) if not text.strip()]
    if empty:
        first = str(pairs.ids[empty[0]])  # type: ignore[index]
        raise ValueError(f"pairs must have a text each; {len(empty)} have none, the first is {first!r}")
    if len(set(texts)) < 2:
        raise ValueError(f"pairs must have at least two unlike texts: affinities compare them; got {len(set(texts))}")
    return texts


def _told(tower: Any, plan: Plan, width: int, layers: int) -> Plan:
    """A plan with what is told of it in its place, found to be no larger than the tower."""
    whole = plan_of(tower)
    asked = Plan(width or plan.width, (layers,) * len(whole.layers) if layers else plan.layers)
    if asked.width > whole.width or any(a > b for a, b in zip(asked.layers, whole.layers)):
        raise ValueError(f"a student must be no larger than its teacher, {whole}; got {asked}")
    return asked
