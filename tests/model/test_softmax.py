import numpy as np
import pytest

from model.softmax import coordinates, solve, split_evenly, turned, unseen_logits


def noisy(n: int, dim: int, classes: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, dim)), np.arange(n) % classes


@pytest.mark.parametrize("strength", [10.0, 0.1])
@pytest.mark.parametrize("classes", [3, 5])
def test_the_weights_are_those_that_scikit_learn_finds(classes, strength):
    from sklearn.linear_model import LogisticRegression

    x, y = noisy(60, 12, classes)

    weights = solve(x, np.eye(classes)[y], strength, iterations=2000, close=1e-12)

    reference = LogisticRegression(C=1 / strength, tol=1e-10, max_iter=10_000).fit(x, y)
    np.testing.assert_allclose(weights[:-1].T, reference.coef_, atol=2e-3)
    np.testing.assert_allclose(weights[-1] - weights[-1].mean(), reference.intercept_, atol=2e-3)


def test_a_fit_in_the_span_of_the_labels_says_what_a_fit_in_all_dimensions_says():
    x, y = noisy(20, 300, 4)
    targets = np.eye(4)[y]

    numbers, basis = coordinates(x)
    small, large = (
        solve(numbers, targets, 1.0, iterations=2000, close=1e-12),
        solve(x, targets, 1.0, iterations=2000, close=1e-12),
    )

    assert numbers.shape == (20, 20)
    np.testing.assert_allclose(numbers @ basis, x, atol=1e-8)
    new = np.random.default_rng(1).normal(size=(50, 300))
    np.testing.assert_allclose(new @ basis.T @ small[:-1], new @ large[:-1], atol=1e-3)


def test_every_label_is_hidden_once_and_every_class_as_evenly_as_can_be():
    y = np.array([0] * 10 + [1] * 5 + [2] * 7)

    splits = list(split_evenly(y, 5))

    assert sorted(np.concatenate([hidden for _, hidden in splits])) == list(range(len(y)))
    for known, hidden in splits:
        assert not set(known) & set(hidden)
        assert np.bincount(y[hidden], minlength=3)[:2].tolist() == [2, 1]
        assert np.bincount(y[hidden], minlength=3)[2] in (1, 2)


def test_groups_are_never_torn_apart():
    groups = np.repeat(np.arange(8), [9, 1, 3, 3, 2, 2, 4, 4])
    y = groups % 2

    splits = list(split_evenly(y, 3, groups=groups))

    assert len(splits) == 3
    assert sorted(np.concatenate([hidden for _, hidden in splits])) == list(range(len(y)))
    for known, hidden in splits:
        assert not set(groups[known]) & set(groups[hidden])
        assert len(set(y[hidden])) == 2


def test_one_group_of_all_cannot_be_split():
    assert list(split_evenly(np.array([0, 1, 0, 1]), 2, groups=np.zeros(4, int))) == []


@pytest.mark.parametrize("strength", [100.0, 1.0, 0.1])
def test_a_fit_along_the_principal_axes_says_what_the_fit_said(strength):
    x, y = noisy(80, 30, 4)
    targets = np.eye(4)[y]
    axes = turned(x)

    plain, along = (solve(each[:50], targets[:50], strength, None, 2000, 1e-12) for each in (x, axes))

    lengths = (axes - axes.mean(axis=0)).std(axis=0)
    assert (np.diff(lengths) >= 0).all() or (np.diff(lengths) <= 0).all()
    np.testing.assert_allclose(axes[50:] @ along[:-1] + along[-1], x[50:] @ plain[:-1] + plain[-1], atol=5e-3)


def test_rough_fits_on_the_way_to_weaker_strengths_end_where_exact_ones_do():
    x, y = noisy(60, 40, 3)
    targets = np.eye(3)[y]
    splits = list(split_evenly(y, 3))

    strong, at_strong = unseen_logits(x, y, 10.0, splits)
    weak, at_weak = unseen_logits(x, y, 1.0, splits, at_strong)

    known, hidden = splits[0]
    for said, found, strength in ((strong, at_strong, 10.0), (weak, at_weak, 1.0)):
        exact = solve(x[known], targets[known], strength, iterations=2000, close=1e-12)
        np.testing.assert_allclose(found[0], exact, atol=2e-2)
        np.testing.assert_allclose(said[hidden], x[hidden] @ exact[:-1] + exact[-1], atol=2e-2)
