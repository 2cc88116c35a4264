"""TinyCLIP: affinity mimicking, weight inheritance by hand or by learnt gates, in stages."""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import nn

from unseen.data.pairs import Pairs
from unseen.methods.base import Card
from unseen.methods.compression.tinyclip.gates import SIDES, Budget, MaskedDualEncoder, counted, report
from unseen.methods.compression.tinyclip.inheritance import Depth, Selection, inherit_weights
from unseen.methods.compression.tinyclip.needs import TowersToPrune, prunable_towers
from unseen.methods.compression.tinyclip.resnets import is_resnet
from unseen.methods.compression.tinyclip.shapes import Plan, fitting, made, plan_of, smallest
from unseen.methods.compression.tinyclip.training import Pruning
from unseen.methods.parameters import Count, Natural, NonNegative, Positive
from unseen.methods.tower_shrinkers import TowerShrinker
from unseen.nn.affinity import Taught
from unseen.nn.build import n_parameters
from unseen.nn.dual_encoder import dual_encoder
from unseen.nn.schedules import warm_then_cosine
from unseen.nn.train import Run, train


class TinyCLIP(TowerShrinker):
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

    inheritance: Literal["manual", "auto", "none"] = "manual"
    selection: Selection = "leading"
    depth: Depth = "interval_front"
    image_width: Natural = 0
    image_layers: Natural = 0
    text_width: Natural = 0
    text_layers: Natural = 0
    stages: Count = 1
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
    batch_size: Count = 1024

    def refuse(self, model: nn.Module) -> None:
        """Raise `TypeError` where nothing can be taken from the towers, `ValueError` for a shape that cannot be."""
        if not prunable_towers(model):
            expected = "two towers that can be pruned, as unseen.encoders.prunable makes them of open_clip's"
            raise TypeError(f"model must be {expected}; got {type(model).__name__}")
        self._refuse_shape(model)

    def work(self, n: int) -> tuple[int, float]:
        """As all that make towers small, in each stage; gates learn over the whole model."""
        gates = self.prune_steps if self.inheritance == "auto" else 0
        reads = min(self.batch_size, n) * (self.steps * (1 + 3 * self.size) + 4 * gates)
        return self.stages * (self.steps + gates), self.stages * reads

    def _shrunk(self, teacher: Any, pairs: Pairs, texts: Sequence[str]) -> Any:
        """Stage after stage, each from the student before."""
        shares = [1 - (1 - self.size) * (i + 1) / self.stages for i in range(self.stages)]
        plans: list[tuple[Plan, Plan]] = []
        for share in reversed(shares):  # so that each stage can be cut from the one before
            plans.insert(0, self._planned(teacher, share, plans[0] if plans else None))
        taught, student = self._taught(teacher, texts), teacher
        for number, (share, plan) in enumerate(zip(shares, plans)):
            student = self._stage(number, student, share, plan, taught, pairs)
            left = n_parameters(student) / n_parameters(teacher)
            self.stages_ = (*self.stages_, {"asked": share, "size": left})
        return student

    def _report(self, student: Any, teacher: Any) -> list[dict[str, Any]]:
        return report(student, teacher)

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
            image, text = (made(getattr(taught.teacher, side), tower_plan) for side, tower_plan in zip(SIDES, plan))
            student = dual_encoder(image, text, parent.reader.to_json(), float(parent.logit_scale.detach().exp()))
            student.reader = parent.reader
            if self.inheritance == "manual":
                inherit_weights(student, parent, self.selection, self.depth)
        warm_up = 0 if self.inheritance == "auto" else self.warm_up  # a student of gates goes on as it is
        self._distilled(f"tinyclip-{number}", student, taught, pairs, warm_up, self.learning_rate)
        return student

    def _pruned(self, number: int, parent: Any, share: float, taught: Taught, pairs: Pairs) -> Any:
        """Step C: weights and gates learn together while the multipliers climb; then what is closed is taken out."""
        first, second = (counted(getattr(taught.teacher, side), self.budget) for side in SIDES)
        reached = 1 - sum(counted(getattr(parent, side), self.budget) for side in SIDES) / (first + second)
        masked = MaskedDualEncoder(
            parent, 1 - share, self.sparsity_warm_up, start=max(reached, 0.0), joint=self.joint, budget=self.budget,
            whole=(first, second), two_sided=self.two_sided,
        )  # fmt: skip
        masked.towers.train().requires_grad_(True)
        adam = self._adam(masked.towers, self.learning_rate)
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

    # -- shapes ---------------------------------------------------------------------------------------------

    def _planned(self, teacher: Any, share: float, after: tuple[Plan, Plan] | None = None) -> tuple[Plan, Plan]:
        """The shapes of a student by hand, from which those of the stage after can be cut."""
        self._refuse_shape(teacher)
        towers = teacher.image, teacher.text
        sizes = self._sizes()
        if all(all(size) for size in sizes):
            plans = plan_of(towers[0]), plan_of(towers[1])
        else:
            plans = fitting(*towers, int(share * n_parameters(teacher)), after)
        image, text = (_told(tower, plan, *size) for tower, plan, size in zip(towers, plans, sizes))
        return image, text

    def _sizes(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """What is told of the width and the layers of either tower; 0 of what is free."""
        return (self.image_width, self.image_layers), (self.text_width, self.text_layers)

    def _refuse_shape(self, teacher: Any) -> None:
        """Raise `ValueError` where no student can be as it is told, also where gates decide; no weight is looked at."""
        if self.inheritance == "auto" and is_resnet(teacher.image):
            raise ValueError("inheritance='auto' gates transformers; the image tower is a ResNet: take 'manual'")
        sizes = self._sizes()
        free = all(not any(size) for size in sizes)
        if not free and self.inheritance == "auto":
            raise ValueError("image_width, image_layers, text_width and text_layers are of inheritance='manual'; "
                             "gates decide by size: leave them 0")  # fmt: skip
        if not free and self.stages > 1:
            raise ValueError(f"stages must be 1 where a width or layers are told; got {self.stages}")
        if self.budget != "all" and self.inheritance != "auto":
            raise ValueError(f"budget={self.budget!r} is of inheritance='auto'; by hand size counts all parameters")
        if all(all(size) for size in sizes):
            return
        total, least = n_parameters(teacher), smallest(teacher.image, teacher.text)
        if int(self.size * total) < least:
            raise ValueError(
                f"size must be at least {math.ceil(1000 * least / total) / 1000:.3f}, the smallest student of this "
                f"model ({least:,} parameters); got {self.size!r}"
            )


def _told(tower: Any, plan: Plan, width: int, layers: int) -> Plan:
    """A plan with what is told of it in its place, found to be no larger than the tower."""
    whole = plan_of(tower)
    requested = Plan(width or plan.width, (layers,) * len(whole.layers) if layers else plan.layers)
    if requested.width > whole.width or any(a > b for a, b in zip(requested.layers, whole.layers)):
        raise ValueError(f"a student must be no larger than its teacher, {whole}; got {requested}")
    return requested
