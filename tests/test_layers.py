"""The one-way flow: a module imports from lines above its own, or from its own line, and never from below."""

import ast
from pathlib import Path

import surefooted

ROOT = Path(surefooted.__file__).parent
ORDER = """
    errors
    spec
    checked
    describe  core  noise  files  options
    geometry  scores
    records
    oracle  views  folded  ensembles  latent
    nets  data  corruptions  attacks  metrics  recipes
    methods  checks  prediction  temperature  posthoc  analysis
    recorders
    batches  preparation  checkpoint  processes  machine  store  report  console
    weights  training  foreign
    cell
    execute  victims
    forecast
    api
    studies
    auditing
    commands
    cli
    __main__
"""
LINE = {name: number for number, line in enumerate(ORDER.split("\n")) for name in line.split()}


def imports(file: Path) -> set[str]:
    """Layers that a file imports anywhere, functions included."""
    modules = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            modules += [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    parts = [module.split(".") for module in modules]
    return {part[1] for part in parts if part[0] == "surefooted" and len(part) > 1 and part[1] != "__version__"}


def test_a_lower_layer_never_imports_an_upper_one():
    upward = []
    for file in sorted(ROOT.rglob("*.py")):
        layer = file.relative_to(ROOT).parts[0].removesuffix(".py")
        if layer == "__init__":  # names of everything, loaded when first used
            continue
        assert layer in LINE, f"give {layer} its line in ORDER"
        upward += [f"{layer} imports {other} ({file.name})" for other in imports(file) if LINE[other] > LINE[layer]]
    assert not upward


def test_nothing_is_unpickled():
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "dill", "joblib", "cloudpickle"} & set(names), file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert (getattr(node.func.value, "id", ""), node.func.attr) != ("torch", "load"), file
                assert not any(k.arg == "allow_pickle" and getattr(k.value, "value", 1) for k in node.keywords), file
