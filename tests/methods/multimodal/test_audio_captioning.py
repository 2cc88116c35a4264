"""The analytic checks of the captioner: noise, replacement, prompts, loss, the gap, and beam search."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from unseen.data.classes import ClassSpace
from unseen.data.domain import Domain
from unseen.data.pairs import Pairs
from unseen.methods.base import clone
from unseen.methods.multimodal.audio_captioning import (
    AudioCaptioning,
    HardPrompt,
    MixedAugmentation,
    PrefixCaptioner,
    SoftPrompt,
)
from unseen.methods.multimodal.audio_captioning.augmentation import (
    NOBODY,
    expected_cosine,
    nearest_captions,
    variance_for,
)
from unseen.methods.multimodal.audio_captioning.needs import HashedSpace, captions_of_a_moment
from unseen.methods.multimodal.audio_captioning.prompts import IGNORED, NOTHING, assemble, project
from unseen.nn.captioners import small_decoder, vocabulary

SMALL: dict[str, Any] = {**AudioCaptioning.card.smoke, "epochs": 3}
EVENTS = ClassSpace(names=("dog", "man", "bird", "rain", "car"))


def corpus(texts: Sequence[str] | None = None, **columns: Any) -> Domain:
    said = captions_of_a_moment() if texts is None else np.array(texts)
    return Domain(x=said, kind="text", name="captions", columns=columns)


def unit(n: int, d: int, seed: int = 0) -> torch.Tensor:
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def drawn(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- noise (step 2b) ---------------------------------------------------------------------------------------


def test_variance_0_returns_the_normalised_input() -> None:
    e = unit(5, 16)
    augment = MixedAugmentation(e, p_replace=0.0, variance=0.0)
    assert torch.allclose(augment.noise(3 * e, drawn()), e, atol=1e-6)


@pytest.mark.parametrize(("d", "expected"), [(512, 0.330), (384, 0.374)])
def test_the_cosine_under_noise_is_one_over_the_root_of_1_plus_d_variance(d: int, expected: float) -> None:
    e = unit(4000, d)
    noisy = MixedAugmentation(e[:2], p_replace=0.0, variance=0.016).noise(e, drawn(1))
    found = float((noisy * e).sum(dim=1).mean())
    assert found == pytest.approx(expected, abs=0.004)  # 4,000 draws spread by .0008
    assert expected_cosine(0.016, d) == pytest.approx(expected, abs=0.001)
    assert torch.allclose(noisy.norm(dim=1), torch.ones(4000), atol=1e-5)


def test_the_variance_for_a_cosine_gives_that_cosine() -> None:
    assert expected_cosine(variance_for(0.42, 384), 384) == pytest.approx(0.42)
    assert variance_for(1.0, 8) == 0
    with pytest.raises(ValueError, match="cosine must be in"):
        variance_for(0.0, 8)


# -- replacement (step 2a) -----------------------------------------------------------------------------------


def test_replacement_with_probability_0_or_without_neighbours_is_the_identity() -> None:
    index = torch.arange(20)
    for augment in (MixedAugmentation(unit(20, 4), p_replace=0.0), MixedAugmentation(unit(20, 4), k=0)):
        assert torch.equal(augment.replace(index, drawn()), index)


def test_a_caption_is_never_replaced_by_itself_by_what_says_the_same_or_by_one_of_its_sound() -> None:
    e = unit(40, 3)
    e[1] = e[0]  # a duplicate
    clips = torch.arange(40) // 2
    near = nearest_captions(e, 5, -1.0, clips)
    for i, row in enumerate(near.tolist()):
        kept = [j for j in row if j != NOBODY]
        assert i not in kept
        assert all(float(e[i] @ e[j]) < 0.999 and clips[i] != clips[j] for j in kept)
    augment = MixedAugmentation(e, p_replace=1.0, least=-1.0, clips=clips)
    index = torch.arange(40).repeat(20)
    assert not bool((augment.replace(index, drawn()) == index).any())


def test_neighbours_are_the_nearest_by_a_naive_search_and_a_rare_caption_keeps_its_own() -> None:
    e = unit(30, 6)
    cosines = (e @ e.T).numpy()
    np.fill_diagonal(cosines, -9)
    expected = [[j if cosines[i, j] >= 0.5 else NOBODY for j in np.argsort(-cosines[i])[:3]] for i in range(30)]
    assert nearest_captions(e, 3, 0.5).tolist() == expected
    lonely = [i for i, row in enumerate(expected) if row[0] == NOBODY]
    assert lonely
    augment = MixedAugmentation(e, k=3, p_replace=1.0, least=0.5)
    assert augment.replace(torch.tensor(lonely), drawn()).tolist() == lonely


def test_replacement_changes_what_is_seen_and_not_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    plain = PrefixCaptioner.loss

    def spy(self: PrefixCaptioner, e: torch.Tensor, captions: Any, generator: Any = None) -> torch.Tensor:
        if self.soft is not None:
            seen.append((e.detach().clone(), [list(ids) for ids in captions], self.lm))
        return plain(self, e, captions, generator)

    monkeypatch.setattr(PrefixCaptioner, "loss", spy)
    said = captions_of_a_moment()
    AudioCaptioning(**{**SMALL, "epochs": 1, "replace": 1.0, "variance": 0.0}).fit(
        corpus=corpus(), encoder=HashedSpace(), classes=EVENTS
    )
    own = torch.as_tensor(HashedSpace().encode_text(said.tolist())).float()
    moved, learnt = 0, []
    for e, captions, lm in seen:
        for vector, ids in zip(e, captions):
            text = lm.text(ids)
            learnt.append(text)
            moved += int(not torch.allclose(own[said.tolist().index(text)], vector, atol=1e-5))
    assert sorted(learnt) == sorted(said.tolist())  # every caption once in an epoch, word for word
    assert moved > 20


# -- the loss (steps 5, 6) -------------------------------------------------------------------------------------


def test_changing_prompt_tokens_does_not_change_which_places_are_learnt() -> None:
    captions = [[5, 6, 2], [7, 2]]
    one, other = (assemble(prompts, (1,), captions, 4) for prompts in ([[8, 9], [8]], [[3, 4], [6]]))
    assert torch.equal(one.targets, other.targets)
    assert one.tokens.tolist() == [[8, 9, 1, 5, 6, 2], [8, 1, 7, 2, 0, 0]]  # padded behind the caption
    # the soft prompt has places 0 to 3; "1" stands at 6 and at 5, and what follows it is learnt
    expected = torch.full((2, 10), IGNORED)
    expected[0, 6:9] = torch.tensor([5, 6, 2])
    expected[1, 5:7] = torch.tensor([7, 2])
    assert torch.equal(one.targets, expected)


def little(
    words: Sequence[str] = ("dog", "barks", "in", "rain", "there", "are", "something", "the", "audio", ","),
) -> Any:
    torch.manual_seed(0)
    return small_decoder(tuple(words), width=8, layers=1, heads=2, dropout=0.0).eval()


def test_the_loss_is_the_cross_entropy_of_the_caption_alone_by_a_second_way() -> None:
    lm, soft = little(), SoftPrompt(6, 3, 8)
    hard = HardPrompt(["dog", "rain"], unit(2, 6, 3), k=1, threshold=0.0, mask_prob=0.0)
    captioner, e = PrefixCaptioner(lm, soft, hard), unit(2, 6, 4)
    captions = [lm.caption_ids("dog barks in rain"), lm.caption_ids("rain")]
    total, count = 0.0, 0
    for i, caption in enumerate(captions):
        prompt = lm.prompt_ids(hard.text(hard.labels(e[i : i + 1])[0]))
        row = torch.tensor([*prompt, *lm.start, *caption])
        x = torch.cat([soft(e[i : i + 1])[0], lm.embed(row[None])[0]])
        logp = lm(x[None])[0].log_softmax(dim=1)
        first = 3 + len(prompt) + len(lm.start) - 1
        total -= sum(float(logp[first + j, token].detach()) for j, token in enumerate(caption))
        count += len(caption)
    assert float(captioner.loss(e, captions)) == pytest.approx(total / count, abs=1e-5)


def test_places_that_are_not_learnt_have_no_gradient() -> None:
    lm = little()
    targets = assemble([[4, 5], [4]], lm.start, [[6, 2], [7, 8, 2]], 2).targets
    logits = torch.randn(*targets.shape, len(lm.words), requires_grad=True)
    F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORED).backward()
    assert logits.grad is not None
    assert bool((logits.grad[targets == IGNORED] == 0).all())
    assert bool((logits.grad[targets != IGNORED].abs().sum(dim=1) > 0).all())


def test_what_pads_a_row_changes_no_loss() -> None:
    lm, soft = little(), SoftPrompt(6, 2, 8)
    captioner, e = PrefixCaptioner(lm, soft, None), unit(2, 6)
    long, short = lm.caption_ids("dog barks in rain in rain"), lm.caption_ids("dog")
    both = float(captioner.loss(e, [long, short])) * (len(long) + len(short))
    alone = sum(float(captioner.loss(e[i : i + 1], [ids])) * len(ids) for i, ids in enumerate((long, short)))
    assert both == pytest.approx(alone, rel=1e-5)


def test_without_the_hard_prompt_the_loss_is_that_of_prefix_captioning() -> None:
    lm, soft = little(), SoftPrompt(6, 2, 8)
    caption = lm.caption_ids("dog barks")
    e = unit(1, 6)
    x = torch.cat([soft(e)[0], lm.embed(torch.tensor([[*lm.start, *caption]]))[0]])
    expected = F.cross_entropy(lm(x[None])[0, 2 : 2 + len(caption)], torch.tensor(caption))
    assert float(PrefixCaptioner(lm, soft, None).loss(e, [caption])) == pytest.approx(float(expected), abs=1e-6)


# -- soft and hard prompts (steps 3, 4) --------------------------------------------------------------------------


@pytest.mark.parametrize("mapper", ["mlp", "transformer"])
def test_a_soft_prompt_has_its_length_and_width(mapper: Any) -> None:
    soft = SoftPrompt(6, 10, 8, mapper, layers=2)
    made = soft(unit(3, 6))
    assert made.shape == (3, 10, 8)
    assert not torch.allclose(made[0], made[1])
    if mapper == "transformer":
        assert soft.encoder is not None
        assert len(soft.encoder.layers) == 2  # type: ignore[arg-type]
        assert soft.queries.shape == (10, 8)


def test_the_true_labels_vector_returns_it_first() -> None:
    bank = unit(30, 8)
    hard = HardPrompt([f"e{i}" for i in range(30)], bank, k=4)
    shares, places = hard.retrieve(bank)
    assert places[:, 0].tolist() == list(range(30))
    expected = torch.softmax(bank @ bank.T / 0.01, dim=1).sort(dim=1, descending=True).values[:, :4]
    assert torch.allclose(shares, expected, atol=1e-6)


def test_a_hard_prompt_says_the_labels_above_the_threshold_or_something() -> None:
    bank = torch.eye(3)
    hard = HardPrompt(["dog", "rain", "car"], bank, k=2, threshold=0.2)
    e = F.normalize(torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 0.0]]), dim=1)
    assert hard.labels(e) == [["dog"], ["dog", "rain"]]
    assert hard.text(["dog", "rain"]) == "There are dog, rain in the audio."
    assert HardPrompt(["dog", "rain"], bank[:2], threshold=1.0).labels(e[1:]) == [[]]
    assert hard.text([]) == NOTHING


def test_a_mask_of_1_leaves_something_in_training_and_all_when_asked() -> None:
    hard = HardPrompt(["dog", "rain"], torch.eye(2), threshold=0.0, mask_prob=1.0)
    e = torch.eye(2)
    assert hard.labels(e, drawn()) == [[], []]
    assert hard.labels(e) == [["dog", "rain"], ["rain", "dog"]]
    half = HardPrompt(["dog"], torch.ones(1, 1), threshold=0.0, mask_prob=0.4)
    left = np.mean([not row for row in half.labels(torch.ones(4000, 1), drawn())])
    assert left == pytest.approx(0.4, abs=0.03)


class Spy:
    """A space that notes what it is asked."""

    name = "spy"

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.waves = 0

    def encode_text(self, texts: Sequence[str]) -> Any:
        self.texts += list(texts)
        return HashedSpace().encode_text(texts)

    def encode_audio(self, waves: Sequence[np.ndarray]) -> Any:
        self.waves += len(waves)
        return HashedSpace().encode_audio(waves)


def test_labels_come_from_texts_in_training_and_from_sounds_when_asked() -> None:
    space = Spy()
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=space, classes=EVENTS)
    assert space.waves == 0  # f_audio is never called in fit
    assert set(space.texts) == {*captions_of_a_moment(), *(f"This is a sound of {name}" for name in EVENTS.names)}
    asked = len(space.texts)
    sound = torch.as_tensor(space.encode_audio([np.ones(3)]))
    method.caption(sound)
    method.events(sound)
    assert len(space.texts) == asked  # and f_text never when a sound is captioned


def test_one_bank_serves_training_and_asking() -> None:
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    own = torch.as_tensor(HashedSpace().encode_text([f"This is a sound of {name}" for name in EVENTS.names])).float()
    assert torch.allclose(method.bank_, own, atol=1e-6)
    assert [found[0][1] for found in method.events(own)] == pytest.approx([1.0] * len(own), abs=1e-5)


# -- the mechanism ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gap() -> dict[str, dict[str, float]]:
    """How much of the right caption is said, with and without noise, where there is a gap and where there is none.

    Sounds are the vectors of captions; a gap moves all of them by one offset.
    """
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(12)]
    texts = [f"{words[i]} {words[j]}" for i in range(12) for j in range(12) if i != j]
    table = rng.normal(size=(12, 48))

    class Sums:
        name = "sums"

        def encode_text(self, said: Sequence[str]) -> Any:
            rows = [sum(table[int(w[1:])] for w in text.split() if w[0] == "w" and w[1:].isdigit()) for text in said]
            x = np.stack([row if not np.isscalar(row) else np.ones(48) for row in rows])
            return x / np.linalg.norm(x, axis=1, keepdims=True)

        def encode_audio(self, waves: Any) -> Any:
            raise AssertionError("no sound is read")

    space = Sums()
    e = space.encode_text(texts)
    offset = rng.normal(size=48)
    moved = e + 0.9 * offset / np.linalg.norm(offset)
    settings: dict[str, Any] = {
        "prompts": "soft", "width": 32, "layers": 1, "heads": 2, "length": 2, "epochs": 60, "batch_size": 16,
        "least_count": 1, "dropout": 0.0, "replace": 0.0, "beam": 1, "longest": 4, "pretrain": 0, "learning_rate": 5e-3,
        "mapper_rate": 5e-3,
    }  # fmt: skip
    out: dict[str, dict[str, float]] = {}
    for name, variance in (("plain", 0.0), ("noise", 0.012)):
        method = AudioCaptioning(**settings, variance=variance).fit(corpus=corpus(texts), encoder=space, classes=EVENTS)
        for way, x in (("no gap", e), ("gap", moved)):
            for told, projects in (("", False), (" projected", True)):
                said = clone(method).set_params(project=projects)
                vars(said).update(method.fitted)
                found = said.caption(torch.as_tensor(x).float())
                right = [len(set(a.split()) & set(b.split())) / 2 for a, b in zip(found.tolist(), texts)]
                out.setdefault(way, {})[name + told] = float(np.mean(right))
    return out


def test_where_there_is_no_gap_noise_is_not_needed(gap: dict[str, dict[str, float]]) -> None:
    assert abs(gap["no gap"]["plain"] - gap["no gap"]["noise"]) < 0.05
    assert gap["no gap"]["plain"] > 0.9


def test_an_offset_harms_what_has_seen_no_noise_and_noise_or_projection_recover_it(
    gap: dict[str, dict[str, float]],
) -> None:
    assert gap["gap"]["plain"] < gap["no gap"]["plain"] - 0.05
    assert gap["gap"]["noise"] > gap["gap"]["plain"] + 0.03
    assert gap["gap"]["plain projected"] > gap["gap"]["plain"] + 0.03


def test_a_projection_is_a_mean_of_the_support_and_of_one_text_the_text() -> None:
    support, e = unit(5, 4), unit(2, 4, 1)
    weights = torch.softmax(e @ support.T / 0.1, dim=1)
    expected = torch.stack([sum(w * s for w, s in zip(row, support)) for row in weights])  # type: ignore[misc]
    assert torch.allclose(project(e, support, 0.1), F.normalize(expected, dim=1), atol=1e-6)
    assert torch.allclose(project(e, support[:1], 0.1), support[:1].expand(2, -1), atol=1e-6)


def test_the_gap_of_a_few_sounds_is_measured_and_sets_the_noise() -> None:
    space, said = HashedSpace(), captions_of_a_moment()[:8]
    t = space.encode_text(said.tolist())
    sounds = t + 0.4 * np.random.default_rng(0).normal(size=t.shape)
    pairs = Pairs(Domain(x=sounds.astype(np.float32)), Domain(x=said, kind="text"))
    method = AudioCaptioning(**SMALL, match_gap=True)
    method.fit(corpus=corpus(), encoder=space, classes=EVENTS, pairs=pairs)
    a = sounds / np.linalg.norm(sounds, axis=1, keepdims=True)
    assert method.gap_["matched"] == pytest.approx(float((a * t).sum(axis=1).mean()), abs=1e-5)
    assert method.gap_["means"] == pytest.approx(float(np.linalg.norm(a.mean(axis=0) - t.mean(axis=0))), abs=1e-5)
    assert method.gap_["expected"] == pytest.approx(method.gap_["matched"], abs=1e-5)
    with pytest.raises(ValueError, match="match_gap=True needs pairs"):
        AudioCaptioning(**SMALL, match_gap=True).fit(corpus=corpus(), encoder=space, classes=EVENTS)
    with pytest.raises(ValueError, match="pairs must hold finite vectors"):
        method.fit(corpus=corpus(), encoder=space, classes=EVENTS, pairs=pairs.replace(left=Domain(x=sounds[:, :3])))


# -- the decoder ---------------------------------------------------------------------------------------------------


def test_beam_1_is_greedy_and_stops_are_respected() -> None:
    method = AudioCaptioning(**{**SMALL, "beam": 1, "longest": 8}).fit(
        corpus=corpus(), encoder=HashedSpace(), classes=EVENTS
    )
    e = torch.as_tensor(HashedSpace().encode_text(captions_of_a_moment()[:6].tolist())).float()
    lm: Any = method.decoder_
    hard = HardPrompt(method.names_, method.bank_, method.labels, method.threshold, method.temperature)
    for i, found in enumerate(method.caption(e).tolist()):
        prompt = lm.prompt_ids(hard.text(hard.labels(e[i : i + 1])[0]))
        ids = [*prompt, *lm.start]
        said: list[int] = []
        with torch.no_grad():
            while len(said) < 8:
                x = torch.cat([method.soft_(e[i : i + 1])[0], lm.embed(torch.tensor([[*ids, *said]]))[0]])
                scores = lm(x[None])[0, -1].index_fill(0, torch.tensor(sorted(lm.never)), -torch.inf)
                token = int(scores.argmax())
                if token in lm.ends:
                    break
                said.append(token)
        assert found == lm.text(said)
        assert len(said) <= 8


def test_a_space_gets_no_gradient_and_the_given_decoder_stays_as_it_is() -> None:
    class Learnable(torch.nn.Module):
        name = "learnable"

        def __init__(self) -> None:
            super().__init__()
            self.map = torch.nn.Linear(16, 16)

        def encode_text(self, texts: Sequence[str]) -> Any:
            return self.map(torch.as_tensor(HashedSpace().encode_text(texts)).float()).detach().numpy()

        def encode_audio(self, waves: Any) -> Any:
            raise AssertionError

    space = Learnable()
    words = vocabulary(captions_of_a_moment().tolist(), EVENTS.names, least=1)
    model: Any = small_decoder(*words, width=16, layers=1, heads=2)
    before = copy.deepcopy(model.state_dict())
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=space, classes=EVENTS, model=model)
    assert all(p.grad is None for p in space.parameters())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert any(not torch.equal(value, before[key]) for key, value in method.decoder_.state_dict().items())


def test_a_frozen_decoder_rests_and_the_soft_prompt_alone_learns() -> None:
    words = vocabulary(captions_of_a_moment().tolist(), EVENTS.names, least=1)
    model: Any = small_decoder(*words, width=16, layers=1, heads=2)
    method = AudioCaptioning(**SMALL, frozen=True)
    method.fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS, model=model)
    assert all(torch.equal(a, b) for a, b in zip(method.decoder_.state_dict().values(), model.state_dict().values()))
    with pytest.raises(ValueError, match="frozen=True needs a model"):
        AudioCaptioning(**SMALL, frozen=True).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    with pytest.raises(ValueError, match="leaves nothing to learn"):
        method.set_params(prompts="hard").fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS, model=model)


def test_one_seed_gives_one_caption_and_a_saved_captioner_says_the_same(tmp_path: Path) -> None:
    x = torch.as_tensor(HashedSpace().encode_text(["a dog speaks in rain", "a bird"])).float()
    given: dict[str, Any] = {"corpus": corpus(), "encoder": HashedSpace(), "classes": EVENTS}
    said = [AudioCaptioning(**SMALL, random_state=7).fit(**given).caption(x).tolist() for _ in range(2)]
    assert said[0] == said[1]
    AudioCaptioning(**SMALL, random_state=7).fit(**given).save(tmp_path / "m")
    assert AudioCaptioning.load(tmp_path / "m").caption(x).tolist() == said[0]


def test_nearest_caption_and_keywords_need_no_decoder() -> None:
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    said = captions_of_a_moment()
    e = torch.as_tensor(HashedSpace().encode_text(said.tolist())).float()
    assert method.nearest(e).tolist() == said.tolist()
    names = [name for name, _ in method.events(e[:1])[0]]
    assert method.keywords(e[:1])[0] == f"the sound of {names[0]}, {names[1]} and {names[2]}"


def test_a_caption_in_training_is_no_caption_of_a_sound_that_is_asked_about() -> None:
    """The retrieval bank is the corpus and nothing else."""
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    assert method.captions_.tolist() == captions_of_a_moment().tolist()
    assert len(method.support_) == len(method.captions_)


def test_a_corpus_of_which_no_word_is_known_is_refused_before_its_texts_are_read() -> None:
    space = Spy()
    rare = AudioCaptioning(**{**SMALL, "least_count": 5})
    with pytest.raises(ValueError, match=r"of 2 captions it knows none \(least_count=5"):
        rare.fit(corpus=corpus(["xylophones glisten", "quartz hums"]), encoder=space, classes=EVENTS)
    assert space.texts == []


def test_a_beam_wider_than_the_vocabulary_captions() -> None:
    method = AudioCaptioning(**{**SMALL, "beam": 500}).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    assert method.caption(unit(2, 16)).shape == (2,)


def test_the_preset_of_the_paper_has_its_hard_prompt_search_and_warm_up() -> None:
    own = AudioCaptioning.card.presets["paper"]
    assert (own["temperature"], own["threshold"], own["length_penalty"]) == (0.01, 0.2, 0.0)
    assert own["warmup"] * 15 * 49_838 / 80 == pytest.approx(5000, rel=0.01)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"encoder": object()}, "encoder must have encode_text"),
        ({"corpus": corpus(["a dog", " "])}, "1 of 2 are empty"),
        ({"model": torch.nn.Linear(2, 2)}, "model must be a decoder"),
    ],
)
def test_what_cannot_be_is_named_before_work(changes: dict[str, Any], told: str) -> None:
    given = {"corpus": corpus(), "encoder": HashedSpace(), "classes": EVENTS, **changes}
    with pytest.raises((ValueError, TypeError), match=told):
        AudioCaptioning(**SMALL).fit(**given)


def test_sounds_of_another_width_and_zero_vectors_are_refused() -> None:
    method = AudioCaptioning(**SMALL).fit(corpus=corpus(), encoder=HashedSpace(), classes=EVENTS)
    with pytest.raises(ValueError, match=r"\(n, 16\)"):
        method.caption(torch.ones(2, 5))
    with pytest.raises(ValueError, match="not zero"):
        method.caption(torch.zeros(2, 16))
