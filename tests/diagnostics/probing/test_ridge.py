import torch

from rtdetr_nb.diagnostics.probing.ridge import fit_ridge


def draw(count: int, dimensions: int, classes: int, seed: int = 0, noise: float = 0.5):
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % classes
    means = torch.randn(classes, dimensions, generator=generator, dtype=torch.float64)
    samples = means[labels]
    samples = samples + noise * torch.randn(samples.shape, generator=generator, dtype=torch.float64)
    return samples - samples.mean(dim=0), labels


def primal_scores(samples, labels, classes, strength, asked):
    """Ridge as in the textbook, with an intercept that is not penalised."""
    mean, wanted = samples.mean(dim=0), torch.nn.functional.one_hot(labels, classes).double()
    centred = samples - mean
    penalty = strength * (samples @ samples.T).diagonal().mean()
    gram = centred.T @ centred + penalty * torch.eye(samples.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(gram, centred.T @ (wanted - wanted.mean(dim=0)))
    return (asked - mean) @ weight + wanted.mean(dim=0)


def test_it_is_the_textbooks_ridge():
    samples, labels = draw(40, 6, 3)
    asked, _ = draw(20, 6, 3, seed=5)
    fitted = fit_ridge(samples, labels, 3)
    scores = asked @ fitted.samples.T @ fitted.coefficients + fitted.offset
    wanted = primal_scores(samples, labels, 3, fitted.strength, asked)
    torch.testing.assert_close(scores, wanted, rtol=1e-8, atol=1e-8)
    assert torch.equal(fitted.predict(asked), wanted.argmax(dim=1))


def test_the_penalty_is_the_one_that_leaving_out_one_by_one_finds_best():
    samples, labels = draw(30, 60, 3, noise=3.0)
    best = (-1.0, 0.0)
    # The penalty is relative to the mean squared length, which leaving one out changes a little.
    whole = (samples @ samples.T).diagonal().mean()
    for strength in torch.logspace(-4, 2, 13, dtype=torch.float64).tolist():
        right = 0
        for index in range(len(samples)):
            kept = torch.arange(len(samples)) != index
            rest = samples[kept]
            scaled = strength * whole / (rest @ rest.T).diagonal().mean()
            scores = primal_scores(rest, labels[kept], 3, scaled, samples[index : index + 1])
            right += int(scores.argmax() == labels[index])
        best = max(best, (right / len(samples), strength))
    assert 1 / 3 < best[0] < 1.0  # neither trivial nor hopeless, so the choice means something
    assert fit_ridge(samples, labels, 3).strength == best[1]


def test_new_samples_of_well_separated_classes_are_named():
    samples, labels = draw(200, 300, 4)
    fitted = fit_ridge(samples[:100], labels[:100], 4)
    assert (fitted.predict(samples[100:]) == labels[100:]).all()


def test_labels_without_relation_are_not_found():
    samples, _ = draw(300, 50, 4)
    labels = torch.randint(0, 4, (300,), generator=torch.Generator().manual_seed(3))
    fitted = fit_ridge(samples[:200], labels[:200], 4)
    assert (fitted.predict(samples[200:]) == labels[200:]).double().mean() < 0.45


def test_constant_samples_name_the_most_frequent_class():
    labels = torch.tensor([0, 1, 1, 1])
    fitted = fit_ridge(torch.zeros(4, 5), labels, 2)
    assert fitted.predict(torch.zeros(2, 5, dtype=torch.float64)).tolist() == [1, 1]
