"""YAML of every file of this package: one reader, with limits, and one writer.

Files may come from anywhere: what they can cost is bounded before anything is made of them, and everything
that is wrong with them is a ConfigError or a DataError with the file's name.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import Any, cast

import yaml

from mbmf.errors import ConfigError, MbmfError
from mbmf.words import show

MAX_BYTES = 32 << 20
MAX_DEPTH = 50
# values that are written out; a path of 100,000 points has 300,001
MAX_NODES = 1_000_000
# values that aliases stand for, once each time they are used
MAX_ALIASED = 100_000
MAX_DIGITS = 1000
# libyaml is ten times faster; the parser in Python says better what is wrong
_SMALL_TEXT = 50_000

# numbers that YAML 1.1 takes for octal ones and for hours, minutes and seconds
_OCTAL = re.compile(r"[-+]?0[0-9_]+")
_NUMBERS = {f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp")}


class _Checks(yaml.composer.Composer):
    """Composes nodes, and counts them."""

    check_event: Any  # of the parser that it is put together with
    peek_event: Any

    def _begin(self, cycles: bool) -> None:
        self._cycles = cycles
        self._depth = self._nodes = self._aliased = 0
        self._sizes: dict[int, int] = {}  # of finished collections, by the identity of their nodes

    def compose_node(self, parent: Any, index: Any) -> Any:
        alias = self.check_event(yaml.AliasEvent)
        event = self.peek_event()
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise _TooMuchError(f"that is nested less deeply, got more than {MAX_DEPTH} levels", event)
        before = self._nodes + self._aliased
        node = super().compose_node(parent, index)
        self._depth -= 1
        if alias:
            self._add_alias(node, event)
        else:
            self._nodes += 1
            if self._nodes > MAX_NODES:
                raise _TooMuchError(f"of at most {MAX_NODES} values, got more", event)
            if event.anchor is not None:
                self._sizes[id(node)] = self._nodes + self._aliased - before
        return node

    def _add_alias(self, node: Any, event: Any) -> None:
        size = self._sizes.get(id(node))
        if size is None:
            if not self._cycles:
                raise _TooMuchError("that is free of references to itself, got one", event)
            size = 1
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            raise _TooMuchError(f"whose aliases stand for at most {MAX_ALIASED} values, got more", event)


class _Plain(yaml.constructor.SafeConstructor):
    """Makes plain data; a key twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
            if not isinstance(key, yaml.ScalarNode):
                continue
            identity = (key.tag, key.value)
            if identity in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {show(key.value)} is there twice", key.start_mark
                )
            seen.add(identity)
        return cast("dict[Any, Any]", super().construct_mapping(node, deep=deep))

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and len(node.value) > MAX_DIGITS:
            raise ValueError(f"Exceeds the limit of {MAX_DIGITS} characters for a number")
        if isinstance(node, yaml.ScalarNode) and node.tag in _NUMBERS and _misleads(node):
            raise yaml.constructor.ConstructorError(
                None,
                None,
                f"a number must be without leading zeros and colons, a text in quotes, got {node.value}",
                node.start_mark,
            )
        try:
            return super().construct_object(node, deep=deep)
        except (AttributeError, LookupError, TypeError):
            # PyYAML takes a tag at its word
            if not isinstance(node, yaml.ScalarNode):
                raise
            what = f"the tag {node.tag.removeprefix('tag:yaml.org,2002:')} must fit its text"
            raise yaml.constructor.ConstructorError(
                None, None, f"{what}, got {show(node.value)}", node.start_mark
            ) from None


def _misleads(node: yaml.ScalarNode) -> bool:
    """Whether a number is another one than it looks: 010 is 8, and 1:30 is 90."""
    kind = node.tag.rpartition(":")[2]
    if kind == "timestamp":
        return False
    return ":" in node.value or (kind == "int" and _OCTAL.fullmatch(node.value) is not None)


class _Loader(
    _Checks, yaml.reader.Reader, yaml.scanner.Scanner, yaml.parser.Parser, _Plain, yaml.resolver.Resolver
):
    """Safe YAML where 1e-3 is a number (to YAML 1.1 it is a string)."""

    def __init__(self, text: str, cycles: bool) -> None:
        yaml.reader.Reader.__init__(self, text)
        yaml.scanner.Scanner.__init__(self)
        yaml.parser.Parser.__init__(self)
        yaml.composer.Composer.__init__(self)
        _Plain.__init__(self)
        yaml.resolver.Resolver.__init__(self)
        self._begin(cycles)


_LOADERS: list[Any] = [_Loader]
if yaml.__with_libyaml__:
    _CParser: Any = yaml.CSafeLoader.__mro__[1]  # yaml.cyaml.CParser, which its types do not know

    class _FastLoader(_Checks, _CParser, _Plain, yaml.resolver.Resolver):  # type: ignore[misc]
        """The same with libyaml's parser."""

        def __init__(self, text: str, cycles: bool) -> None:
            _CParser.__init__(self, text)
            yaml.composer.Composer.__init__(self)
            _Plain.__init__(self)
            yaml.resolver.Resolver.__init__(self)
            self._begin(cycles)

    _LOADERS.append(_FastLoader)


class _Dumper(yaml.SafeDumper):
    """Quotes a text that the loaders would read as a number."""


_DUMPERS: list[Any] = [_Dumper]
if yaml.__with_libyaml__:

    class _FastDumper(yaml.CSafeDumper):
        """The same with libyaml's emitter."""

    _DUMPERS.append(_FastDumper)

for _each in (*_LOADERS, *_DUMPERS):
    _each.add_implicit_resolver(
        "tag:yaml.org,2002:float",
        re.compile(r"^[-+]?[0-9][0-9_]*(\.[0-9_]*)?[eE][-+]?[0-9]+$"),
        list("-+0123456789"),
    )


class _TooMuchError(Exception):
    """A limit is exceeded: what the text must be, and the event where it is not."""


def parse_yaml(text: str, file: str, *, error: type[MbmfError] = ConfigError, cycles: bool = False) -> Any:
    """The value of a YAML text, plain data. Raises ``error`` with the line and column (from 1) of the fault.

    cycles: a value may contain itself.
    """
    if len(text) > MAX_BYTES:
        raise error(f"{file}: must be YAML of at most {MAX_BYTES >> 20} MiB, got {len(text) >> 20}")
    loader = None
    try:
        loader = _LOADERS[len(text) > _SMALL_TEXT and len(_LOADERS) > 1](text, cycles)
        return loader.get_single_data()
    except yaml.MarkedYAMLError as problem:
        mark = problem.problem_mark or problem.context_mark
        raise error(f"{file}{_where(mark)}: must be YAML: {problem.problem or problem.context}") from problem
    except _TooMuchError as problem:
        requirement, event = problem.args
        raise error(f"{file}: must be YAML {requirement}{_where(event.start_mark)}") from None
    except RecursionError:
        raise error(f"{file}: must be YAML that is nested less deeply") from None
    # whatever PyYAML raises for a text that does not fit its tag is about the file
    except (yaml.YAMLError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as problem:
        raise error(f"{file}: must be YAML: {_said(problem)}") from problem
    finally:
        if loader is not None:
            loader.dispose()


def read_text(path: Path, error: type[MbmfError] = ConfigError, limit: int = MAX_BYTES) -> str:
    """A file's text. Raises ``error``, which names the file, if it is not UTF-8, too large or no file."""
    try:
        # a pipe must not keep us waiting
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode) and not stat.S_ISDIR(found.st_mode):
                raise error(f"{path}: must be a file, got a device or a pipe")
            # memory is taken for so many bytes before they are read
            data = file.read(min(limit, max(found.st_size, MAX_BYTES)) + 1)
    except ValueError as problem:  # a name with a null byte
        if isinstance(problem, MbmfError):
            raise
        raise error(f"{show(str(path))}: must be the name of a file") from None
    if len(data) > limit:
        raise error(f"{path}: must be a file of at most {limit >> 20} MiB, got a larger one")
    try:
        return data.decode()
    except UnicodeDecodeError as problem:
        raise error(f"{path}: must be UTF-8 text, got a wrong byte at {problem.start}") from problem


def write_yaml(value: Any) -> str:
    """Plain data as YAML, in order; lists of numbers on one line each."""
    text: str = yaml.dump(value, Dumper=_DUMPERS[-1], sort_keys=False, default_flow_style=None, width=100)
    return text


def _where(mark: Any) -> str:
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark is not None else ""


def _said(problem: BaseException) -> str:
    """What an exception says; a KeyError says only the key."""
    text = " ".join(str(problem).split())[:200]
    fits = isinstance(problem, yaml.YAMLError | ValueError | ArithmeticError)
    return text if fits and text else "a tag must fit its text"
