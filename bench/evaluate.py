"""What `bench evaluate` prints and writes, and its exit code."""

from pathlib import Path

from rich.console import Console

from bench.errors import RequestError
from bench.folder import STUDY
from bench.rescoring import evaluate_runs, is_run
from bench.scores_table import as_json, print_scores
from bench.scoring import Evaluation, Request, evaluate_file, write_record
from bench.store import write_text


def show(
    request: Request, as_object: bool, output: Path | None, out: Console, talk: Console
) -> int:
    """Score what was asked for; 1 if a metric that was named is undefined, else 0.

    Raises RequestError.
    """
    if not request.target.exists():
        raise RequestError(f"{request.target}: no such file or folder")
    runs = is_run(request.target)
    if request.target.is_dir() and not runs:
        raise RequestError(
            f"{request.target} holds no run and no study: name a folder that bench run has "
            "written, or a file of codes"
        )
    if runs and output is not None:
        raise RequestError("--output is for the codes of a file: scores of runs stay with them")
    with talk.status("reading") as status:
        if not runs:
            evaluations = {"": evaluate_file(request, status.update)}
        else:
            evaluations = evaluate_runs(request, status.update)
    study = (request.target / STUDY).exists()
    if as_object:
        objects = {name: evaluation.scores for name, evaluation in evaluations.items()}
        print(as_json(objects if study else next(iter(objects.values()))))
    elif not study:
        (evaluation,) = evaluations.values()
        if evaluation.scores:
            print_scores(evaluation, out)
    if study:
        _tables(request.target, out, talk, quiet=as_object)
    elif runs:
        talk.print("Stored with the run. Tables of its study: bench report FOLDER")
    if output is not None:
        write_record(output, request, evaluations[""])
        talk.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)
    return _exit_code(evaluations, talk)


def conform(metrics: str | None, output: Path | None, out: Console, talk: Console) -> int:
    """Print the conformance table; 1 if a value is not what it must be. Raises RequestError."""
    from bench.conformance import conformance, markdown, said
    from bench.measure import metric_names

    names = None if metrics in (None, "all") else metric_names(metrics)
    with talk.status("conformance") as status:
        rows = conformance(names, tell=status.update)
    text = markdown(rows)
    if output is None:
        out.print(text, markup=False, highlight=False, soft_wrap=True)
    else:
        try:
            write_text(output, text)
        except OSError as error:
            raise RequestError(f"{output} cannot be written ({error.strerror})") from error
        talk.print(f"wrote {output}", markup=False, highlight=False, soft_wrap=True)
    failed = [row for row in rows if not row.holds]
    for row in failed:
        talk.print(said(row), markup=False, highlight=False, soft_wrap=True)
    talk.print(f"{len(rows) - len(failed)} of {len(rows)} values are as they must be")
    return 1 if failed else 0


def _tables(folder: Path, out: Console, talk: Console, quiet: bool) -> None:
    from bench.render import console_table
    from bench.report import write_report

    made = write_report(folder, pictures_of_runs=False)
    if not quiet:
        console_table(made.table, out)
    for path in made.files:
        talk.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _exit_code(evaluations: dict[str, Evaluation], talk: Console) -> int:
    failed = False
    for evaluation in evaluations.values():
        if evaluation.asked:
            for name, reason in evaluation.refused.items():
                failed = True
                talk.print(f"{name}: {reason}", markup=False, highlight=False, soft_wrap=True)
    return 1 if failed else 0
