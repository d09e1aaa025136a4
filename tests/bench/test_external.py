"""Other people's networks: what they may give, what is refused, and how they enter a study."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import Tensor, nn

from bench.build import build_data, build_model
from bench.encode import encode
from bench.errors import RequestError
from bench.external import ExternalEncoder, weights_digest, wrap
from bench.models import BetaVAE, Posterior
from bench.plan import Plan, Request, plan
from bench.report.pictures import Information, draw_run
from bench.report.table import comparison
from bench.store.files import read_json
from bench.store.record import read_record
from bench.store.representation import read_representation, read_rows
from bench.store.study import write_study
from bench.worker import Job, run_job

SHAPE = (1, 32, 32)
CPU = torch.device("cpu")

MINE = """
import torch
from torch import nn

net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4))
nothing = {"a": 1}


class Net(nn.Module):
    def __init__(self, image_shape, *, width: int = 8, latents=3, activation=nn.ReLU):
        super().__init__()
        pixels = image_shape[0] * image_shape[1] * image_shape[2]
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(pixels, width), activation(), nn.Linear(width, 2 * latents)
        )
        self.first = self.layers[1].weight[0, 0].item()  # which a tensor without memory has not

    def encode(self, x):
        return self.layers(x).chunk(2, -1)

    def forward(self, x):
        raise RuntimeError("not to be called")


def tied():
    layer = nn.Linear(8, 8)
    return nn.Sequential(nn.Flatten(), nn.Linear(1024, 8), layer, nn.Tanh(), layer)


def loaded():
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    net.load_state_dict(torch.load("net.pt", weights_only=True))
    return net


def maps():
    return nn.Conv2d(1, 4, 4)


def larger():
    return nn.Sequential(nn.Flatten(), nn.Linear(4096, 4))


def picky(image_shape):
    raise ValueError("images of 64 pixels only")


class Slots(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1024, 8)

    def encode(self, x):
        return self.layer(x.flatten(1)).reshape(-1, 4, 2)


def needy(width):
    return net


def number():
    return 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(MINE)
    return tmp_path


@pytest.fixture
def x() -> Tensor:
    return torch.rand(5, *SHAPE, generator=torch.Generator().manual_seed(0))


class Gives(nn.Module):
    """Gives what a function makes of seven numbers an image."""

    def __init__(self, make: Callable[[Tensor], Any]) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.linear = nn.Linear(1024, 7)
        self.make = make

    def forward(self, x: Tensor) -> Any:
        return self.make(self.linear(x.flatten(1)))


def planned(name: str, **given: Any) -> Plan:
    asked = {"dataset": "toy", "preset": "smoke", "seeds": "1", "metrics": "mig", **given}
    return plan(Request(models=f"./mine.py:{name}", **asked))


def carried_out(asked: Plan) -> Path:
    """The folder of a plan's one run, which is carried out in this process."""
    write_study(asked.folder, asked.study)
    (run,) = asked.runs
    folder = asked.folder / "runs" / run.folder
    status = run_job(Job(run, folder, asked.definitions))
    assert status.state in ("done", "collapsed"), status.message
    return folder


# what a network gives

_ONE = "one tensor, taken for the codes of"
_FIRST = "the first tensor, taken for the means of 2 codes"
_MEAN = "mean, taken for the means of 2 codes"
_LOG = "taken for their log variances"


@pytest.mark.parametrize(
    ("make", "logvar", "sizes", "found"),
    [
        (lambda h: h[:, :2], False, (), f"{_ONE} 2 latents without log variances"),
        (lambda h: (h[:, :2], h[:, 2:4]), True, (), f"{_FIRST}; the second, {_LOG}"),
        (lambda h: [h[:, :2], h[:, 2:4]], True, (), f"{_FIRST}; the second, {_LOG}"),
        (
            lambda h: (h[:, :2], h[:, 2:4], [h[:, 4:]]),
            True,
            (3,),
            f"{_FIRST}; the second, {_LOG}; the third part, taken for the logits of categories (3)",
        ),
        (
            lambda h: (h[:, :2], None, (h[:, 2:4], h[:, 4:])),
            False,
            (2, 3),
            f"{_FIRST}; no log variances; the third part, taken for the logits of categories "
            "(2, 3)",
        ),
        (lambda h: {"mean": h[:, :2]}, False, (), f"{_MEAN}; no log variances"),
        (
            lambda h: {"mean": h[:, :2], "logvar": h[:, 2:4], "logits": h[:, 4:]},
            True,
            (3,),
            f"{_MEAN}; logvar, {_LOG}; logits, taken for the logits of categories (3)",
        ),
        (
            lambda h: (h[:, :2, None], h[:, 2:4, None]),  # latents of one column are numbers
            True,
            (),
            f"{_FIRST}; the second, {_LOG}",
        ),
        (
            lambda h: Posterior(h[:, :2], h[:, 2:4], (h[:, 4:],)),
            True,
            (3,),
            f"{_MEAN}; logvar, {_LOG}; logits, taken for the logits of categories (3)",
        ),
    ],
)
def test_codes_and_what_goes_with_them(
    make, logvar: bool, sizes: tuple, found: str, x: Tensor
) -> None:
    net = Gives(make)
    model = ExternalEncoder(net, SHAPE)
    assert model.found == f"the network itself returns {found}"
    assert (model.latents.continuous, model.latents.categorical) == (2, sizes)
    posterior = model.encode(x)
    h = net.linear(x.flatten(1))
    assert torch.equal(posterior.mean, h[:, :2])
    assert (posterior.logvar is not None) == logvar
    if posterior.logvar is not None:
        assert torch.equal(posterior.logvar, h[:, 2:4])
    for logits, size in zip(posterior.logits, sizes, strict=True):
        assert tuple(logits.shape) == (5, size)
    if sizes:
        assert torch.equal(posterior.logits[-1], h[:, 4:])


def test_latents_that_are_vectors(x: Tensor) -> None:
    net = Gives(lambda h: h[:, :6].reshape(-1, 2, 3))
    model = ExternalEncoder(net, SHAPE)
    codes = "one tensor, taken for the codes of 2 latents of 3 columns each without log variances"
    assert model.found == f"the network itself returns {codes}"
    assert model.groups == (3, 3)
    assert torch.equal(model.encode(x).mean, net.linear(x.flatten(1))[:, :6])
    assert ExternalEncoder(Gives(lambda h: h), SHAPE).groups is None

    with_noise = ExternalEncoder(Gives(lambda h: (net.make(h), net.make(h), [h[:, 5:]])), SHAPE)
    data = build_data("toy", {"image_size": 32}, None)
    r = encode(with_noise, data, np.arange(60), CPU).representation
    assert (r.groups, r.latents, r.codes.shape) == ((3, 3), 3, (60, 6))
    assert r.kl is not None
    mean, logvar = r.codes.astype(float), r.logvar.astype(float)
    kl = 0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(axis=0)
    np.testing.assert_allclose(r.kl[:2], kl.reshape(2, 3).sum(axis=1), rtol=1e-4)


def test_categories_alone(x: Tensor) -> None:
    model = ExternalEncoder(Gives(lambda h: {"logits": [h[:, :3], h[:, 3:]]}), SHAPE)
    assert (model.latents.continuous, model.latents.categorical) == (0, (3, 4))
    assert tuple(model.encode(x).mean.shape) == (5, 0)


def test_encode_is_asked_before_the_encoder_and_that_before_the_network(x: Tensor) -> None:
    net = Gives(lambda h: h[:, :1])
    assert ExternalEncoder(net, SHAPE).latents.continuous == 1
    net.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, 2))
    assert ExternalEncoder(net, SHAPE).latents.continuous == 2
    net.encode = lambda x: net.linear(x.flatten(1))[:, :3]
    assert ExternalEncoder(net, SHAPE).latents.continuous == 3
    net.encode = True  # an attribute of that name that is no function
    assert ExternalEncoder(net, SHAPE).latents.continuous == 2


def test_one_of_the_suites_models_with_weights_of_somebodys_own(x: Tensor) -> None:
    trained = BetaVAE(image_shape=SHAPE, continuous=2, categorical=(3,))
    posterior = wrap(lambda: trained, {}, SHAPE).encode(x)
    assert torch.equal(posterior.mean, trained.encode(x).mean)
    assert torch.equal(posterior.logits[0], trained.encode(x).logits[0])


def test_images_come_in_the_type_of_the_network(x: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3)).double()
    codes = ExternalEncoder(net, SHAPE).encode(x).mean
    assert codes.dtype == torch.float32
    assert torch.equal(codes, net(x.double()).float())


def test_codes_do_not_depend_on_the_other_images_of_a_batch(x: Tensor) -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(1024, 3), nn.BatchNorm1d(3), nn.Dropout(0.5))
    model = ExternalEncoder(net.train(), SHAPE)
    # Nor have the zeros that tell the latents moved its running mean.
    assert torch.equal(net[2].running_mean, torch.zeros(3))
    torch.testing.assert_close(model.encode(x).mean[:2], model.encode(x[:2]).mean)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda h: h[:, :, None, None], "a 4-dimensional tensor (3, 7, 1, 1) for 3 images: flatt"),
        (lambda h: h[0], "a 1-dimensional tensor (7,) for 3 images"),
        (lambda h: h[:2], "a 2-dimensional tensor (2, 7) for 3 images"),
        (lambda h: h.argmax(-1, keepdim=True), "are torch.int64: give codes as floats, categories"),
        (
            lambda h: (h[:, :6].reshape(-1, 2, 3), h[:, :6]),
            "its mean and logvar are (3, 2, 3) and (3, 6): let both be (B, D)",
        ),
        (lambda h: (h, h[:, :2]), "its mean and logvar are (3, 7) and (3, 2): let both be (B, D)"),
        (lambda h: (h, h, h), "it returns 3 things (Tensor, Tensor, Tensor): let it return codes"),
        (lambda h: {"z": h}, "it returns a mapping with z: let it return codes"),
        (lambda h: {}, "its codes are a NoneType, no tensor: let it return codes"),
        (lambda h: h.tolist(), "its codes are a list, no tensor: let it return codes"),
        (lambda h: (h, None, [h[:, :1]]), "each size must be at least 2"),
        (lambda h: h @ h, "encoding images (B, 1, 32, 32) raises RuntimeError: mat1 and mat2"),
    ],
)
def test_what_cannot_be_scored_is_refused(make, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)) as refused:
        ExternalEncoder(Gives(make), SHAPE)
    assert "\n" not in str(refused.value)


# in a plan


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "is no subclass of bench.models.VAE but of type dict: name a torch.nn.Module"),
        ("number", "is no subclass of bench.models.VAE and returns an object of type int: let"),
        ("needy", "lacks arguments (missing a required argument: 'width'): let all have defaults"),
        ("picky", "calling it with image_shape=(1, 32, 32) raises ValueError: images of 64"),
        ("larger", "give a network that takes 1x32x32 in [0, 1], or choose another size"),
        ("maps", "its codes are a 4-dimensional tensor (3, 4, 29, 29)"),
        ("loaded", "calling it raises FileNotFoundError"),
        ("absent", "./mine.py has no 'absent'"),
    ],
)
def test_a_wrong_request_is_one_line(cli_here, here: Path, name: str, said: str) -> None:
    asked = ("--dataset", "toy", "--preset", "smoke")
    answer = cli_here("run", "--models", f"./mine.py:{name}", *asked)
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert f"./mine.py:{name}" in answer.err
    assert said in answer.err
    assert not (here / "results").exists()


def test_it_takes_no_tensor_without_memory_and_no_budget() -> None:
    (run,) = planned("Net").runs
    assert (run.steps, run.batch_size, run.trained) == (0, 0, False)
    assert run.settings == {"width": 8, "latents": 3}  # a class has no place in a record
    for other in ({"preset": "quick"}, {"steps": 7}, {"sets": ["train.batch_size=8"]}):
        assert planned("Net", **other).runs[0].identity == run.identity


def test_its_settings_are_the_keyword_only_arguments() -> None:
    asked = planned("Net", sets=["./mine.py:Net.width=4"], sweeps=["./mine.py:Net.latents=1,2"])
    assert [run.label for run in asked.runs] == [
        f"./mine.py:Net (width=4, latents={n})" for n in (1, 2)
    ]
    models = [build_model(run, CPU) for run in asked.runs]
    assert [model.latents.continuous for model in models] == [1, 2]
    with pytest.raises(RequestError, match="unknown setting of ./mine.py:Net 'image_shape'"):
        planned("Net", sets=["./mine.py:Net.image_shape=1,2,3"])
    with pytest.raises(RequestError, match="unknown setting"):
        planned("net", sets=["./mine.py:net.width=3"])


def test_each_seed_draws_weights_of_its_own_and_the_same_again() -> None:
    for name in ("Net", "net"):  # the latter draws when its file is read
        runs = planned(name, seeds="2").runs
        first, second, again = (
            torch.cat([p.flatten() for p in build_model(run, CPU).parameters()])
            for run in (*runs, runs[0])
        )
        assert torch.equal(first, again), name
        assert not torch.equal(first, second), name


def test_a_digest_of_code_and_weights(here: Path) -> None:
    (first,) = planned("Net").runs
    assert planned("Net").runs[0].code == first.code
    (here / "mine.py").write_text(MINE + "# changed\n")
    assert planned("Net").runs[0].code != first.code
    net = ExternalEncoder(Gives(lambda h: h), SHAPE)
    before = weights_digest(net, "code")
    assert weights_digest(net, "code") == before != weights_digest(net, "other")
    with torch.no_grad():
        net.net.linear.bias[0] += 1e-6
    assert weights_digest(net, "code") != before


def test_a_run_of_it_has_its_codes_and_weights_and_no_training() -> None:
    asked = planned("tied", sets=["train.rows=100"])
    folder = carried_out(asked)
    (run,) = asked.runs
    codes = read_representation(folder / "representation.npz")
    data = build_data("toy", run.data_settings, None)
    rows = read_rows(folder / "representation.npz")
    pixels = torch.from_numpy(data.images(rows)).float() / 255
    with torch.no_grad():
        expected = build_model(run, CPU).net(pixels)
    np.testing.assert_allclose(codes.codes, expected, rtol=1e-4, atol=1e-5)
    assert codes.logvar is None
    evaluation = read_json(folder / "evaluation.json")
    assert evaluation["reconstruction"] is evaluation["kl"] is None
    assert not (folder / "history.csv").exists()
    stored = load_file(folder / "weights.safetensors")
    weights = build_model(run, CPU).state_dict()
    assert stored.keys() == weights.keys()
    assert all(np.array_equal(stored[name], weights[name]) for name in weights)
    (row,) = comparison([read_record(folder)], asked.study).rows
    assert row.runs == "1 (not trained here)"


def test_other_weights_share_no_row_with_the_older_ones(cli_here, here: Path) -> None:
    state = nn.Linear(1024, 2).state_dict()
    torch.save({f"1.{name}": tensor for name, tensor in state.items()}, "net.pt")
    asked = planned("loaded", output=here / "study", sets=["train.rows=100"])
    carried_out(asked)
    command = ("run", "--models", "./mine.py:loaded", "--dataset", "toy", "--preset", "smoke")
    options = ("--seeds", "1", "--metrics", "mig", "--set", "train.rows=100")
    same = cli_here(*command, *options, "--output", "study", "--dry-run")
    assert "1 runs: 1 done, 0 to do, 0 steps" in same.out
    assert "./mine.py:loaded: seeds 0; not trained here" in same.out
    state["weight"][0, 0] += 1
    torch.save({f"1.{name}": tensor for name, tensor in state.items()}, "net.pt")
    other = cli_here(*command, *options, "--output", "study", "--dry-run")
    assert other.code == 2
    assert "were made with other code or weights; encode them again with --force" in other.err


def test_each_run_of_it_has_a_process_of_its_own(bench, here: Path) -> None:
    """Its module draws weights when it is imported, which happens once in a process."""
    command = ("run", "--models", "mine:net", "--dataset", "toy", "--preset", "smoke")
    options = ("--seeds", "2", "--metrics", "mig", "--jobs", "1", "--set", "train.rows=100")
    ran = bench(*command, *options, "--output", "own", cwd=here)
    assert ran.returncode == 0, ran.stderr
    stored = [load_file(path) for path in sorted(here.glob("own/runs/*/weights.safetensors"))]
    assert len(stored) == 2
    assert any(not np.array_equal(stored[0][name], stored[1][name]) for name in stored[0])


def test_what_was_found_is_in_the_plan_and_in_the_record() -> None:
    words = (
        f"its encode returns the first tensor, taken for the means of 3 codes; the second, {_LOG}"
    )
    plan = planned("Net")
    assert plan.found == {"./mine.py:Net": words}
    record = read_record(carried_out(plan))
    assert record.evaluation is not None
    assert record.evaluation.found == words


def test_a_run_of_vectors_is_scored_and_drawn() -> None:
    asked = planned("Slots", metrics="mig,mig_neighbours", sets=["train.rows=150"])
    record = read_record(carried_out(asked))
    assert record.evaluation is not None
    assert (record.evaluation.continuous, len(record.evaluation.spread)) == (4, 4)
    assert list(record.scores) == ["mig_neighbours"]
    assert "vector of 2" in record.evaluation.undefined["mig"].reason
    stored = read_representation(record.folder / "representation.npz")
    assert stored.groups == (2, 2, 2, 2)
    deviation = np.sqrt(stored.codes.astype(float).var(axis=0).reshape(4, 2).sum(axis=1))
    np.testing.assert_allclose(record.evaluation.spread, deviation, rtol=1e-6)
    draw_run(record)
    assert (record.folder / "information.png").exists()
    assert not (record.folder / "traversals.png").exists()  # an encoder draws nothing
    # The record has what the picture shows, or else the codes do, from fewer rows.
    of_record, of_codes = Information.of(record), Information.within(stored)
    assert of_record is not None
    assert of_record.shares.shape == of_codes.shares.shape == (4, len(stored.factor_names))
    np.testing.assert_allclose(of_codes.shares, of_record.shares)


def test_a_mean_and_a_log_variance_side_by_side_are_doubted() -> None:
    """As in networks whose forward splits what their encoder gives."""
    net = Gives(lambda h: (h, h[:, :2], h[:, 2:4]))
    net.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, 4))
    found = ExternalEncoder(net, SHAPE).found
    assert found.startswith(f"its encoder returns {_ONE} 4 latents")
    assert "forward returns two tensors of 2 columns" in found
    net.encoder = nn.Sequential(nn.Flatten(), nn.Linear(1024, 6))
    assert "forward" not in ExternalEncoder(net, SHAPE).found
