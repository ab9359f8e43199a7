import subprocess
import sys
import time

import numpy as np
import pytest

from model.errors import BadInput, TooFewLabels
from model.evaluate import colour_histogram
from model.interval import wilson
from model.probe import Probe, assess, fit_probe
from model.strength import STRENGTHS, USUAL, Choice, usual
from tests.pictures import labelled_views


def clusters(counts: dict[str, int], dim: int = 32, noise: float = 0.1, seed: int = 0) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around one direction per class. The directions depend on the order of `counts`, not on `seed`."""
    centres = np.random.default_rng(99).normal(size=(len(counts), dim))
    rng = np.random.default_rng(seed)
    sizes = zip(centres, counts.values(), strict=True)
    rows = [centre + noise * dim**0.5 * rng.normal(size=(n, dim)) for centre, n in sizes]
    vectors = np.concatenate(rows).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [
        name for name in counts for _ in range(counts[name])
    ]


@pytest.mark.parametrize("each", [1, 2, 3, 8])
def test_separate_classes_are_told_apart_from_so_many_labels(each):
    vectors, labels = clusters({"dog": each, "cat": each, "ant": each})
    new, truth = clusters({"dog": 50, "cat": 50, "ant": 50}, seed=1)

    probe = fit_probe(vectors, labels)

    assert probe.classes == ("ant", "cat", "dog")
    said = np.array(probe.classes)[probe.probabilities(new).argmax(axis=1)]
    assert (said == truth).mean() > 0.97


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")], ids=["two classes", "three classes"])
def test_probabilities_are_positive_and_sum_to_one(names):
    probe = fit_probe(*clusters(dict.fromkeys(names, 5)))

    probabilities = probe.probabilities(clusters(dict.fromkeys(names, 40), seed=1)[0])

    assert probabilities.shape == (40 * len(names), len(names))
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_two_classes_have_the_probabilities_that_scikit_learn_gives():
    from sklearn.linear_model import LogisticRegression

    vectors, labels = clusters({"a": 10, "b": 10}, noise=0.8)
    spread = np.sqrt(((vectors - vectors.mean(axis=0)) ** 2).sum(axis=1).mean())

    probe = fit_probe(vectors, labels, strength=0.1)
    reference = LogisticRegression(C=2 * 10 / spread**2, tol=1e-8, max_iter=5000).fit(
        vectors.astype(np.float64), labels
    )

    # A softmax of two classes has two rows of weights and each bears half of every difference, so λ counts half.
    # Our logits are the reference's times one temperature: the same line through every picture, the same 0.
    ours, theirs = np.log(probe.probabilities(vectors)), np.log(reference.predict_proba(vectors))
    ratio = (ours[:, 1] - ours[:, 0]) / (theirs[:, 1] - theirs[:, 0])
    assert ratio.min() > 0
    np.testing.assert_allclose(ratio, np.median(ratio), rtol=0.02)


def test_the_order_of_labels_does_not_change_the_classes_or_the_answers():
    vectors, labels = clusters({"b": 6, "a": 6, "c": 6}, noise=0.3)
    order = np.random.default_rng(0).permutation(len(labels))

    one, other = fit_probe(vectors, labels), fit_probe(vectors[order], [labels[i] for i in order])

    assert one.classes == other.classes == ("a", "b", "c")
    assert (one.probabilities(vectors).argmax(axis=1) == other.probabilities(vectors).argmax(axis=1)).all()


def test_the_same_labels_give_the_same_probe():
    vectors, labels = clusters({"a": 6, "b": 6}, noise=0.5)

    assert fit_probe(vectors, labels).to_bytes() == fit_probe(vectors, labels).to_bytes()


def test_vectors_that_lie_close_together_are_told_apart_all_the_same():
    vectors, labels = clusters({"a": 8, "b": 8})
    close = vectors * 0.01 + np.eye(1, vectors.shape[1])  # cosines above 0.999, as of an untrained network
    close = (close / np.linalg.norm(close, axis=1, keepdims=True)).astype(np.float32)

    probe = fit_probe(close, labels)

    assert (np.array(probe.classes)[probe.probabilities(close).argmax(axis=1)] == labels).all()


def test_equal_vectors_give_every_class_its_share_instead_of_failing():
    probe = fit_probe(np.ones((8, 4), np.float32) / 2, ["a", "b"] * 4)

    np.testing.assert_allclose(probe.probabilities(np.ones((1, 4), np.float32) / 2), 0.5, atol=1e-3)


def test_labels_without_meaning_are_not_believed():
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(400, 64)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = rng.choice(["a", "b"], 400).tolist()

    probe = fit_probe(vectors[:100], labels[:100])

    assert probe.probabilities(vectors[100:]).max(axis=1).mean() < 0.65


def test_real_pictures_are_told_apart_better_than_by_chance():
    pixels, labels = labelled_views(("cat", "coffee", "galaxies"), 12)
    vectors = colour_histogram(list(pixels))

    quality = assess(vectors, labels)

    assert quality.interval[0] > 0.5
    assert quality.confusion.sum() == quality.labels == 36


def test_a_probe_comes_back_from_its_bytes():
    vectors, labels = clusters({"naïve ☃": 4, "b": 4, "c": 4})
    probe = fit_probe(vectors, labels)

    again = Probe.from_bytes(probe.to_bytes())

    assert (again.classes, again.strength) == (probe.classes, probe.strength)
    assert (again.probabilities(vectors) == probe.probabilities(vectors)).all()


@pytest.mark.parametrize("change", [lambda d: b"", lambda d: d[:50], lambda d: b"\x80\x04K\x01.", lambda d: d[::-1]])
def test_bytes_that_are_no_probe_are_refused(change):
    data = fit_probe(*clusters({"a": 2, "b": 2})).to_bytes()

    with pytest.raises(BadInput, match="fit it again"):
        Probe.from_bytes(change(data))


@pytest.mark.parametrize(
    ("labels", "words"),
    [([], "at least two classes"), (["cat", "cat"], r"at least two classes \(2 of 'cat' so far\)")],
    ids=["none", "one class"],
)
def test_one_class_is_not_enough_and_the_message_says_so(labels, words):
    with pytest.raises(TooFewLabels, match=words):
        fit_probe(np.ones((len(labels), 4), np.float32), labels)


def test_a_class_with_one_label_is_named_where_its_quality_is_asked_for():
    vectors, labels = clusters({"cat": 1, "dog": 5, "emu": 1})

    with pytest.raises(TooFewLabels, match=r"at least 1 more of 'cat' and 1 more of 'emu'\."):
        assess(vectors, labels)


def test_a_class_with_its_first_label_leaves_the_figures_of_the_others_as_they_are():
    vectors, labels = clusters({"a": 12, "b": 12, "new": 1}, noise=0.6)

    quality = assess(vectors, labels)
    without = assess(vectors[:24], labels[:24])

    assert quality.lacking == {"new": "To measure how good 'new' is, label 1 more picture of it."}
    assert quality.labels == 24
    assert quality.judged.tolist() == [True] * 24 + [False]
    assert quality.accuracy == pytest.approx(without.accuracy, abs=0.1)
    assert quality.confusion.sum(axis=1).tolist() == [12, 12, 0]


def test_a_class_that_is_one_burst_is_learnt_and_not_judged():
    vectors, labels = clusters({"a": 8, "b": 8, "burst": 4})
    groups = np.array([*range(16), 20, 20, 20, 20])

    quality = assess(vectors, labels, groups=groups)

    assert quality.lacking == {"burst": "All pictures labelled 'burst' show the same thing."}
    assert (quality.labels, quality.accuracy) == (16, 1.0)


def test_a_class_with_few_labels_does_not_cost_the_others_folds():
    vectors, labels = clusters({"a": 9, "b": 3})

    quality = assess(vectors, labels, folds=5)

    assert quality.folds == 5
    assert quality.classes == ("a", "b")
    np.testing.assert_array_equal(quality.confusion, [[9, 0], [0, 3]])
    assert quality.accuracy == 1.0
    assert quality.interval == (pytest.approx(0.7575, abs=1e-3), 1.0)


def test_confusion_has_the_truth_in_rows():
    vectors, labels = clusters({"a": 20, "b": 20})
    labels[:5] = ["b"] * 5  # five pictures of a, called b by mistake: the probe will say a

    quality = assess(vectors, labels)

    assert quality.confusion[1, 0] >= 4
    assert quality.confusion.sum(axis=1).tolist() == [15, 25]


def test_accuracy_on_meaningless_labels_is_chance_within_its_interval():
    rng = np.random.default_rng(3)
    vectors = rng.normal(size=(120, 16)).astype(np.float32)

    quality = assess(vectors, rng.choice(["a", "b"], 120).tolist())

    assert quality.interval[0] < 0.5 < quality.interval[1]


@pytest.mark.parametrize(
    ("right", "total", "interval"),
    [(0, 10, (0.0, 0.2775)), (5, 10, (0.2366, 0.7634)), (81, 263, (0.2553, 0.3662))],
)
def test_wilson_gives_the_published_intervals(right, total, interval):
    # The last is the worked example of Newcombe 1998, table I, method 3; the others are R's prop.test(correct=FALSE).
    assert wilson(right, total) == pytest.approx(interval, abs=1e-4)


def test_an_interval_holds_what_it_is_of_at_the_ends_too():
    assert {wilson(n, n)[1] for n in range(1, 300)} == {1.0}
    assert {wilson(0, n)[0] for n in range(1, 300)} == {0.0}


def test_numbers_of_vectors_and_labels_must_agree():
    with pytest.raises(BadInput, match="3 vectors cannot go with 2 labels"):
        fit_probe(np.ones((3, 4), np.float32), ["a", "b"])


def test_fitting_two_hundred_labels_is_quick():
    vectors, labels = clusters({str(number): 20 for number in range(10)}, dim=512, noise=0.2)
    fit_probe(vectors, labels)  # imports scikit-learn

    start = time.process_time()
    fit_probe(vectors, labels)

    assert time.process_time() - start < 1.0  # 0.3 s on a quiet core


def test_importing_the_probe_is_quick_because_scikit_learn_comes_later():
    code = "import sys, model.probe; print('sklearn' in sys.modules, 'torch' in sys.modules)"

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.strip() == "False False"


def test_a_fit_that_goes_on_from_an_earlier_probe_says_what_a_new_one_says():
    vectors, labels = clusters({"a": 10, "b": 10, "c": 10}, noise=0.5)
    few = fit_probe(vectors[:19], labels[:19])  # does not know c yet

    again = fit_probe(vectors, labels, choice=Choice(0.01, 0.5), start=few)
    anew = fit_probe(vectors, labels, choice=Choice(0.01, 0.5))

    np.testing.assert_allclose(again.probabilities(vectors), anew.probabilities(vectors), atol=5e-3)


def test_few_labels_are_trusted_less_and_many_as_far_as_serves_most_encoders():
    strengths = [usual(labels, 10).strength for labels in (10, 20, 50, 200, 5000)]

    assert strengths[0] == 1.0
    assert strengths == sorted(strengths, reverse=True)
    assert strengths[-2:] == [USUAL, USUAL]
    vectors, labels = clusters({"a": 1, "b": 1})
    assert fit_probe(vectors, labels).strength == 1.0
    assert usual(0, 0).strength == 1.0  # before the first label it is asked for all the same


def test_the_choice_made_last_serves_new_labels_at_once():
    vectors, labels = clusters({str(number): 20 for number in range(10)}, dim=512, noise=0.2)
    chosen = fit_probe(vectors, labels)

    start = time.process_time()
    again = fit_probe(vectors, labels, choice=chosen.choice, start=chosen)

    assert time.process_time() - start < 0.1  # 10 ms on a quiet core
    assert again.choice == chosen.choice


def test_a_probe_knows_whether_how_sure_it_is_was_measured_or_guessed():
    one, two = (fit_probe(*clusters(dict.fromkeys("abc", count))) for count in (1, 2))

    assert (one.measured, two.measured) == (False, True)
    assert [Probe.from_bytes(each.to_bytes()).measured for each in (one, two)] == [False, True]


def test_probabilities_say_how_often_they_are_right():
    vectors, labels = clusters({str(number): 20 for number in range(5)}, noise=0.5)
    new, truth = clusters({str(number): 400 for number in range(5)}, noise=0.5, seed=1)

    probe = fit_probe(vectors, labels)

    p = probe.probabilities(new)
    right = np.array(probe.classes)[p.argmax(axis=1)] == truth
    assert 0.7 < right.mean() < 0.99
    assert p.max(axis=1).mean() == pytest.approx(right.mean(), abs=0.05)


@pytest.mark.parametrize("noise", [0.05, 0.3, 0.8])
def test_the_choice_is_the_best_of_all_strengths_though_most_are_never_tried(noise):
    vectors, labels = clusters({str(number): 12 for number in range(4)}, noise=noise)
    chosen = fit_probe(vectors, labels).strength

    losses = {}
    for strength in STRENGTHS:  # each by fits to the end, on the same folds
        quality = assess(vectors, labels, strength=float(strength))
        y = np.array([quality.classes.index(name) for name in labels])
        losses[float(strength)] = -np.log(quality.unseen[np.arange(len(y)), y]).mean()

    assert min(abs(np.log10(chosen / each)) for each in STRENGTHS) < 1e-9
    far = 0.02 * abs(np.log10(chosen / min(losses, key=losses.get))) * (50 / len(labels)) ** 0.5  # what doubt may cost
    assert losses[chosen] <= min(losses.values()) + far + 0.02


def test_a_new_class_with_its_first_label_does_not_make_the_others_unsure():
    known = dict.fromkeys("abcdefgh", 15)
    vectors, labels = clusters({**known, "i": 1})
    new, truth = clusters({**known, "i": 0}, seed=1)

    before = fit_probe(vectors[:-1], labels[:-1]).probabilities(new)
    probe = fit_probe(vectors, labels)

    after = probe.probabilities(new)
    assert probe.classes == tuple("abcdefghi")
    assert (np.array(probe.classes)[after.argmax(axis=1)] == truth).all()
    assert before.max(axis=1).mean() > 0.95
    assert after.max(axis=1).mean() > 0.9
