"""A page of the documentation, taken apart: what it has one type, and what it says that this prints."""

import re
from pathlib import Path
from typing import List, NamedTuple

from tests.support import ROOT


class Block(NamedTuple):
    """An example of a page. `printed` is the text block that follows it at once."""

    kind: str
    text: str
    printed: str

    @property
    def title(self) -> str:
        """What its first line says behind the #."""
        first = self.text.split("\n", 1)[0]
        return first[1:].strip() if first.startswith("#") else ""


def blocks(page: str) -> List[Block]:
    """The examples of a page of docs/ or of the README, in order."""
    text = (ROOT / page).read_text(encoding="utf-8")
    found = [Block(kind, content, "") for kind, content in re.findall(
        r"^```(\w+)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)]
    for at in range(len(found) - 1, 0, -1):
        if found[at].kind == "text":
            found[at - 1] = found[at - 1]._replace(printed=found[at].text)
    return [block for block in found if block.kind != "text"]


def save(block: Block, directory: Path) -> None:
    """Do what a reader does with a Python example: save it, or put it below what its file has."""
    name, _, more = block.title.partition(",")
    with open(str(directory / name), "a" if more else "w", encoding="utf-8") as file:
        file.write(block.text)


def told(output: str) -> List[List[str]]:
    """What was printed, line by line and word by word: how long it took may differ."""
    return [["a while" if re.fullmatch(r"[0-9]+s", word) else word for word in line.split()]
            for line in output.splitlines()]
