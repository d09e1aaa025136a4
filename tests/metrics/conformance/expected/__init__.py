"""The bounds of each metric, or of a part of one as metric.part, in each case."""

from tests.metrics.conformance.expected.bounds import Table
from tests.metrics.conformance.expected.generalisation import GENERALISATION
from tests.metrics.conformance.expected.importance import IMPORTANCE
from tests.metrics.conformance.expected.information import INFORMATION
from tests.metrics.conformance.expected.labels import LABELS
from tests.metrics.conformance.expected.posterior import POSTERIOR
from tests.metrics.conformance.expected.prediction import PREDICTION
from tests.metrics.conformance.expected.reading import READING
from tests.metrics.conformance.expected.structure import STRUCTURE

EXPECTED: dict[str, Table] = {
    **INFORMATION,
    **STRUCTURE,
    **PREDICTION,
    **POSTERIOR,
    **READING,
    **IMPORTANCE,
    **LABELS,
    **GENERALISATION,
}
