"""The registry of published tables, by the name that `bench reproduce` takes."""

from bench.published import Table
from bench.published_estimates import ANNEALEDVAE, BETATCVAE, INFOMEC
from bench.published_gaussian import FACTORVAE_GAMMA, LOCATELLO, VAE_DSPRITES
from bench.published_joint import (
    CASCADEVAE_DSPRITES,
    JOINTVAE_DSPRITES,
    JOINTVAE_FASHION,
    JOINTVAE_MNIST,
)
from bench.published_untrained import METRIC_UNITS, RELEASED_JOINTVAE

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        JOINTVAE_DSPRITES,
        JOINTVAE_MNIST,
        JOINTVAE_FASHION,
        FACTORVAE_GAMMA,
        VAE_DSPRITES,
        CASCADEVAE_DSPRITES,
        LOCATELLO,
        ANNEALEDVAE,
        BETATCVAE,
        INFOMEC,
        METRIC_UNITS,
        RELEASED_JOINTVAE,
    )
}
