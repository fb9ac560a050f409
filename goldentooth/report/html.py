"""HTML for pages and notebooks: everything that is put in is escaped here.

A fragment goes by the colours that it finds (a notebook's theme), a page brings its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from goldentooth.text import printable


class Html(str):
    """Text that is HTML already; any other text is escaped where it is put in."""

    __slots__ = ()


def html(value: object) -> Html:
    """Return ``value`` as HTML: escaped, unless it is HTML already.

    >>> html("<script>"), html(Html("<br>"))
    ('&lt;script&gt;', '<br>')
    """
    return value if isinstance(value, Html) else Html(escape(printable(str(value))))


def element(name: str, *content: object, **attributes: object) -> Html:
    """Return an element; ``class_`` and ``aria_label`` are attributes that Python cannot spell.

    >>> element("td", "a & b", class_="number")
    '<td class="number">a &amp; b</td>'
    """
    shown = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html(value)}"' for key, value in attributes.items()
    )
    return Html(f"<{name}{shown}>{''.join(map(html, content))}</{name}>")


def table(header: Sequence[object], rows: Iterable[Sequence[object]], *, caption: str = "") -> Html:
    """Return a table whose first column names the row; numbers end flush."""
    head = (element("th", cell, scope="col") for cell in header)
    body = (
        element("tr", element("th", first, scope="row"), *map(_cell, rest)) for first, *rest in rows
    )
    return element(
        "table",
        *([element("caption", caption)] if caption else []),
        element("thead", element("tr", *head)),
        element("tbody", *body),
    )


def fragment(*content: object) -> str:
    """Return ``content`` for a notebook, with its style."""
    return element("div", element("style", Html(STYLE)), *content, class_="goldentooth")


def page(title: str, *content: object) -> str:
    """Return a whole page that loads nothing and runs nothing, for large and small screens."""
    head = (
        '<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        '<meta http-equiv="Content-Security-Policy"'
        " content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html(title)}</title>\n<style>{STYLE}{PAGE_STYLE}</style>"
    )
    body = element("main", *content, class_="goldentooth")
    document = f'<html lang="en">\n<head>\n{head}\n</head>\n<body>\n{body}\n</body>\n</html>'
    return f"<!doctype html>\n{document}\n"


def _cell(value: object) -> Html:
    if isinstance(value, int | float):
        return element("td", value, class_="number")
    return element("td", value)


STYLE = """
.goldentooth table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
.goldentooth caption { text-align: left; padding: .3em 0; }
.goldentooth th, .goldentooth td { text-align: left; vertical-align: top; padding: .25em .7em;
  border-bottom: 1px solid rgba(128, 128, 128, .3); }
.goldentooth thead th { white-space: nowrap; }
.goldentooth tbody th { font-weight: 600; white-space: nowrap; }
.goldentooth .number { text-align: right; }
.goldentooth .chip { display: inline-block; padding: 0 .5em; border-radius: .7em;
  border: 1px solid transparent; white-space: nowrap; }
.goldentooth .good { background: rgba(46, 160, 67, .16); border-color: rgba(46, 160, 67, .4); }
.goldentooth .bad { background: rgba(248, 81, 73, .18); border-color: rgba(248, 81, 73, .5); }
.goldentooth .unknown { background: rgba(210, 153, 34, .2); border-color: rgba(210, 153, 34, .55); }
.goldentooth .muted { opacity: .75; }
.goldentooth details, .goldentooth .entry { margin: .4em 0; }
.goldentooth summary { cursor: pointer; overflow-wrap: anywhere; padding: .3em 0; }
.goldentooth pre { overflow-x: auto; margin: .4em 0; padding: .6em .8em; line-height: 1.45;
  border: 1px solid rgba(128, 128, 128, .3); border-radius: .4em; }
.goldentooth pre code { display: inline-block; min-width: 100%; background: none; padding: 0; }
.goldentooth pre span { display: block; white-space: pre; }
.goldentooth .hidden { position: absolute; width: 1px; height: 1px; overflow: hidden;
  clip-path: inset(50%); white-space: nowrap; }
.goldentooth .added { background: rgba(46, 160, 67, .18); }
.goldentooth .removed { background: rgba(248, 81, 73, .2); }
.goldentooth .place, .goldentooth .file { opacity: .75; }
.goldentooth .file { font-weight: 600; }
"""

PAGE_STYLE = """
:root { color-scheme: light dark; --ink: #1f2328; --paper: #ffffff; --link: #0550ae; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --link: #79b8ff; }
}
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper);
  font: 1rem/1.5 system-ui, sans-serif; -webkit-text-size-adjust: 100%; }
main { max-width: 70rem; margin: 0 auto; padding: 1rem; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; margin: .2rem 0; }
h2 { font-size: 1.2rem; margin: 1.6rem 0 .4rem; }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem; }
a { color: var(--link); }
pre { font: .85rem/1.45 ui-monospace, monospace; }
.scroll { position: relative; overflow-x: auto; overflow-wrap: normal; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible {
  outline: 2px solid var(--link); outline-offset: 2px; }
.scroll tbody th, .scroll thead th:first-child { position: sticky; left: 0;
  background: var(--paper); }
ul.counts { list-style: none; display: flex; flex-wrap: wrap; gap: .4rem; padding: 0; }
@media (max-width: 40rem) { .goldentooth th, .goldentooth td { padding: .25em .35em; } }
@media print { pre { white-space: pre-wrap; } }
"""
