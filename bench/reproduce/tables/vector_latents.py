"""Quoted results of models whose latents are vectors, and of those that they are compared with."""

import csv
from importlib.resources import files

from bench.reproduce.published import Row, Table


def _rows() -> tuple[Row, ...]:
    text = (files(__package__) / "vector_latents.csv").read_text(encoding="utf-8")
    return tuple(
        Row(
            row["paper"], row["table"], row["model"], row["dataset"], row["metric"],
            "primary" if row["certainty"] == "primary" else "quoted", row["source"],
            value=row["value"], spread=row["spread"], spread_is=row["spread_is"],
            n=int(row["n"]) if row["n"] else None,
        )
        for row in csv.DictReader(text.splitlines())
    )  # fmt: skip


VECTOR_LATENTS = Table(
    name="vector-latents",
    id="T14",
    title="Models whose latents are vectors, on Cars3D, Shapes3D and MPI3D (quoted)",
    parts=(),
    rows=_rows(),
    about=(
        "Nothing of this is trained here. `bench report FOLDER --published vector-latents` sets "
        "the rows of a study beside it; codes of a network trained elsewhere become a row by "
        "`bench evaluate codes.npz --groups 16x20 --reduce pca1 --metrics factorvae_score,dci "
        "--into FOLDER`.",
        "The authors' code (ThomasMrY/DisDiff@c3ba0c7, ThomasMrY/VCT@c19b8c8, EncDiff's) takes one "
        "principal component of each latent unit (`--reduce pca1`), fitted on all codes; FactorVAE "
        "score: 10,000 and 5,000 votes of 64 images, latents with a variance below 0.05 pruned; "
        "DCI: disentanglement, by gradient boosting of scikit-learn on 10,000 and 5,000 points; "
        "the metrics' seed is always 0. FDAE (wuancong/FDAE@71e5081) takes several components a "
        "unit, in groups. EncDiff's row of scalars needs no component.",
        "Latents of FactorVAE, beta-TCVAE, DAVA and the methods on GANs are scalars. Both papers "
        "quote the numbers of others, and agree in all 42 that both print; the papers of VCT, "
        "DisDiff and DisCo themselves could not be read.",
        "FDAE calls the MPI3D of VCT's row MPI3D-real, and EncDiff writes MPI3D; the code of VCT, "
        "DisCo, DisDiff and EncDiff loads mpi3d_toy, which is how these rows are labelled here.",
        "How many runs are behind a quoted number, FDAE and EncDiff do not say; their own rows are "
        "of 10 and of 15 runs.",
    ),
)
