"""QLAE: values of its own for each latent, the loss, and what each part of it moves."""

from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.datasets import Toy
from bench.encode import encode, samples
from bench.models.qlae import QLAE
from tests.models import conftest
from tests.models.conftest import BATCH, PIXELS, Array, batch, generator, linear, objective

CPU = torch.device("cpu")
SIZES = (4, 3, 2)
C = len(SIZES)
# values and numbers are spread so that every latent uses several values
small = partial(conftest.small, QLAE, continuous=0, categorical=SIZES, seed=35, std=0.7)


def arrays(model: QLAE) -> dict[str, Array]:
    return {name: tensor.detach().numpy().copy() for name, tensor in model.state_dict().items()}


def codebooks(model: QLAE) -> list[Array]:
    return np.split(arrays(model)["values"], np.cumsum(SIZES)[:-1])


def quantised(model: QLAE, x: Tensor) -> tuple[Array, Array, Array]:
    """Numbers (B, C), the nearest values (B, C) and their indices (B, C), one by one."""
    numbers = linear(model.encoder[1], x.numpy().reshape(len(x), -1))
    values, indices = np.zeros_like(numbers), np.zeros(numbers.shape, dtype=int)
    for b in range(len(x)):
        for c, codebook in enumerate(codebooks(model)):
            indices[b, c] = min(
                range(len(codebook)), key=lambda s: abs(codebook[s] - numbers[b, c])
            )
            values[b, c] = codebook[indices[b, c]]
    return numbers, values, indices


def probabilities(model: QLAE, z: Array) -> Array:
    return 1 / (1 + np.exp(-linear(model.decoder[0], z)))


def test_the_fixture_uses_several_values_of_each_latent() -> None:
    _, _, indices = quantised(small(), batch())
    assert all(len(set(column)) > 1 for column in indices.T)


@pytest.mark.parametrize(("quantization", "commitment"), [(0.01, 0.01), (0.0, 0.3), (0.2, 0.0)])
def test_the_loss_is_the_authors_times_the_number_of_pixels(
    quantization: float, commitment: float
) -> None:
    model, x = small(quantization=quantization, commitment=commitment), batch()
    numbers, values, _ = quantised(model, x)
    p, pixels = probabilities(model, values), x.numpy().reshape(BATCH, -1)
    entropies = -(pixels * np.log(p) + (1 - pixels) * np.log(1 - p))
    # as in the authors' code: everything is a mean, over pixels and over latents
    theirs = entropies.mean() + (quantization + commitment) * np.mean((numbers - values) ** 2)

    given = objective(model, x)
    assert set(given.losses) == {"vae"}
    assert set(given.terms) == {"loss", "reconstruction", "squared_distance"}
    for loss in (given.losses["vae"], given.terms["loss"]):
        assert loss.shape == ()
        assert loss.item() == pytest.approx(PIXELS * theirs, rel=1e-12)
    assert given.terms["reconstruction"].item() == pytest.approx(entropies.sum() / BATCH, rel=1e-12)
    distance = given.terms["squared_distance"].item()
    assert distance == pytest.approx(np.mean((numbers - values) ** 2), rel=1e-12)
    assert distance > 0.01


def test_each_part_of_the_loss_moves_what_it_should() -> None:
    """Straight-through: the decoder's gradient at the value becomes that of the number.

    Only the quantisation loss moves the values; reconstruction and commitment move the numbers.
    """
    model, x = small(quantization=0.2, commitment=0.3), batch()
    numbers, values, indices = quantised(model, x)
    objective(model, x).losses["vae"].backward()

    p, pixels = probabilities(model, values), x.numpy().reshape(BATCH, -1)
    at_value = (p - pixels) @ arrays(model)["decoder.0.weight"] / BATCH
    pulled = 2 * PIXELS * (numbers - values) / (BATCH * C)
    of_numbers = at_value + 0.3 * pulled
    of_bias, of_values = model.encoder[1].bias.grad, model.values.grad
    assert of_bias is not None
    assert of_values is not None
    np.testing.assert_allclose(of_bias.numpy(), of_numbers.sum(0), rtol=1e-10)

    expected = [np.zeros(size) for size in SIZES]
    for b in range(BATCH):
        for c in range(C):
            expected[c][indices[b, c]] -= 0.2 * pulled[b, c]
    np.testing.assert_allclose(of_values.numpy(), np.concatenate(expected), rtol=1e-10)
    assert np.concatenate(expected).any()


def test_a_batch_shown_twice_gives_the_same_terms() -> None:
    model, x = small(), batch()
    once, twice = objective(model, x).terms, objective(model, torch.cat([x, x])).terms
    for name, term in once.items():
        assert twice[name].item() == pytest.approx(term.item(), rel=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_latent_is_a_category_of_probability_one(dtype: torch.dtype) -> None:
    model, x = small().to(dtype), batch().to(dtype)
    _, _, indices = quantised(model, x)
    posterior = model.encode(x)
    assert posterior.mean.shape == (BATCH, 0)
    assert posterior.mean.dtype == dtype
    assert posterior.logvar is None
    assert np.array_equal(posterior.categories().numpy(), indices)
    for logits, size, index in zip(posterior.logits, SIZES, indices.T, strict=True):
        assert np.array_equal(logits.softmax(-1).numpy(), np.eye(size)[index])
    assert posterior.kl_categorical().tolist() == pytest.approx(np.log(SIZES), rel=1e-6)
    assert torch.equal(posterior.sample(generator()), posterior.mode())


def test_a_number_midway_between_two_values_takes_the_first() -> None:
    model = small()
    with torch.no_grad():
        model.values.copy_(torch.tensor([1.0, 0.0, 3.0, 1.0, -1.0, 0.0, 1.0, 0.0, 2.0]))
    number = torch.tensor([[0.5, -0.5, 1.0], [2.0, 0.5, 1e4], [-1e4, -0.51, 0.99]])
    assert model.nearest(number.double()).tolist() == [[0, 0, 0], [0, 1, 1], [1, 0, 0]]


def test_a_code_is_decoded_to_the_values_it_names() -> None:
    model, x = small(), batch()
    _, values, _ = quantised(model, x)
    shaped = model.decoder(torch.from_numpy(values))
    torch.testing.assert_close(model.decode(model.encode(x).mode()), shaped, rtol=1e-12, atol=0)
    # a traversal of the second latent, and a blend of two of its values
    books = codebooks(model)
    z = torch.zeros(4, sum(SIZES), dtype=torch.float64)
    z[:, 0] = z[:, 7] = 1
    z[0, 4] = z[1, 5] = z[2, 6] = 1
    z[3, 4:6] = torch.tensor([0.25, 0.75])
    second = [*books[1], 0.25 * books[1][0] + 0.75 * books[1][1]]
    expected = torch.tensor([[books[0][0], value, books[2][0]] for value in second])
    torch.testing.assert_close(model.decode(z), model.decoder(expected.double()))


def test_the_decoder_of_training_gets_what_a_code_decodes_to() -> None:
    model, x = small(), batch()
    again = model.reconstruction(x, model.decode(model.encode(x).mode()))
    given = objective(model, x).terms["reconstruction"]
    assert given.item() == pytest.approx(again.item(), rel=1e-12)


def test_both_networks_have_one_number_per_latent_and_values_start_evenly_spaced() -> None:
    model = QLAE(image_shape=(1, 32, 32), categorical=(5, 3))
    assert model.encoder(torch.zeros(2, 1, 32, 32)).shape == (2, 2)
    assert model.decoder(torch.zeros(2, 2)).shape == (2, 1, 32, 32)
    expected = [-0.5, -0.25, 0, 0.25, 0.5, -0.5, 0, 0.5]
    assert model.values.tolist() == pytest.approx(expected)
    default = QLAE()
    assert default.latents.blocks == [10] * 10
    assert default.values.shape == (100,)


def test_both_networks_have_the_initialisation_of_the_setting() -> None:
    model = QLAE(image_shape=(1, 32, 32), initialisation="he")
    biases = [p for name, p in model.named_parameters() if name.endswith("bias")]
    assert biases
    assert not any(p.any() for p in biases)


def test_weights_decay_and_biases_and_values_do_not() -> None:
    model = small(lr=0.01, weight_decay=0.1)
    parameters = model.players()["vae"]
    assert {id(p) for p in parameters} == {id(p) for p in model.parameters()}
    assert len(parameters) == 5
    optimizer = model.optimizers()["vae"]
    moved = [p for group in optimizer.param_groups for p in group["params"]]
    assert all(p is q for p, q in zip(moved, parameters, strict=True))
    before = arrays(model)
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, after in arrays(model).items():
        share = 1 - 0.01 * 0.1 if name.endswith("weight") else 1
        np.testing.assert_allclose(after, share * before[name], rtol=1e-12, err_msg=name)


def test_codes_and_pictures_of_categories_alone() -> None:
    data, rows = Toy(image_size=32), np.arange(0, 576, 2)
    torch.manual_seed(0)
    model = QLAE(image_shape=(1, 32, 32), categorical=(5, 3))
    representation = encode(model, data, rows, CPU).representation
    assert representation.codes.shape == (288, 0)
    assert representation.category_sizes == (5, 3)
    assert representation.logvar is None
    assert representation.kl is None
    assert representation.probabilities is not None
    assert set(np.unique(representation.probabilities)) == {0, 1}
    pictures = samples(model, data, rows, representation.codes, CPU)
    assert len(pictures["c1"]) == 5
    assert len(pictures["c2"]) == 3


@pytest.mark.parametrize("far", [1e4, -1e4])
def test_extreme_numbers_leave_loss_and_gradients_finite(far: float) -> None:
    model, x = small().float(), batch().float()
    with torch.no_grad():
        model.encoder[1].bias.fill_(far)
    loss = objective(model, x).losses["vae"]
    loss.backward()
    assert loss.isfinite()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"continuous": 2}, "continuous=2.*set continuous=0"),
        ({"continuous": 2, "categorical": ()}, "continuous=2.*categorical"),
        ({"categorical": ()}, "at least one latent"),
        ({"categorical": (1, 3)}, "size"),
        ({"quantization": -1.0}, "quantization"),
        ({"commitment": -1.0}, "commitment"),
        ({"weight_decay": -0.1}, "weight_decay"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message) as error:
        QLAE(image_shape=(1, 32, 32), **settings)
    assert "\n" not in str(error.value)
