"""The registry of published tables, by the names that `bench reproduce` takes."""

from bench.reproduce.published import Table
from bench.reproduce.tables.estimates import ANNEALEDVAE, BETATCVAE, INFOMEC
from bench.reproduce.tables.gaussian import FACTORVAE_GAMMA, LOCATELLO, VAE_DSPRITES
from bench.reproduce.tables.joint import (
    CASCADEVAE_DSPRITES,
    JOINTVAE_DSPRITES,
    JOINTVAE_FASHION,
    JOINTVAE_MNIST,
)
from bench.reproduce.tables.released import RELEASED_JOINTVAE
from bench.reproduce.tables.training_logs import TRAINING_LOGS, TRAINING_LOGS_MNIST
from bench.reproduce.tables.vector_latents import VECTOR_LATENTS

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
        RELEASED_JOINTVAE,
        TRAINING_LOGS,
        TRAINING_LOGS_MNIST,
        VECTOR_LATENTS,
    )
}
