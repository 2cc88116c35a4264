"""SMOS: train on several styles while staying near a precursor that learnt from stylised synthetic scenes."""

import math
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Annotated, Any, Literal, Self

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from unseen.data.augment import jittered_crop
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import Batch, domain_numbers, hold_out, joint_batches, joint_steps, tensor
from unseen.methods.base import Card
from unseen.methods.network import NetworkMethod
from unseen.methods.parameters import Count, NonNegative, Positive, Within
from unseen.nn.averaging import DenseAverage
from unseen.nn.classifier import Classifier, as_classifier, check_labels, outputs, rest_statistics
from unseen.nn.divergences import js, kl
from unseen.nn.taps import stages, tap_shapes, tapped
from unseen.nn.train import Run, train
from unseen.runtime import current, reproducible

VARIANCE, FLOOR = 0.1, 1e-5
"""Where the paper's variances of the variational terms begin, and what none can go below."""


class SMOS(NetworkMethod):
    """Grounded domain generalization: several labelled domains, no target, and a frozen precursor as teacher [1].

    The precursor learnt, by plain training, from scenes in several synthetic styles whose classes are consistent
    (`train_precursor`). The student starts from other weights and is kept near it in what its layers compute:

        L = CE + ld / lr_mult * sum_l reg_l + ld * F,
        reg_l = mean[(f_l - t_l)^2 / var_l + log var_l] / 2,    var_l = softplus(b_l) + 1e-5 per channel,

    f_l and t_l what student and teacher compute at layer l, F the divergence of their embeddings as distributions over
    features. The weights at every step of the valley of the held-out loss are averaged (SWAD).

    Parameters
    ----------
    ld : float, >= 0
        Weight of both terms; 0 is plain training.
    lr_mult : float, > 0
        The variances learn so many times faster, and their term counts so many times less.
    divergence : {"js", "kl", "none"}
        F: Jensen-Shannon, KL(student || teacher), or nothing.
    js_mode : {"proper", "released"}
        Of probabilities by softmax, in [0, ln 2]; or the formula of the authors' code, `released_js`.
    feature_temperature : float, > 0
        Divides embeddings before the softmax.
    variational : bool
        Whether the terms reg_l count.
    variance_start : {"measured", "paper"}
        Where each var_l begins: at the mean of (f_l - t_l)^2 before training, where var_l is best, and at least at 0.1;
        or at 0.1, from where a short training cannot move it (see the notes).
    taps : tuple of str
        The layers l by name, in student and teacher; those that end a stage if empty (`unseen.nn.taps.stages`).
    teacher : {"given", "start", "random", "none"}
        The given one, or the start where none is given; the student's start, as in MIRO; the same network with random
        weights; no teacher, which is plain training.
    swad : bool
        Whether weights are averaged; else the epoch with the best held-out accuracy is kept.
    n_converge, n_tolerance : int, >= 1
        Epochs without a lower held-out loss until the averaging begins, and above its limit until it ends.
    tolerance_ratio : float, >= 0
        By how much that limit lies above the loss where it began; see `unseen.nn.averaging.DenseAverage`.
    aside : float in [0, 1)
        Share of each class of each domain that is held out for it.
    augment : {"none", "jittered-crop"}
        Of pictures: random boxes of at least .7 of the area, mirroring, other brightness, contrast and colour.
    learning_rate, weight_decay : float
        Of Adam; weights decay, variances do not.
    epochs : int, >= 1
        Each is a segment of the averaging.
    batch_size : int
        Samples of each domain in a batch.

    Attributes
    ----------
    network_ : Module
        The student.
    taps_ : tuple of str
    variances_ : dict of Tensor
        var_l of each layer, (c,).
    averaged_ : int
        Steps whose weights are averaged; 0 without averaging.
    history_ : dict of arrays
        Per epoch: `loss`, `ce`, `variational` (the sum of reg_l), `divergence` (F), and `held_out`, the loss there.

    References
    ----------
    [1] Luo, Feinglass, Gokhale, Lee, Baral, Yang, "Grounding Stylistic Domain Generalization with Quantitative Domain
        Shift Measures and Synthetic Scene Images", CVPR Workshops 2024. The variational term: Cha, Lee, Park, Chun,
        "Domain Generalization by Mutual-Information Regularization with Pre-trained Models" (MIRO), ECCV 2022.
    """

    card = Card(
        slug="smos",
        cost=6.0,
        title="Grounding Stylistic Domain Generalization with Quantitative Domain Shift Measures and Synthetic Scene "
        "Images",
        venue="CVPR Workshops 2024",
        official_code="fpsluozi/SMD-SMOS",
        summary="Learn several styles, held near what simple drawn scenes taught; measure how far styles are apart.",
        unseen={"domains"},
        modalities={"features", "image"},
        protocols={"closed", "partial"},
        presets={
            "default": {},
            "kl": {"divergence": "kl"},
            "paper": {
                "learning_rate": 3e-5,
                "batch_size": 16,
                "epochs": 25,
                "augment": "jittered-crop",
                "variance_start": "paper",
            },
        },
        on_request={"kl", "paper"},
        smoke={"epochs": 2},
        parts=(
            "unseen.diagnosis.stylistic.icv",
            "unseen.diagnosis.stylistic.idd",
            "unseen.methods.generalization.smos.train_precursor",
            "unseen.data.renditions.consoles",
            "unseen.nn.averaging.DenseAverage",
            "unseen.nn.divergences.js",
            "unseen.nn.taps.stages",
            "unseen.data.samplers.joint_batches",
        ),
        left_out=(
            "SuperMarioDomains is not here: no package registry has it. `unseen.data.renditions.consoles` draws any "
            "pictures as four generations of game consoles would: a substitute, and no scenes of a game.",
        ),
        notes=(
            "The released code takes features for log-probabilities, so that its F is no divergence (js_mode).",
            "F sums over features and means over the batch; the released one means over both, which weighs it less.",
            "The paper does not say which direction its KL variant has; here it is KL(student || teacher).",
            "Without `teachers` the start is the teacher: MIRO with a divergence. That is what `compare` runs.",
            "On cached features the layers are those of the bottleneck; what a teacher knows of textures and shapes "
            "lies before it. Whole networks are what the method is for.",
            "Adam moves b_l by at most learning_rate * lr_mult a step: 1.5 in the paper's 5001, a tenth of it in some "
            "hundred. So variances begin where they are best (variance_start); the paper's begin at 0.1.",
            "Segments of the averaging are epochs; the authors evaluate every 200 steps.",
            "Every batch has as many samples of each domain, whatever its size.",
            "What it gains depends on the teacher: with one that learnt from renditions of emoji it gained nothing on "
            "outlines of emoji, over plain training (see the evidence).",
        ),
    )

    ld: NonNegative = 0.15
    lr_mult: Positive = 10.0
    divergence: Literal["js", "kl", "none"] = "js"
    js_mode: Literal["proper", "released"] = "proper"
    feature_temperature: Positive = 1.0
    variational: bool = True
    variance_start: Literal["measured", "paper"] = "measured"
    taps: tuple[str, ...] = ()
    teacher: Literal["given", "start", "random", "none"] = "given"
    swad: bool = True
    n_converge: Count = 3
    n_tolerance: Count = 6
    tolerance_ratio: NonNegative = 0.3
    aside: Annotated[float, Within(0, 1, open_high=True)] = 0.2
    augment: Literal["none", "jittered-crop"] = "none"
    learning_rate: Positive = 1e-3
    weight_decay: NonNegative = 0.0
    epochs: Count = 20
    batch_size: Count = 16

    def fit(self, *, source: Domain, model: nn.Module, teachers: Mapping[str, nn.Module] | None = None) -> Self:
        """Train a copy of `model` on labelled domains, told apart by the column `domain`, near a frozen teacher.

        Parameters
        ----------
        source : Domain
        model : Module
            The student's start, with an output for every class.
        teachers : mapping of one name to a Module, optional
            The network to stay near (the paper's precursor), with the student's layers. Its classes may be others; its
            head is not used.
        """
        network = as_classifier(model)
        check_labels(network, source)
        teacher = self._teacher(network, teachers)
        names = self._taps(network, teacher, source)
        strata = domain_numbers(source) * (int(source.labels.max()) + 1) + source.labels
        learn, kept = (source.take(part) for part in hold_out(strata, self.aside, self.random_state))
        if self.swad and not len(kept):
            raise ValueError("source must have samples to hold out for the averaging: raise aside, or set swad=False")
        if self.augment != "none" and source.kind != "image":
            raise ValueError(f"augment={self.augment!r} needs pictures; source holds {source.kind}")
        self._learn(network, teacher, names, learn, kept)
        return self

    # -- step 6: the teacher ------------------------------------------------------------------------------------

    def _teacher(self, start: Classifier, given: Any) -> Classifier | None:
        """A frozen copy of the teacher, in eval mode; None for plain training."""
        if given is not None and len(given) != 1:
            raise ValueError(f"teachers must hold one network to stay near; got {len(given)}: {', '.join(given)}")
        if self.teacher == "none" or self.ld == 0:
            return None
        teacher = as_classifier(start if self.teacher != "given" or given is None else next(iter(given.values())))
        if self.teacher == "random":
            for layer in teacher.modules():
                if callable(reset := getattr(layer, "reset_parameters", None)):
                    reset()
        return teacher.requires_grad_(False).eval()

    def _taps(self, network: Classifier, teacher: Classifier | None, source: Domain) -> tuple[str, ...]:
        """Step 8: the layers that are compared, found to be alike in both."""
        if teacher is None:
            return ()
        names = self.taps or (stages(network) if self.variational else ())
        x = tensor(source, slice(0, 1))
        shapes = tap_shapes(network, names, x)
        try:
            theirs = tap_shapes(teacher, names, x)
        except (RuntimeError, ValueError) as error:
            raise ValueError(f"teachers must have the layers of the model, {', '.join(names)}: {error}") from error
        unlike = [
            f"{name} has {theirs[name]}, the model's {shapes[name]}" for name in shapes if shapes[name] != theirs[name]
        ]
        if unlike:
            raise ValueError(f"teachers must give the shapes that the model gives; {unlike[0]}")
        return names

    # -- steps 7 to 12 ------------------------------------------------------------------------------------------

    def _learn(
        self, network: Classifier, teacher: Classifier | None, names: tuple[str, ...], learn: Domain, kept: Domain
    ) -> None:
        variances: dict[str, VarianceEncoder] = {}
        if teacher is not None and self.variational:
            best = squares(network, teacher, names, learn)
            known = self.variance_start == "measured"
            variances = {name: VarianceEncoder(var if known else torch.zeros_like(var)) for name, var in best.items()}
        nets: dict[str, nn.Module] = {"network": network.train()}
        rest_statistics(network)
        groups: list[dict[str, Any]] = [{"params": [*network.parameters()], "weight_decay": self.weight_decay}]
        if teacher is not None:
            nets |= {"teacher": teacher, "variances": nn.ModuleList(variances.values())}
        if variances:
            groups += [{"params": [*nets["variances"].parameters()], "lr": self.learning_rate * self.lr_mult}]
        average = DenseAverage(network, self.n_converge, self.n_tolerance, self.tolerance_ratio) if self.swad else None
        if average is not None:
            nets["average"] = average

        def close(run: Run) -> None:
            loss = _held_out_loss(network, kept) if len(kept) else math.nan
            run.history[-1]["held_out"] = loss
            if average is not None:
                average.close(loss)

        with ExitStack() as stack:
            f = stack.enter_context(tapped(network, names))
            t = {} if teacher is None else stack.enter_context(tapped(teacher, names))

            def objective(batch: Batch, run: Run) -> Tensor:
                assert batch.y is not None
                z = network.embed(batch.x)
                loss = F.cross_entropy(network.head(z), batch.y)
                run.log(ce=loss)
                if teacher is not None:
                    with torch.no_grad():
                        theirs = teacher.embed(batch.x)
                    terms = [variational_term(f[name], t[name], var()) for name, var in variances.items()]
                    reg, apart = sum(terms, loss.new_zeros(())), self._divergence(z, theirs)
                    run.log(variational=reg, divergence=apart)
                    loss = loss + self.ld / self.lr_mult * reg + self.ld * apart
                return loss

            run = train(
                objective,
                name="smos",
                nets=nets,
                optimizers={"adam": torch.optim.Adam(groups, lr=self.learning_rate)},
                batches=joint_batches(learn, domain_numbers(learn), self.batch_size, augment=_augment(self.augment)),
                epochs=self.epochs,
                steps_per_epoch=joint_steps(domain_numbers(learn), self.batch_size),
                after_step=None if average is None else lambda run: average.add(network),
                after_epoch=close,
                score=(lambda run: _accuracy(network, kept)) if average is None and len(kept) else None,
            )
        if average is not None:
            average.copy_to(network)
        self.averaged_ = 0 if average is None else average.steps
        self.network_, self.taps_ = network.eval(), names
        self.variances_ = {name: var().detach().clone() for name, var in variances.items()}
        self.history_ = {key: np.array([epoch[key] for epoch in run.history]) for key in run.history[0]}

    def _divergence(self, z: Tensor, theirs: Tensor) -> Tensor:
        """Step 10: F between embeddings of student and teacher."""
        if self.divergence == "none":
            return z.new_zeros(())
        if self.divergence == "js" and self.js_mode == "released":
            return released_js(z, theirs)
        a, b = z / self.feature_temperature, theirs / self.feature_temperature
        return (js(a, b) if self.divergence == "js" else kl(a, b)).mean()


# -- the terms ------------------------------------------------------------------------------------------------


class VarianceEncoder(nn.Module):
    """var = softplus(b) + 1e-5, one for each channel; `var` at the start, at least 0.1 (step 9)."""

    def __init__(self, var: Float[Tensor, " c"]) -> None:
        super().__init__()
        above = var.clamp(min=VARIANCE) - FLOOR
        self.b = nn.Parameter(above + (-torch.expm1(-above)).log())

    def forward(self) -> Float[Tensor, " c"]:
        """var of each channel."""
        return F.softplus(self.b) + FLOOR


def squares(student: Classifier, teacher: Classifier, names: tuple[str, ...], domain: Domain) -> dict[str, Tensor]:
    """The mean of (f_l - t_l)^2 of each channel over a domain, at layers by name, of networks in eval mode."""
    device, means = torch.device(current().device), dict.fromkeys(names, torch.zeros(()))
    networks = [network.to(device).eval() for network in (student, teacher)]
    with torch.no_grad(), tapped(student, names) as f, tapped(teacher, names) as t:
        for start in range(0, len(domain), 256):
            x = tensor(domain, slice(start, start + 256)).to(device)
            for network in networks:
                network.embed(x)
            for name in names:
                d = (f[name] - t[name]).square()
                d = d.flatten(2).mean(2) if d.ndim == 4 else d.flatten(0, -2)
                means[name] = means[name].to(device) + d.mean(0) * (len(x) / len(domain))
    return means


def variational_term(f: Tensor, t: Tensor, var: Float[Tensor, " c"]) -> Float[Tensor, ""]:
    """reg_l = mean[(f - t)^2 / var + log var] / 2 over everything (step 9); least where var is the mean of (f - t)^2.

    f and t are what student and teacher compute: (b, c), (b, c, h, w), or tokens (b, n, c).
    """
    var = var if f.ndim in (2, 3) else var[:, None, None]
    return ((f - t).square() / var + var.log()).mean() / 2


def released_js(p: Float[Tensor, "b d"], q: Float[Tensor, "b d"]) -> Float[Tensor, ""]:
    """The authors' formula: the mean of m (log m - p) and m (log m - q), m = (p + q) / 2, over all entries.

    It takes features for log-probabilities: it is no divergence, and may be negative. A negative m is a ValueError.
    """
    m = (p + q) / 2
    if bool((m < 0).any()):
        raise ValueError("js_mode='released' needs features that are not negative, such as those after a ReLU")
    entropy = torch.xlogy(m, m)
    return ((entropy - m * p).mean() + (entropy - m * q).mean()) / 2


# -- step 5: the precursor ------------------------------------------------------------------------------------


def train_precursor(
    network: nn.Module,
    domains: Domain | Sequence[Domain],
    *,
    epochs: int = 20,
    learning_rate: float = 1e-3,
    batch_size: int = 16,
    rest: bool = False,
    augment: Literal["none", "jittered-crop"] = "none",
    seed: int = 0,
) -> Classifier:
    """Learn from several synthetic styles by plain training, all together: the teacher of `SMOS`.

    Parameters
    ----------
    network : Module
        Trained weights give SMOS+, random ones SMOS-; a copy is trained.
    domains : Domain, or a sequence of them with the same classes
        Labelled styles, such as `unseen.data.renditions.consoles` draws.
    epochs, batch_size : int, >= 1
        A batch has `batch_size` samples of each style.
    learning_rate : float, > 0
        Of Adam. The paper's is 1e-5, from ImageNet.
    rest : bool
        Whether BatchNorm keeps the statistics that it has, as in the paper; only for trained weights.
    augment : {"none", "jittered-crop"}
    seed : int

    Returns
    -------
    Classifier
        In eval mode, of the last epoch. Its head knows the classes of these domains.
    """
    styles = domains if isinstance(domains, Domain) else concatenate(list(domains), name="precursor")
    learner = as_classifier(network)
    check_labels(learner, styles)
    learner.train()
    if rest:
        rest_statistics(learner)

    def objective(batch: Batch, run: Run) -> Tensor:
        return F.cross_entropy(learner(batch.x), batch.y)  # type: ignore[arg-type]

    with reproducible(seed):
        train(
            objective,
            name="smos-precursor",
            nets={"precursor": learner},
            optimizers={"adam": torch.optim.Adam(learner.parameters(), lr=learning_rate)},
            batches=joint_batches(styles, domain_numbers(styles), batch_size, augment=_augment(augment)),
            epochs=epochs,
            steps_per_epoch=joint_steps(domain_numbers(styles), batch_size),
        )
    return learner.eval()


# -- parts of the training ------------------------------------------------------------------------------------


def _augment(kind: str) -> Any:
    return jittered_crop if kind == "jittered-crop" else None


def _held_out_loss(network: Classifier, kept: Domain) -> float:
    return float(F.cross_entropy(outputs(network, kept)[1], torch.as_tensor(kept.labels)))


def _accuracy(network: Classifier, kept: Domain) -> float:
    return float((outputs(network, kept)[1].argmax(dim=1).numpy() == kept.labels).mean())
