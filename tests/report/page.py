"""A parser that sees a page as a browser does."""

import re
from html.parser import HTMLParser
from typing import Any

from splitward.record.schema import Record

Made = tuple[Record, dict[str, Any]]


class Page(HTMLParser):
    """Every tag with its attributes, the text of the page, and the text of ``data`` elements by their value."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.source = text
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.words: list[str] = []
        self.numbers: list[tuple[str, str]] = []
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self._open: list[tuple[str, dict[str, str]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        self._open.append((tag, attributes))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        tag, attributes = self._open[-1] if self._open else ("", {})
        if tag in self.raw:
            self.raw[tag].append(data)
        elif data.strip():
            self.words.append(data.strip())
            if tag == "data":
                self.numbers.append((attributes["value"], data.strip()))

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]

    @property
    def tiles(self) -> dict[str, tuple[str, str]]:
        """Key figures: title to (value, text)."""
        pattern = r'<dt>([^<]*)</dt><dd><span class="big"><data value="([^"]*)">([^<]*)</data>'
        return {title: (value, text) for title, value, text in re.findall(pattern, self.source)}

    @property
    def headings(self) -> list[str]:
        levels = [name for name, _ in self.tags if name in {"h1", "h2", "h3", "h4", "h5"}]
        return levels
