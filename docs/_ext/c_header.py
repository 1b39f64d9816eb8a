"""The directive `c-header`: the reference of a C header, made of the header itself.

    ```{c-header} ../../csrc/netpoll.h
    ```

What it knows of the style of our headers: a line `/* --- title --- */` begins a section; a comment
stands before what it describes, or after it on the same line; declarations are plain.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.util.docutils import SphinxDirective

SECTION = re.compile(r"/\* --- (.*?) -+ \*/")
ITEM = re.compile(
    r"""
      (?P<comment> /\* .*? \*/ )
    | \#define \s+ (?P<macro> \w+) \s+ (?P<value> \S+)
    | typedef \s+ struct \s+ (?P<struct> \w+) \s* \{ (?P<fields> .*?) \} \s* \w+ ;
    | typedef \s+ (?P<type> [^;{]+?) (?P<name> \w+) ;
    | (?P<function> \w [^;{}\#]*? \) ) ;
    """,
    re.VERBOSE | re.DOTALL,
)


def text_of(comment: str) -> str:
    """The words of a comment, names of functions becoming references."""
    lines = [line.strip().removeprefix("*").strip() for line in comment[2:-2].split("\n")]
    paragraphs = " ".join(line or "\n\n" for line in lines).strip()
    return re.sub(r"\b(np_\w+)\b(?!\.)", r"{c:expr}`\1`", paragraphs).replace("*n", r"\*n")


def entry(kind: str, what: str, text: str = "", fence: str = "````") -> str:
    return f"{fence}{{c:{kind}}} {' '.join(what.split())}\n\n{text}\n{fence}\n"


def fields_of(body: str) -> Iterator[str]:
    for declaration, comment in re.findall(r"([^;]+);[ \t]*(/\*.*?\*/)?", body, re.DOTALL):
        plain = re.sub(r"/\*.*?\*/", "", declaration, flags=re.DOTALL)
        yield entry("member", plain, text_of(comment) if comment else "", "```")


def described(item: re.Match[str], text: str) -> str:
    if item["macro"]:
        return entry("macro", item["macro"], f"`{item['value']}`. {text}")
    if item["struct"]:
        fields = "\n".join(fields_of(item["fields"]))
        return entry("struct", item["struct"], f"{text}\n\n{fields}", "`````")
    if item["name"]:
        return entry("type", f"{item['type']} {item['name']}", text)
    return entry("function", item["function"], text)


def reference_to(item: re.Match[str]) -> str:
    """To a function or a constant; to anything else, none."""
    if item["macro"]:
        return f"{{c:macro}}`{item['macro']}`"
    found = re.search(r"\b(np_\w+)\(", item["function"] or "")
    return f"{{c:expr}}`{found[1]}`" if found else ""


def items_of(section: str) -> Iterator[str]:
    """In a paragraph of the header a comment is about what follows it, up to the next comment; one
    that stands behind a declaration is about that alone.  Of functions and constants that share a
    comment the first has it, and the others name that one."""
    for paragraph in re.split(r"\n{2,}", section):
        found = list(ITEM.finditer(paragraph))
        leading, fresh, first = "", False, ""
        for item, following in zip_longest(found, found[1:]):
            line = paragraph[: item.start()].rpartition("\n")[2]
            if item["comment"]:
                if not line:
                    leading, fresh, first = text_of(item["comment"]), True, ""
                continue
            own = ""
            if following and following["comment"]:
                between = paragraph[item.end() : following.start()]
                own = "" if "\n" in between else text_of(following["comment"])
            if fresh:
                first = reference_to(item)
            shared = f"Described with {first}." if first else leading
            texts = [leading, own] if fresh else [own or shared]
            yield described(item, "\n\n".join(filter(None, texts)))
            fresh = False


def sections_of(header: str) -> Iterator[tuple[str, str]]:
    """Titles and texts; the first, without a title, is what stands before all."""
    parts = SECTION.split(header)
    yield "Constants and types", parts[0]
    yield from zip(parts[1::2], parts[2::2], strict=True)


class CHeader(SphinxDirective):
    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        path = (Path(self.env.doc2path(self.env.docname)).parent / self.arguments[0]).resolve()
        self.env.note_dependency(str(path))
        header = path.read_text(encoding="utf-8")
        body = header[header.index('extern "C" {') :].partition("#endif\n")[2]
        body = body.partition("#ifdef __cplusplus\n}")[0]
        body = re.sub(r"/\* cdef: \w+ \*/\n|^#(?!define).*\n", "", body, flags=re.MULTILINE)
        lines: list[str] = []
        for title, text in sections_of(body):
            lines += [f"## {title.capitalize()}", "", *items_of(text)]
        missing = set(re.findall(r"\b(np_\w+)\(", re.sub(r"/\*.*?\*/", "", body, flags=re.DOTALL)))
        missing -= set(re.findall(r"\{c:function\} [^\n]*?(np_\w+)\(", "\n".join(lines)))
        if missing:
            raise self.error(f"not understood in {path.name}: {', '.join(sorted(missing))}")
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Any) -> dict[str, bool]:
    app.add_directive("c-header", CHeader)
    return {"parallel_read_safe": True}
