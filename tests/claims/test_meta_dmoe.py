"""Meta-DMoE's claim: what is known and what is unseen, and that its arms have the same samples and steps."""

from typing import Any

import numpy as np
import pytest
import torch

from unseen.claims import experts
from unseen.claims.experts import Start, begin, best, letter_domains, standardized, with_statistics_of
from unseen.claims.meta_dmoe import claim, digit_domains, digits
from unseen.claims.styles import Style, drawn, styles
from unseen.data.domain import Domain, concatenate
from unseen.data.samplers import tensor
from unseen.methods.adaptation.meta_dmoe import training
from unseen.methods.adaptation.meta_dmoe.aggregator import aggregator
from unseen.methods.adaptation.meta_dmoe.training import Meta
from unseen.nn.bn_statistics import batch_norms
from unseen.nn.classifier import linear, mlp_classifier
from unseen.runtime import reproducible

FAMILIES = sorted(
    {
        case.split()[-1]
        for name in ("digits", "letters, fair arms")
        for split in ("development", "confirmation")
        for case in vars(claim.experiments[name])[split]
    }
)


@pytest.mark.parametrize("family", FAMILIES)
def test_there_are_twelve_known_styles_and_six_unseen_ones(family: str) -> None:
    known, unseen = styles(family)
    assert (len(set(known)), len(set(unseen))) == (12, 6)
    assert not set(known) & set(unseen)


def test_no_style_of_the_confirmation_is_one_of_the_same_pictures_in_development() -> None:
    experiment = claim.experiments["digits"]
    halves = {split: {case.split()[1] for case in vars(experiment)[split]} for split in ("development", "confirmation")}
    assert not halves["development"] & halves["confirmation"]


def test_the_halves_of_the_digits_share_no_picture() -> None:
    first, second = (digits("handwritten", half)[0].reshape(-1, 256) for half in (0, 1))
    assert len(first) + len(second) == 1797
    assert min(len(first), len(second)) > 800


def test_a_plain_style_leaves_pictures_as_they_are_and_half_a_turn_twice_comes_back() -> None:
    images = digits("handwritten", 0)[0][:5]
    rng = np.random.default_rng(0)
    np.testing.assert_allclose(drawn(images, Style(), rng), images, atol=1e-6)
    once = drawn(images, Style(turn=180), rng)
    inside = np.s_[:, 1:-1, 1:-1]  # a pixel of the edge may fall off by a rounding
    np.testing.assert_allclose(once[inside], images[:, ::-1, ::-1][inside], atol=1e-4)
    np.testing.assert_allclose(drawn(once, Style(turn=180), rng)[inside], images[inside], atol=1e-4)
    np.testing.assert_allclose(drawn(images, Style(inverted=True), rng), 1 - images, atol=1e-6)


def test_unseen_domains_are_of_pictures_that_the_source_does_not_have() -> None:
    source, unseen, known = digit_domains("handwritten 0 inked", 3)
    assert len(known) == 12
    assert sorted(d.name for d in known) == sorted(source.domains)
    assert [len(d) for d in unseen] == 6 * [len(unseen[0])]
    assert source.x.shape[1:] == unseen[0].x.shape[1:] == (1, 16, 16)
    again = digit_domains("handwritten 0 inked", 3)[0]
    np.testing.assert_array_equal(source.x, again.x)
    plain = source.x[source.columns["domain"] == "source 4"]  # upright and untouched
    new = next(d for d in known if d.name == "source 4").x
    assert not {x.tobytes() for x in plain} & {x.tobytes() for x in new}


def test_letters_of_the_confirmation_are_none_of_development() -> None:
    experiment = claim.experiments["letters, fair arms"]
    texts = [{case.split()[0] for case in vars(experiment)[split]} for split in ("development", "confirmation")]
    development, confirmation = ({letter for text in part for letter in text} for part in texts)
    assert not development & confirmation
    assert all(len(set(text)) == 10 for part in texts for text in part)


def test_unseen_ways_of_drawing_letters_show_other_pictures_than_the_source() -> None:
    source, unseen = letter_domains("ABCDEFGHIJ inked", 0)
    assert (len(source.domains), len(unseen)) == (12, 6)
    assert set(source.labels.tolist()) == set(unseen[0].labels.tolist()) == set(range(10))
    assert source.x.shape[1:] == unseen[0].x.shape[1:] == (1, 16, 16)


# -- arms ----------------------------------------------------------------------------------------------------------


def small_start() -> Start:
    """Four domains of five features, three classes, everything trained for one epoch."""
    rng = np.random.default_rng(0)
    y = np.arange(40) % 3
    parts = [
        Domain(x=(rng.normal(size=(40, 5)) + y[:, None] + i).astype(np.float32), y=y, name=str(i)) for i in range(4)
    ]
    meta = Meta(0.1, 6, 4, 1e-2, 1e-3, epochs=3, mask=True, first_order=False, fresh_adam=True)
    with reproducible(0):
        return begin(concatenate(parts), mlp_classifier(5, 3, 8), meta, 0, epochs=1)


def test_the_single_model_and_arm_bn_have_the_steps_rates_and_choice_of_meta_training(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    start, seen = small_start(), []

    def watching(objective: Any, **settings: Any) -> Any:
        adam, rates, sizes = next(iter(settings["optimizers"].values())), [], []

        def counted(batch: Any, run: Any) -> Any:
            rates.append(adam.param_groups[0]["lr"])
            sizes.append(len(batch.x))
            return objective(batch, run)

        run = train(counted, **settings)
        seen.append((run.step, rates, sorted(sizes), [("score" in row) for row in run.history]))
        return run

    train = training.train
    for module in (training, experts):
        monkeypatch.setattr(module, "train", watching)
    mixed = aggregator("average", 8, [8] * 4)
    start.learnt(mixed)
    single, statistics = start.longer(), start.longer(statistics=True)
    assert seen[0] == seen[1] == seen[2]
    assert seen[0][3] == [True] * 3
    assert len(set(seen[0][1])) == 3
    start.longer(2)
    assert seen[3][0] == 2 * seen[0][0]
    start.longer(rate=0.5)
    assert seen[4][1] == [50 * rate for rate in seen[0][1]]
    kept = [layer.running_mean for layer in batch_norms(start.student).values()]
    for network, same in ((single, True), (statistics, False)):
        found = [layer.running_mean for layer in batch_norms(network).values()]
        assert all(torch.equal(a, b) for a, b in zip(found, kept)) == same  # type: ignore[arg-type]


def test_the_single_model_learns_from_all_labels_of_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    start, counts = small_start(), []
    cross_entropy = experts.F.cross_entropy

    def counting(logits: Any, y: Any) -> Any:
        counts.append(len(y))
        return cross_entropy(logits, y)

    monkeypatch.setattr(experts.F, "cross_entropy", counting)
    start.longer()
    assert sum(counts) == 3 * 4 * 30  # of 32 samples of each domain; a batch of two is too small


def test_an_aggregator_of_the_claim_was_trained_by_itself() -> None:
    start = small_start()
    with reproducible(0):
        fresh = aggregator("transformer", 8, [8] * 4)
    with reproducible(0):
        trained = start.mixed("transformer")
    assert not all(torch.equal(a, b) for a, b in zip(fresh.parameters(), trained.parameters()))


def test_statistics_are_those_of_the_samples() -> None:
    start = small_start()
    domain = start.sources.check.replace(x=start.sources.check.x + 3)
    (layer,) = batch_norms(with_statistics_of(start.student, domain)).values()
    linear = start.student.bottleneck[0](start.student.backbone(tensor(domain)))  # type: ignore[index]
    torch.testing.assert_close(layer.running_mean, linear.mean(dim=0))


def test_the_best_candidate_is_the_first_of_equals_and_its_time_is_the_mean_of_all() -> None:
    chosen, seconds = best([lambda: "one", lambda: "two", lambda: "three"], lambda name: float(len(name) == 3))
    assert chosen == "one"
    assert 0 <= seconds < 1


def test_a_domain_that_is_moved_and_stretched_is_standardized_to_where_it_was() -> None:
    start = small_start()
    learn, held = start.sources.learn, [start.sources.check]
    network = linear(5, 3)  # its features are affine in x
    moved = [held[0].replace(x=3 * held[0].x + 5)]
    there = standardized(network, learn, held, held, held)
    assert there == standardized(network, learn, held, moved, moved)
    assert there > standardized(network, learn, held, held, moved)
