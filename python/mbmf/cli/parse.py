"""From a command line to a command's options, and its help: tyro, with texts that wrap and 1e6."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import textwrap
import types
import typing
from collections.abc import Sequence
from typing import Annotated, Any, Union, get_args, get_origin

import tyro
from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

FLAGS_EITHER_WAY = "Options may be written with underscores or with dashes: --run_num, --run-num."

_METAVARS = {int: "INT", float: "FLOAT", str: "TEXT"}


def parse(options: Any, prog: str, args: Sequence[str]) -> Any:
    """An instance of ``options``, a dataclass or a union of annotated ones, from the words of a command.

    Raises SystemExit: 0 after help, 2 for words that cannot be parsed, as argparse does.
    """
    description = None
    if dataclasses.is_dataclass(options):
        description = f"{inspect.getdoc(options)}\n\n{FLAGS_EITHER_WAY}"
    return tyro.cli(
        _described(options),
        prog=prog,
        args=_gathered(args),
        description=description,
        registry=_numbers(),
        use_underscores=True,
    )


def _gathered(args: Sequence[str]) -> list[str]:
    """The words with what several --set have in one, at the end: of a repeated flag tyro takes the last."""
    words: list[str] = []
    changes: list[str] = []
    given = within = False
    for word in args:
        flag, equals, value = word.partition("=")
        if flag == "--set":
            given, within = True, not equals
            changes += [value] if equals else []
        elif within and not word.startswith("--"):
            changes.append(word)
        else:
            within = False
            words.append(word)
    return [*words, "--set", *changes] if given else words


def flags(options: Any) -> list[str]:
    """The options' names, as they are written; of a union those of all of its parts."""
    if dataclasses.is_dataclass(options):
        return [f"--{field.name}" for field in dataclasses.fields(options)]
    return sorted({flag for part in get_args(options) for flag in flags(get_args(part)[0])})


def whole(text: str) -> int:
    """A whole number as people write it: 1000000, 1_000_000, 1e6. Raises ValueError."""
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if not number.is_integer() or abs(number) > 2**53:
        raise ValueError(f"{text} is not a whole number")
    return int(number)


def _numbers() -> ConstructorRegistry:
    registry = ConstructorRegistry()

    @registry.primitive_rule
    def whole_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
        if info.type is not int:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda words: whole(words[0]),
            is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def _described(options: Any) -> Any:
    """The options with their fields' texts given to tyro in one line each, for it to wrap.

    A field's metadata are more for `tyro.conf.arg`: other names of the flag, for instance.
    """
    if not dataclasses.is_dataclass(options):
        parts = [Annotated[(_described(part), *rest)] for part, *rest in map(get_args, get_args(options))]
        return Union[tuple(parts)]  # noqa: UP007 - of types that are known at run time only
    assert isinstance(options, type)
    texts, hints = _texts(options), typing.get_type_hints(options, include_extras=True)
    fields = []
    for field in dataclasses.fields(options):
        settings: dict[str, Any] = {"help": texts.get(field.name), **field.metadata}
        hint = hints[field.name]
        if field.default is None or field.default is False or field.default == ():
            settings["help_behavior_hint"] = ""  # the text says what is so without it
        kinds = [kind for kind in _kinds(hint) if kind is not type(None)]
        if len(kinds) == 1 and len(_kinds(hint)) == 2:
            settings.setdefault("metavar", _METAVARS.get(kinds[0], "PATH"))
        fields.append((field.name, Annotated[hint, tyro.conf.arg(**settings)], _copy(field)))
    name = options.__name__
    described = dataclasses.make_dataclass(name, fields, bases=(options,), frozen=True)
    described.__doc__ = options.__doc__
    return described


def _kinds(hint: Any) -> list[Any]:
    """The members of a union, or the type itself."""
    return list(get_args(hint)) if get_origin(hint) in (Union, types.UnionType) else [hint]


def _copy(field: dataclasses.Field[Any]) -> Any:
    return dataclasses.field(default=field.default, kw_only=bool(field.kw_only))


def _texts(options: type) -> dict[str, str]:
    """The texts below the fields of a dataclass and of those that it is made of."""
    found: dict[str, str] = {}
    for kind in reversed(options.__mro__[:-1]):
        body = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
        assert isinstance(body, ast.ClassDef)
        for before, after in zip(body.body, body.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
                and isinstance(after.value.value, str)
            ):
                found[before.target.id] = " ".join(after.value.value.split())
    return found
