"""The order of rows: by how models are supervised, baselines last."""

from collections.abc import Sequence

from bench.store.record import Record

ELSEWHERE = "from elsewhere"  # models and codes that are not the suite's own
BASELINES = "baselines"


def kinds_of(records: Sequence[Record]) -> dict[str, str]:
    """What kind of model each row is, by its label: the kinds one after another, baselines last.

    A kind is a group of `bench.models.GROUPS` without what is said there of the codes:
    `unsupervised`, `weakly supervised` or `baselines`. Rows of one kind stay in their order.
    """
    from bench.models import GROUPS  # not above, as it imports torch

    kinds = {name: group.partition(",")[0] for group, names in GROUPS.items() for name in names}
    order = [kind for kind in dict.fromkeys(kinds.values()) if kind != BASELINES]
    order += [ELSEWHERE, BASELINES]
    labels = {
        r.run.label: ELSEWHERE if r.run.from_file else kinds.get(r.run.model, ELSEWHERE)
        for r in records
    }
    return dict(sorted(labels.items(), key=lambda item: order.index(item[1])))
