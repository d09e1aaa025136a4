"""Every registered model keeps the promises of `bench check`, with all kinds of latents."""

from typing import Any

import pytest

from bench.check.model import PROMISES, ModelSubject
from bench.check.promises import FAILS, NOTE, SKIPPED, try_promises
from bench.models import MODELS, VAE
from bench.settings import parameters

# Latents by name of the kind; what a model does not take, it refuses by the name of the setting.
LATENTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "both": {"continuous": 3, "categorical": (3, 2)},
    "continuous": {"continuous": 4, "categorical": ()},
    "categorical": {"continuous": 0, "categorical": (5,)},
}
REFUSED = {
    "autoencoder": ("both", "categorical"),
    "cascadevae": ("both", "categorical"),
    "dipvae1": ("categorical",),
    "dipvae2": ("categorical",),
    "hfsvae": ("categorical",),
    "adagvae": ("categorical",),
    "adamlvae": ("categorical",),
    "qlae": ("both", "continuous"),
}
# In place of both kinds with two categories, for those that refuse that.
OWN_LATENTS: dict[str, dict[str, Any]] = {
    "cascadevae": {"continuous": 3, "categorical": (3,)},
    "qlae": {"continuous": 0, "categorical": (4, 3)},
}
SMALL = {"factorvae": {"hidden": 16, "layers": 2}}

TRAINED = [name for name, model in MODELS.items() if issubclass(model, VAE)]
TAKEN = [
    pytest.param(name, latents, id=f"{name}-{kinds}")
    for name in TRAINED
    for kinds, latents in LATENTS.items()
    if kinds not in REFUSED.get(name, ())
] + [pytest.param(name, latents, id=f"{name}-own") for name, latents in OWN_LATENTS.items()]
every_model = pytest.mark.parametrize("name", TRAINED)
every_model_and_latents = pytest.mark.parametrize(("name", "latents"), TAKEN)


def subject_of(name: str, **settings: Any) -> ModelSubject:
    subject = ModelSubject(MODELS[name], {**SMALL.get(name, {}), **settings})
    subject.shapes.append((1, 32, 32))
    return subject


def assert_promises_hold(subject: ModelSubject) -> None:
    findings = list(try_promises(PROMISES, subject, None))
    broken = [str(finding) for finding in findings if finding.mark in (FAILS, SKIPPED, NOTE)]
    assert broken == [], "\n".join(broken)


@every_model_and_latents
def test_a_model_keeps_its_promises(name: str, latents: dict[str, Any]) -> None:
    assert_promises_hold(ModelSubject(MODELS[name], {**SMALL.get(name, {}), **latents}))


def test_a_model_that_halves_its_batch_keeps_its_promises() -> None:
    assert_promises_hold(
        ModelSubject(MODELS["factorvae"], {**SMALL["factorvae"], "second_batch": True})
    )


def test_a_model_whose_encoder_is_made_deterministic_keeps_its_promises() -> None:
    assert_promises_hold(ModelSubject(MODELS["infovae"], {"deterministic": True}))


@pytest.mark.parametrize(
    ("name", "kinds"), [(name, kinds) for name in REFUSED for kinds in REFUSED[name]]
)
def test_latents_that_a_model_does_not_take_are_refused_by_name(name: str, kinds: str) -> None:
    with pytest.raises(ValueError, match=r"^(continuous|categorical)="):
        subject_of(name, **LATENTS[kinds]).build()


# What the suite's own models keep beyond the promises.


@every_model_and_latents
def test_terms_have_names_that_all_models_share(name: str, latents: dict[str, Any]) -> None:
    subject = subject_of(name, **latents)
    model = subject.build()
    posterior, terms = model.encode(subject.images), subject.objective(model).terms
    assert {"loss", "reconstruction"} <= terms.keys()
    assert (posterior.logvar is None) == model.deterministic
    if not model.deterministic:
        assert {"kl_continuous", "kl_categorical"} <= terms.keys()
        assert posterior.kl_continuous().shape == (model.latents.continuous,)
    assert posterior.kl_categorical().shape == (len(model.latents.categorical),)


@every_model
def test_every_setting_has_a_type(name: str) -> None:
    annotations = MODELS[name].__init__.__annotations__
    assert parameters(MODELS[name]).keys() <= annotations.keys()


@every_model
def test_no_parameter_is_frozen_and_optimizers_keep_the_order_of_the_players(name: str) -> None:
    model = subject_of(name).build()
    assert all(parameter.requires_grad for parameter in model.parameters())
    for player, optimizer in model.optimizers().items():
        moved = [id(p) for group in optimizer.param_groups for p in group["params"]]
        assert moved == [id(p) for p in model.players()[player]]
