"""What `bench evaluate` prints and writes, and its exit code."""

from dataclasses import replace
from pathlib import Path

from rich.console import Console

from bench.cli.scores_table import as_json, print_scores
from bench.errors import RequestError
from bench.evaluate.files import (
    WEIGHTS,
    Content,
    Evaluation,
    Request,
    check_codes,
    evaluate_file,
    read_content,
    write_record,
)
from bench.evaluate.runs import evaluate_runs, is_run
from bench.store.study import STUDY


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
    if request.into is not None or request.name is not None:
        return _enter(request, as_object, output, out, talk)
    content: Content | None = None
    evaluations: dict[str, Evaluation] = {}
    with talk.status("reading") as status:
        if runs:
            check_codes(request)
            evaluations = evaluate_runs(request, status.update)
        else:
            content, evaluations[""] = evaluate_file(request, status.update)
    study = (request.target / STUDY).exists()
    if as_object:
        objects = {name: evaluation.scores for name, evaluation in evaluations.items()}
        print(as_json(objects if study else next(iter(objects.values()))))
    elif not study:
        (evaluation,) = evaluations.values()
        if evaluation.scores:
            print_scores(evaluation, out)
        if content is not None:
            _print_content(content, out)
    if study:
        _tables(request.target, out, talk, quiet=as_object)
    elif runs:
        talk.print("Stored with the run. Tables of its study: bench report FOLDER")
    if output is not None and content is not None:
        _record(output, request, content, evaluations[""], talk)
    return _exit_code(evaluations, talk)


def _enter(
    request: Request, as_object: bool, output: Path | None, out: Console, talk: Console
) -> int:
    """Enter what is in a file into a study, and write the study's tables."""
    from bench.evaluate.rows import enter, study_of

    into, name = request.into, request.name
    if into is None or name is None:
        raise RequestError("--into FOLDER and --name NAME go together: give both")
    if request.target.is_dir():
        raise RequestError(f"--into is for files of codes or weights: {request.target} is a folder")
    given = {"--metrics": request.metrics, "--set": request.sets, "--kind": request.kinds}
    given |= {"--merge": request.merges}
    if options := [option for option, value in given.items() if value]:
        raise RequestError(
            f"--into scores by the metrics and the factors of the study: leave out {options[0]}"
        )
    study = study_of(into, name)
    if request.dataset not in (None, study["dataset"]):
        raise RequestError(f"{into} is a study on {study['dataset']}: leave out --dataset")
    if request.target.suffix.lower() in WEIGHTS:
        request = replace(request, dataset=study["dataset"])
    seed = 0 if request.seed is None else request.seed
    with talk.status("reading") as status:
        content = read_content(request, status.update)
        evaluation = enter(
            into,
            name,
            content.representation,
            content.evaluation,
            content.source,
            seed=seed,
            resamples=request.resamples,
            tell=status.update,
        )
    if as_object:
        print(as_json(evaluation.scores))
    _tables(into, out, talk, quiet=as_object)
    if output is not None:
        _record(output, request, content, evaluation, talk)
    return 0


def _print_content(content: Content, out: Console) -> None:
    """What is known beside the scores, of the model behind the codes."""
    measured = content.evaluation
    if measured is None:
        return
    lines = [f"Encoded by {content.source}."]
    if measured["reconstruction"] is not None:
        constant = measured["mean_image_reconstruction"]
        lines.append(
            f"Reconstruction {measured['reconstruction']:.2f} nats an image, of the mean image "
            f"{constant:.2f}."
        )
    if measured["kl"] is not None:
        first = measured["continuous"]
        kinds = {"continuous": measured["kl"][:first], "categorical": measured["kl"][first:]}
        parts = ", ".join(f"{kind} {sum(kl):.2f}" for kind, kl in kinds.items() if kl)
        lines.append(f"KL {measured['kl_total']:.2f} nats an image: {parts}.")
    lines.append(f"Active latents: {measured['active_latents']} of {len(measured['active'])}.")
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _record(
    path: Path, request: Request, content: Content, evaluation: Evaluation, talk: Console
) -> None:
    write_record(path, request, content, evaluation)
    talk.print(f"wrote {path}", markup=False, highlight=False, soft_wrap=True)


def _tables(folder: Path, out: Console, talk: Console, quiet: bool) -> None:
    from bench.report.render import console_table
    from bench.report.write import write_report

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
