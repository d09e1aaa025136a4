"""Which cells of a study are carried out, and the words in which that is said."""

from collections import Counter

import pytest

from bench.cells import Selection, Shard, parse_retry, parse_shard, parse_timeout, select
from bench.errors import RequestError
from bench.store.record import UNSUCCESSFUL


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90", 90), ("90s", 90), ("1.5m", 90), ("30m", 1800), ("2h", 7200), (" 1d ", 86400)],
)
def test_times(text: str, seconds: float) -> None:
    assert parse_timeout(text) == seconds


def test_states_to_try_again() -> None:
    assert parse_retry("failed, timeout,failed") == ("failed", "timeout")
    assert parse_retry("all") == UNSUCCESSFUL
    assert parse_retry("none") == ()
    with pytest.raises(RequestError, match="unknown state in --retry 'all'"):
        parse_retry("all,failed")


@pytest.fixture
def runs(make_run):
    rows = [("betavae", {"beta": 4.0}), ("betavae", {}), ("vae", {}), ("jointvae", {})]
    return [
        make_run(model=model, changed=changed, settings=changed, seed=seed)
        for seed in range(5)
        for model, changed in rows
    ]


@pytest.mark.parametrize("of", [1, 2, 3, 8, 20])
def test_shares_are_equal_disjoint_and_complete(runs, of: int) -> None:
    shares = [select(runs, Selection(shard=Shard(k, of))) for k in range(1, of + 1)]
    assert sorted(run.identity for share in shares for run in share) == sorted(
        run.identity for run in runs
    )
    assert {len(share) for share in shares} <= {20 // of, -(-20 // of)}
    for label in {run.label for run in runs}:
        counts = [sum(run.label == label for run in share) for share in shares]
        assert max(counts) - min(counts) <= 1


def test_a_share_is_the_same_in_whichever_order_the_runs_are(runs) -> None:
    shard = Selection(shard=Shard(2, 3))
    one = {run.identity for run in select(runs, shard)}
    assert one == {run.identity for run in select(runs[::-1], shard)}


def test_cells_are_named_by_row_seed_or_folder(runs) -> None:
    def chosen(*only: str) -> Counter[str]:
        return Counter(run.title for run in select(runs, Selection(only=only)))

    assert len(chosen("betavae")) == 10
    assert chosen("betavae (beta=4)") == {f"betavae (beta=4), seed {n}": 1 for n in range(5)}
    assert len(chosen("seed=3")) == 4
    assert chosen("vae, seed 3") == {"vae, seed 3": 1}
    assert chosen(runs[6].folder) == {runs[6].title: 1}
    assert len(chosen("*vae", "seed=0")) == 20
    assert len(chosen("vae", "seed=0")) == 8
    assert len(chosen("toy")) == 20
    with pytest.raises(RequestError, match="unknown cell in --only 'betaave'"):
        chosen("vae", "betaave")


def test_a_share_of_some_cells(runs) -> None:
    shares = [select(runs, Selection(("vae",), Shard(k, 2))) for k in (1, 2)]
    assert [len(share) for share in shares] == [3, 2]
    with pytest.raises(RequestError, match="this share is empty"):
        select(runs, Selection(("vae",), Shard(6, 6)))


def test_the_words_of_a_share() -> None:
    assert parse_shard(" 2/8 ") == Shard(2, 8)
    assert str(Shard(2, 8)) == "2/8"
