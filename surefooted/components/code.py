"""Code of the user as components: named ``module:function``, or given in Python, and known by the hash of its source.

The name of such a component ends in that hash, ``module:function@HASH``, in place of a version. It is part of every
key, so that changed code is another component; results of the old code are not taken for those of the new one. The hash
covers what the code uses of the user's own modules, its defaults and the objects that it holds. It covers compiled
code, too, so it differs between versions of Python.
"""

from __future__ import annotations

import ast
import dis
import functools
import hashlib
import importlib
import importlib.util
import inspect
import logging
import os
import sys
import sysconfig
import textwrap
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from surefooted.components.text import read_text
from surefooted.errors import ArgumentError, StoreError, did_you_mean

_MEMORY = "memory"
_DIGITS = 16
_CODE = (types.FunctionType, types.MethodType, types.BuiltinFunctionType, functools.partial, type)
_PLAIN = (type(None), bool, int, float, complex, str, bytes)
# Objects that this process was given and that no module holds, by their reference.
_KEPT: dict[str, Any] = {}
_without_source: ContextVar[bool] = ContextVar("without_source", default=False)


@dataclass(frozen=True, eq=False)
class Code:
    """An object of the user's code.

    Attributes:
        value: a function, a class, or another object.
        name: ``module:function``, or ``memory:name`` for an object that cannot be imported by a name.
        digest: hash of its source.
    """

    value: Any
    name: str
    digest: str

    @property
    def reference(self) -> str:
        """The name under which ``find_code`` finds exactly this code."""
        return f"{self.name}@{self.digest}"


def is_code(name: str) -> bool:
    """Tell a name of code from that of a component of this package.

    Example:
        >>> is_code("mymodels:resnet"), is_code("resnet18")
        (True, False)
    """
    return ":" in name


def may_be_stored(name: str) -> bool:
    """Whether a name of code may come from a store, which others may have written: with a hash, and not a library's.

    A function of a library could do anything with its arguments; layers of torch only make layers.

    Example:
        >>> may_be_stored("torch.nn.modules.flatten:Flatten@0123"), may_be_stored("subprocess:getoutput@0123")
        (True, False)
    """
    code, _, digest = name.partition("@")
    module = code.partition(":")[0]
    if not digest or module == _MEMORY or module.startswith("torch.nn.modules."):
        return bool(digest)
    if module.partition(".")[0] in sys.stdlib_module_names:
        return False
    with suppress(ImportError, ValueError, AttributeError):
        spec = importlib.util.find_spec(module)
        return spec is None or not _is_library_file(spec.origin or "")
    return True


def find_code(reference: str) -> Code:
    """Import what ``module:function`` names, as ``python -m`` would find it: also in the working directory.

    Args:
        reference: ``module:function``, or ``module:function@HASH`` for the code that had that hash.

    Raises:
        ArgumentError: if the module cannot be imported or has no such name.
        StoreError: if the code has changed since it had the hash, or was in memory only.

    Example:
        >>> find_code("torch.nn:Flatten").value.__name__
        'Flatten'
    """
    name, _, digest = reference.partition("@")
    module, _, path = name.partition(":")
    if module == _MEMORY:
        if reference not in _KEPT:
            raise StoreError(
                f"{path} was in memory and is not at hand. Pass the same object again, or put it into a module and "
                "name it as MODULE:FUNCTION."
            )
        return Code(_KEPT[reference], name, digest)
    if not all(part.isidentifier() for part in [*module.split("."), *path.split(".")]):
        raise ArgumentError(f"{name!r} names no code; expected MODULE:FUNCTION, such as mymodels:resnet.")
    value = _import(module)
    for part in path.split("."):
        if not hasattr(value, part):
            known = [known for known in vars(value) if not known.startswith("_")]
            raise ArgumentError(f"The module {module!r} has no {path!r}.{did_you_mean(part, known)}")
        value = getattr(value, part)
    now = source_digest(value)
    if digest and digest != now:
        raise StoreError(
            f"The code of {name} has changed since: its hash was {digest[:8]} and is {now[:8]}. Restore it, or train "
            "again."
        )
    return Code(value, name, now)


def keep_code(value: Any, digest: str = "") -> Code:
    """The code of an object that was given in Python. One that cannot be imported by a name is kept in memory.

    Args:
        value: a function, a class, or another object.
        digest: identifies the object; by default the hash of its source.

    Raises:
        ArgumentError: if its source is not available.

    Example:
        >>> from torch import nn
        >>> keep_code(nn.Flatten).name
        'torch.nn.modules.flatten:Flatten'
    """
    module, path = getattr(value, "__module__", "__main__"), getattr(value, "__qualname__", type(value).__qualname__)
    try:
        digest = digest or source_digest(value)
    except ArgumentError:
        if not _without_source.get():
            raise
        return keep_object(value)
    found: Any = sys.modules.get(module) if module != "__main__" else None
    for part in path.split("."):
        found = getattr(found, part, None)
    if found is value:
        return Code(value, f"{module}:{path}", digest)
    name = f"{_MEMORY}:{path.rpartition('.')[2].strip('<>')}"
    _KEPT[f"{name}@{digest}"] = value
    return Code(value, name, digest)


@contextmanager
def code_without_source() -> Iterator[None]:
    """Also take code whose source is not known, under a name that means nothing outside this process."""
    token = _without_source.set(True)
    try:
        yield
    finally:
        _without_source.reset(token)


def keep_object(value: Any) -> Code:
    """Keep any object for this process alone, under a name that no other object has.

    Example:
        >>> find_code(keep_object([1, 2]).reference).value
        [1, 2]
    """
    return keep_code(value, digest=f"{len(_KEPT):x}".rjust(_DIGITS, "0"))


def source_digest(value: Any) -> str:
    """The hash of the source of a function or class, and of what it uses of the user's own modules.

    That are functions, classes and plain values; libraries count by their names.

    Raises:
        ArgumentError: if the source is not available, or a function holds a value whose content is not known.

    Example:
        >>> from torch import nn
        >>> source_digest(nn.ReLU) == source_digest(nn.ReLU) != source_digest(nn.GELU)
        True
    """
    sha = hashlib.sha256()
    for part in _parts(value, set()):
        sha.update(f"{len(part)}:{part}".encode())
    return sha.hexdigest()[:_DIGITS]


def content_digest(value: Any, held_by: str) -> str:
    """The hash of the content of any value: of an object its type's source and its attributes.

    Args:
        held_by: what holds the value, for messages.

    Raises:
        ArgumentError: if it holds what has no known content.

    Example:
        >>> content_digest({"t": 1.0}, "net") == content_digest({"t": 1.0}, "net") != content_digest({"t": 2.0}, "net")
        True
    """
    sha = hashlib.sha256()
    for part in _content(value, set(), held_by):
        sha.update(f"{len(part)}:{part}".encode())
    return sha.hexdigest()[:_DIGITS]


def names_in(code: types.CodeType) -> set[str]:
    """Global names and attributes that a function uses, also in functions inside it.

    Example:
        >>> sorted(names_in((lambda: [abs(x) for x in range(3)]).__code__))
        ['abs', 'range']
    """
    inner = [one for one in code.co_consts if isinstance(one, types.CodeType)]
    return {*code.co_names}.union(*map(names_in, inner))


def read_options(name: str, function: Callable[..., Any], given: Mapping[str, Any], filled: set[str]) -> dict[str, Any]:
    """Options of a user's function, checked against its signature and read by its annotations and defaults.

    Args:
        name: of the function, for messages.
        function: a function or class.
        given: options by name; text is read as the annotation, or else the default, asks for.
        filled: arguments that Surefooted supplies.

    Raises:
        ArgumentError: for an unknown option, a missing one, or a value of another type.

    Example:
        >>> def net(classes, width: int = 8): ...
        >>> read_options("my:net", net, {"width": "16"}, {"classes"})
        {'width': 16}
    """
    parameters = arguments_of(function)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    options = [p.name for p in parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    for option in given:
        if option not in options and not open_ended:
            free = [one for one in options if one not in filled]
            hint = did_you_mean(option, free) if free else " It takes no options."
            raise ArgumentError(f"{name} has no argument {option!r}.{hint}")
    missing = [p for p in options if parameters[p].default is inspect.Parameter.empty and p not in {*given, *filled}]
    if missing:
        raise ArgumentError(
            f"{name} needs arguments ({', '.join(missing)}). Give them as options, or name a function that fills them "
            "in."
        )
    hints = _hints_of(function)
    return {key: _read(name, key, value, hints.get(key), parameters.get(key)) for key, value in given.items()}


def arguments_of(function: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of a function or class; none if they are not known, as for functions written in C."""
    try:
        return inspect.signature(function).parameters
    except (TypeError, ValueError):
        return {}


def first_line(error: BaseException) -> str:
    """Type and first line of an error of the user's code.

    Example:
        >>> first_line(ValueError("no such layer."))
        'ValueError: no such layer'
    """
    line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}{': ' * bool(line)}{line.rstrip('.')}"


def _import(module: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        with redirect_stdout(sys.stderr):
            return importlib.import_module(module)
    except (Exception, SystemExit) as error:  # the user's code may raise anything, and a script may exit
        raise ArgumentError(
            f"The module {module!r} cannot be imported ({first_line(error)}). Run in its folder or add that folder to "
            f'PYTHONPATH, and try: python -c "import {module}".'
        ) from None


def _read(name: str, option: str, value: Any, hint: Any, parameter: inspect.Parameter | None) -> Any:
    if hint is None and parameter is not None and isinstance(parameter.default, _PLAIN[1:]):
        hint = type(parameter.default)
    if hint is None:
        with suppress(ValueError, SyntaxError):
            return ast.literal_eval(value) if isinstance(value, str) else value
        return value
    try:
        read: Any = TypeAdapter(hint).validate_python(read_text(value, hint))
        return read
    except ValidationError as error:
        first = error.errors(include_url=False)[0]["msg"]
        raise ArgumentError(f"{name}: {option} is {value!r}: {first[:1].lower()}{first[1:]}.") from None


def _hints_of(function: Any) -> dict[str, Any]:
    try:
        initialiser: Any = getattr(function, "__init__", None)
        return get_type_hints(initialiser if isinstance(function, type) else function)
    except Exception:  # annotations may name what exists for type checkers only
        return {}


def _parts(value: Any, seen: set[int]) -> Iterator[str]:
    """The source of an object, then that of what it uses."""
    if not isinstance(value, _CODE):
        yield from _content(value, seen, type(value).__qualname__)
        return
    if id(value) in seen:
        return
    seen.add(id(value))
    if isinstance(value, functools.partial):
        yield from _parts(value.func, seen)
        for part in (*value.args, *sorted(value.keywords.items())):
            yield from _content(part, seen, "a partial function")
        return
    value = inspect.unwrap(value)
    if isinstance(value, types.MethodType):
        yield from _content(value.__self__, seen, value.__qualname__)
        value = value.__func__
    if isinstance(value, types.BuiltinFunctionType):
        yield f"{value.__module__}:{value.__qualname__}"
        return
    yield f"{value.__module__ if _is_library(value) else ''}:{value.__qualname__}"
    if not _is_library(value):
        yield from _own_parts(value, seen)


def _own_parts(value: Any, seen: set[int]) -> Iterator[str]:
    yield _source(value)
    if isinstance(value, type):
        for base in value.__bases__:
            yield from _parts(base, seen)
        functions = []
        for name, member in vars(value).items():
            member = _unwrapped(getattr(member, "__func__", getattr(member, "fget", member)))
            if isinstance(member, types.FunctionType):
                functions.append(member)
            elif not name.startswith("__") and not inspect.isdatadescriptor(member):
                yield name
                yield from _content(member, seen, value.__qualname__)
    else:
        functions = [value]
    for function in functions:
        # The source may have been edited since the function was made; what runs is its code.
        yield from _instructions(function.__code__)
        yield from _content((function.__defaults__, function.__kwdefaults__), seen, function.__qualname__)
        names = sorted(names_in(function.__code__))
        for module in _imported_in(function.__code__, function.__globals__.get("__package__")):
            yield from _of_module(module, names, seen)
        for name in names:
            used = function.__globals__.get(name)
            if isinstance(used, types.ModuleType):
                yield from _of_module(used, names, seen)
            elif name in function.__globals__:
                yield name
                yield from _content(used, seen, function.__qualname__)
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            if name == "__class__":
                continue
            yield name
            yield from _content(cell.cell_contents, seen, function.__qualname__)


def _of_module(module: types.ModuleType, names: Sequence[str], seen: set[int]) -> Iterator[str]:
    """What code with these names may use of a module, and of the modules in it; nothing of a library."""
    if _is_library(module):
        return
    for name in names:
        used = getattr(module, name, None)
        if isinstance(used, types.ModuleType) and id(used) not in seen:
            seen.add(id(used))
            yield from _of_module(used, names, seen)
        elif hasattr(module, name) and not isinstance(used, types.ModuleType):
            yield name
            yield from _content(used, seen, module.__name__)


def _imported_in(code: types.CodeType, package: str | None) -> Iterator[types.ModuleType]:
    """The modules that a function imports, and functions inside it."""
    level: Any = 0
    for one in dis.get_instructions(code):
        if one.opname == "LOAD_CONST" and isinstance(one.argval, int):
            level = one.argval
        if one.opname == "IMPORT_NAME":
            with suppress(ArgumentError, ImportError):
                yield _import(importlib.util.resolve_name("." * level + one.argval, package))
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _imported_in(inner, package)


def _instructions(code: types.CodeType) -> Iterator[str]:
    yield f"{code.co_code.hex()} {code.co_names} {[c for c in code.co_consts if isinstance(c, _PLAIN)]}"
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _instructions(inner)


def _content(value: Any, seen: set[int], held_by: str) -> Iterator[str]:
    """What a value adds to a hash: plain data and arrays their content, code its source, other objects their state.

    Args:
        held_by: what holds the value, for the message about a value whose content is not known.
    """
    if isinstance(value, _PLAIN):
        yield repr(value)
    elif isinstance(value, tuple | list | set | frozenset):
        yield type(value).__name__
        for part in sorted(value, key=repr) if isinstance(value, set | frozenset) else value:
            yield from _content(part, seen, held_by)
    elif isinstance(value, Mapping):
        yield type(value).__name__
        for item in value.items():
            yield from _content(item, seen, held_by)
    elif hasattr(value, "detach") and hasattr(value, "cpu"):  # a tensor
        yield f"{value.dtype} {tuple(value.shape)} {value.detach().cpu().flatten().tolist()}"
    elif hasattr(value, "dtype") and hasattr(value, "tobytes"):  # an array
        yield f"{value.dtype} {value.shape}"
        yield value.tolist().__repr__() if value.dtype.hasobject else value.tobytes().hex()
    elif isinstance(value, _CODE):
        yield from _parts(value, seen)
    elif isinstance(value, types.ModuleType | logging.Logger):
        yield value.__name__ if isinstance(value, types.ModuleType) else value.name
    elif id(value) in seen:
        return
    else:
        seen.add(id(value))
        yield from _parts(type(value), seen)
        if hasattr(value, "__dict__"):
            yield from _content({k: v for k, v in vars(value).items() if k != "training"}, seen, held_by)
        elif " at 0x" not in (text := repr(value)):
            yield text
        else:
            raise ArgumentError(
                f"{held_by} holds {type(value).__name__}, whose content is not known, so it has no reproducible key. "
                "Pass plain numbers, or train unstored (`store=None`)."
            )


def _source(value: Any) -> str:
    try:
        source = textwrap.dedent(inspect.getsource(value))
    except (OSError, TypeError):
        raise ArgumentError(
            f"The source of {value.__qualname__} is not available, so it has no reproducible key. Put it into a file, "
            "or train unstored (`store=None`)."
        ) from None
    return source


def _unwrapped(value: Any) -> Any:
    return inspect.unwrap(value) if isinstance(value, types.FunctionType) else value


def _is_library(value: Any) -> bool:
    """Whether this is code of Python, of an installed package or of this package."""
    name = value.__name__ if isinstance(value, types.ModuleType) else value.__module__ or "__main__"
    if name == "__main__" or name.partition(".")[0] == "surefooted":
        return name != "__main__"
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return name in sys.modules
    return _is_library_file(file)


def _is_library_file(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file or file.startswith(sysconfig.get_path("stdlib"))
