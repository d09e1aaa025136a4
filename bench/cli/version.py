"""`bench --version --verbose`: what a report of a bug needs, without the name of a folder."""

from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

# What pyproject.toml declares, and the extras; frappe-bench because it overwrites this package.
LIBRARIES = (
    *("torch", "numpy", "scipy", "scikit-learn", "threadpoolctl", "pandas", "h5py", "matplotlib"),
    *("pillow", "seaborn", "safetensors", "typer", "rich", "pydantic", "platformdirs", "filelock"),
    *("pooch", "requests", "urllib3", "pyarrow"),
)
CLASHES = ("frappe-bench",)


def version_lines(verbose: bool) -> Iterator[str]:
    """The version; if verbose then also the commit, Python, system, device and libraries."""
    from bench import __version__

    if not verbose:
        yield __version__
        return
    from bench.store.environment import environment

    facts = environment(device="", threads=1)
    yield f"disentanglement-bench {__version__}"
    yield f"commit: {facts['commit'] or 'none, not a checkout'}"
    yield f"Python: {facts['python']}"
    yield f"system: {facts['system']}"
    yield f"processor: {facts['processor']}"
    yield f"device: {_device()}"
    for name in LIBRARIES:
        yield f"{name}: {_installed(name) or 'not installed'}"
    for name in CLASHES:
        if found := _installed(name):
            yield f"{name}: {found}, which has the same import name: use another environment"


def _device() -> str:
    """What `--device auto` takes, with the name of the card."""
    try:
        import torch
    except ImportError:
        return "none, torch is not installed"
    from bench.execute import choose_device

    device = choose_device("auto")
    return f"cuda, {torch.cuda.get_device_name()}" if device == "cuda" else device


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
