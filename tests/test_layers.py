"""The import graph: packages in a fixed order, no import upwards and no circle anywhere, type checking included."""

import ast
import graphlib
import tomllib
from pathlib import Path

import surefooted
from surefooted.components.spec import KINDS, names

ROOT = Path(surefooted.__file__).parent
# From the bottom up: a package imports itself and packages above it in this list.
PACKAGES = [
    "errors",
    "components",
    "core",
    "data",
    "report",
    "models",
    "attacks",
    "evaluation",
    "training",
    "pipeline",
    "api",
    "studies",
    "auditing",
    "cli",
    "__main__",
]


VERSION = "surefooted.__version__"


def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(file): file for file in sorted(ROOT.rglob("*.py"))}


def imported(file: Path) -> set[str]:
    """Modules of the package that a file imports anywhere: in functions and under ``TYPE_CHECKING`` as well.

    ``from surefooted import __version__`` is no edge: the root sets it before it imports anything.
    """
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            both = [(f"{node.module}.{alias.name}", str(node.module)) for alias in node.names]
            found |= {name if name in MODULES else module for name, module in both if name != VERSION}
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in MODULES}


GRAPH = {module: imported(file) for module, file in MODULES.items()}


def package_of(module: str) -> str:
    return module.split(".")[1]


def test_the_root_holds_the_packages_and_nothing_else():
    assert {file.stem for file in ROOT.glob("*.py")} == {"__init__", "__main__", "api", "errors"}
    assert {folder.name for folder in ROOT.iterdir() if folder.is_dir() and folder.name != "__pycache__"} == (
        set(PACKAGES) - {"__main__", "api", "errors"}
    )


def test_no_package_imports_one_below_it_in_the_list():
    upward = [
        f"{module} imports {other}"
        for module, others in GRAPH.items()
        for other in others
        if module != "surefooted"
        and other != "surefooted"
        and PACKAGES.index(package_of(other)) > PACKAGES.index(package_of(module))
    ]
    assert not upward


def test_no_modules_import_each_other_in_a_circle():
    graphlib.TopologicalSorter(GRAPH).prepare()  # raises CycleError and names the circle


def test_the_root_is_the_face_and_no_module_of_the_package_looks_at_it():
    assert [module for module, others in GRAPH.items() if "surefooted" in others] == []


def test_editors_complete_the_names_that_load_lazily():
    (block,) = (node for node in ast.parse((ROOT / "__init__.py").read_text()).body if isinstance(node, ast.If))
    assert ast.unparse(block.test) == "TYPE_CHECKING"
    seen = {alias.asname: f"{node.module}.{alias.name}" for node in block.body for alias in node.names}
    assert seen == surefooted._MODULES | {name: f"{home}.{name}" for name, home in surefooted._MODULE_OF.items()}
    for name in seen:
        assert getattr(surefooted, name).__name__ in (name, seen[name])
    assert {*seen, "__version__"} <= {*dir(surefooted)}


def test_types_and_data_files_ship_with_the_package():
    declared = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    shipped = {file for pattern in declared["surefooted"] for file in ROOT.glob(pattern)}
    assert (
        shipped == {file for file in ROOT.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")}
        and ROOT / "py.typed" in shipped
    )


def test_a_public_name_has_one_meaning():
    """The same thing as component, command or API function may share its name; nothing else does."""
    homes: dict[str, set[str]] = {}
    for module, file in MODULES.items():
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(module)
    twins = {name for kind in KINDS for name in names(kind)}
    shared = {
        name: modules
        for name, modules in homes.items()
        if len(modules) > 1 and name not in twins and not {"cli", "api"} & {*map(package_of, modules)}
    }
    assert not shared


def test_no_function_takes_more_than_eight_positional_or_keyword_parameters():
    """But components, whose signature is the schema."""
    long = [
        f"{module}.{node.name}"
        for module, file in MODULES.items()
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.FunctionDef) and len(node.args.args) > 8
        if not any("component" in ast.unparse(decorator) for decorator in node.decorator_list)
    ]
    assert not long


def test_nothing_is_unpickled():
    for file in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import | ast.ImportFrom):
                names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
                assert not {"pickle", "dill", "joblib", "cloudpickle"} & set(names), file
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
                assert (getattr(node.func.value, "id", ""), node.func.attr) != ("torch", "load"), file
                assert not any(k.arg == "allow_pickle" and getattr(k.value, "value", 1) for k in node.keywords), file
