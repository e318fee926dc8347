"""Check that every internal link of built HTML pages leads to a file and a place in it.

Usage: ``python tools/check_links.py docs/_build/html``
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlparse


class Page(HTMLParser):
    """Links and places of a page."""

    def __init__(self, path):
        super().__init__()
        self.links, self.places = [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if attrs.get("id"):
            self.places.add(attrs["id"])
        if tag == "a" and attrs.get("name"):
            self.places.add(attrs["name"])
        for name in ("href", "src"):
            if attrs.get(name):
                self.links.append(attrs[name])


def broken_links(folder):
    """Links of the pages below a folder that lead nowhere, as texts."""
    folder = Path(folder).resolve()
    paths = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.parts]
    pages = {path: Page(path) for path in paths}
    broken = []
    for path, page in pages.items():
        for link in dict.fromkeys(page.links):
            address, place = urldefrag(link)
            if urlparse(address).scheme or address.startswith("//"):
                continue
            target = path if not address else (path.parent / unquote(address.partition("?")[0]))
            target = target.resolve()
            if not target.exists():
                broken.append(f"{path.relative_to(folder)}: no file for {link}")
            elif place and target in pages and unquote(place) not in pages[target].places:
                broken.append(f"{path.relative_to(folder)}: no place for {link}")
    return broken


if __name__ == "__main__":
    found = broken_links(sys.argv[1])
    print("\n".join(found) if found else "All internal links lead somewhere.")
    sys.exit(bool(found))
