"""The report as one page that needs nothing else: to listen through, in any browser, offline."""

import html
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from drumjax.audio.mel import MelConfig
from drumjax.evals.reconstruction import original
from drumjax.evals.report_media import audio_uri, picture_uris, scatter
from drumjax.evals.report_style import STYLE
from drumjax.evals.report_tables import (
    Numbers,
    Table,
    counted,
    headlines,
    number,
    subtitle,
    tables,
)
from drumjax.evals.run import Results

LARGEST = 14_000_000  # characters of a page
_SIZES = ((3, 8), (2, 6), (2, 4), (1, 3), (1, 1))  # (known, new) sounds of each category

_POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"
_STAGES = {"original": "original", "rendered": "whole chain", "inverter": "inverter alone"}


def page(results: Results) -> str:
    """The page, no longer than LARGEST characters as long as that is possible.

    All text that comes from files or from the instrument is escaped, and the page's own policy
    forbids scripts and whatever is not inside it.
    """
    numbers = results.numbers
    before, after = _head_lines(numbers), _figures(results) + _tables(numbers) + _notes(numbers)
    made = ""
    for sizes in _SIZES:
        made = _document(numbers, before + "".join(_listen(results, *sizes)) + after)
        if len(made) <= LARGEST:
            break
    return made


def _document(numbers: Numbers, body: str) -> str:
    """The whole page around its body."""
    name = _text(numbers["subject"]["name"])
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="color-scheme" content="light dark">
<title>{name}: drumjax report</title>
<style>{STYLE}</style>
</head>
<body>
<main>
<header><h1>{name}</h1><p>{_text(subtitle(numbers))}</p></header>
{body}
</main>
</body>
</html>
"""


def _text(words: object) -> str:
    """A stranger's words, harmless."""
    return html.escape(" ".join(str(words).split()))


def _head_lines(numbers: Numbers) -> str:
    cards = [
        f"<li><h3>{_text(line.title)}</h3><p class=value>{_value(line.value)}</p>"
        f"<p>{_text(line.words)}</p><p class=beside>{_text(line.beside)}</p></li>"
        for line in headlines(numbers)
    ]
    return f'<section aria-label="Headline"><ul class=cards>{"".join(cards)}</ul></section>'


def _value(text: str) -> str:
    """A value, its interval smaller."""
    return re.sub(r"(\(.+\))", r"<small>\1</small>", _text(text))


def _listen(results: Results, known: int, new: int) -> Iterator[str]:
    """Players and pictures, category by category."""
    judged = results.material.judged
    present = [int(c) for c in np.unique(judged.category)]
    links = "".join(f'<a href="#c{c}">{_text(judged.categories[c])}</a> ' for c in present)
    yield (
        "<section><h2>Listen</h2><p>Everything is brought to the same peak. Pictures: a second "
        "from left to right, frequency upwards, 80 dB from black to bright.</p>"
        f'<nav aria-label="Categories">{links}</nav>'
    )
    for c in present:
        yield _category(results, c, known, new)
    yield "</section>"


def _category(results: Results, category: int, known: int, new: int) -> str:
    judged, mel = results.material.judged, results.mel
    name = judged.categories[category]
    own = np.flatnonzero(judged.category == category)
    kits = len({judged.kits[i] for i in own})
    parts = [f'<section class=category id="c{category}"><h3>{_text(name)}</h3>']
    parts.append(f"<p>{counted(len(own), kits)}. {_heard_as(results.numbers, name)}</p>")
    chosen = _of_many_kits(own, judged.kits)[:known]
    sides = {"original": original(judged, np.array(chosen))}
    if results.heard is not None:
        made = results.heard.sounds
        sides |= {s: made[s][chosen] for s in ("rendered", "inverter") if s in made}
    parts.append("<div class=known>")
    for row, index in enumerate(chosen):
        shown = {_STAGES[s]: x[row] for s, x in sides.items()}
        players = _players(np.stack(list(shown.values())), list(shown), name, mel)
        said = _text(judged.names[index])
        parts.append(f'<div><h4 title="{said}">{said}</h4>{players}</div>')
    parts.append("</div>")
    if results.made is not None:
        sounds = results.made.sound[results.made.category == category][:new]
        parts.append("<h4>new</h4>")
        parts.append(_players(sounds, [f"new {i + 1}" for i in range(len(sounds))], name, mel))
    return "".join((*parts, "</section>"))


def _of_many_kits(rows: np.ndarray, kits: Sequence[str]) -> list[int]:
    """The rows, one of each kit first, then a second of each, and so on."""
    seen = Counter[str]()
    order = []
    for row in rows.tolist():
        order.append((seen[kits[row]], row))
        seen[kits[row]] += 1
    return [row for _, row in sorted(order)]


def _players(sounds: np.ndarray, labels: list[str], name: str, mel: MelConfig) -> str:
    """Figures of sounds [n, samples]: picture, label, player."""
    figures = []
    pictures = picture_uris(np.asarray(sounds, np.float32), mel)
    for sound, label, picture in zip(sounds, labels, pictures, strict=True):
        said = _text(f"{name}, {label}")
        figures.append(
            f'<figure><img src="{picture}" alt="Spectrogram: {said}">'
            f"<figcaption>{_text(label)}</figcaption>"
            f'<audio controls preload=none aria-label="{said}" '
            f'src="{audio_uri(sound, mel.sample_rate)}"></audio></figure>'
        )
    return f"<div class=row>{''.join(figures)}</div>"


def _heard_as(numbers: Numbers, name: str) -> str:
    """How often a category is recognised, in a sentence."""
    if "generation" not in numbers:
        return ""
    found = numbers["generation"]["categories"]
    rows = [
        [found["ears"][ear][side]["categories"].get(name) for ear in found["learnt"]]
        for side in ("generated", "held_out")
    ]
    if not all(r and r[0] for r in rows):
        return ""
    new, real = (number(sum(x["mean"] for x in r) / len(r), 0, 100) for r in rows)
    return f"{new} % of new ones are heard as {_text(name)}, {real} % of real ones."


def _figures(results: Results) -> str:
    """The map and the confusion of categories."""
    found = results.numbers.get("generation")
    if found is None or results.made is None or results.material.held_out is None:
        return ""
    names = found["categories"]["names"]
    categories = {
        "held_out": results.material.held_out.category,
        "generated": results.made.category,
    }
    picture = scatter(results.points, categories, names)
    tables = [
        _confusion(title, found["categories"]["confusion"][side], names)
        for side, title in (("generated", "new sounds"), ("held_out", "held-out real sounds"))
    ]
    return (
        "<section><h2>Map</h2><p>What a classifier hears in held-out sounds (filled) and in new "
        "ones (rings), on its two main axes for real sounds. Rings should lie where dots of their "
        f"colour do.</p><figure class=map>{picture}</figure></section>"
        f"<section><h2>Heard as</h2><p>Rows: what was asked for; columns: what the classifiers "
        f"hear, in percent.</p>{''.join(tables)}</section>"
    )


def _confusion(title: str, counts: list[list[float]], names: list[str]) -> str:
    """A table whose cells are the darker the more of a row they hold."""
    head = "".join(f"<th scope=col><span>{_text(n)}</span></th>" for n in names)
    rows = []
    for name, row in zip(names, counts, strict=True):
        total = sum(row)
        if total:
            shares = [100 * x / total for x in row]
            cells = "".join(f'<td style="--s:{s:.0f}%">{s:.0f}</td>' for s in shares)
            rows.append(f"<tr><th scope=row>{_text(name)}</th>{cells}</tr>")
    return (
        f"<h3>{title}</h3><div class=wide><table class=confusion><thead><tr><td></td>{head}</tr>"
        f"</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _tables(numbers: Numbers) -> str:
    return "".join(_table(table) for table in tables(numbers))


def _table(table: Table) -> str:
    head = "".join(f"<th scope=col>{_bold(cell)}</th>" for cell in table.header)
    rows = "".join(
        f"<tr><th scope=row>{_bold(row[0])}</th>"
        + "".join(f"<td>{_bold(cell)}</td>" for cell in row[1:])
        + "</tr>"
        for row in table.rows
    )
    return (
        f"<section><h2>{_text(table.title)}</h2><p>{_text(table.words)}</p><div class=wide><table>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></section>"
    )


def _bold(cell: str) -> str:
    """A cell's text, its **bold** as HTML."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", _text(cell))


def _notes(numbers: Numbers) -> str:
    notes = "".join(f"<li>{_text(note)}</li>" for note in numbers["notes"])
    facts = {
        "instrument": numbers["subject"].get("identity", "–"),
        "sounds": numbers["data"]["digest"],
        **numbers["versions"],
    }
    rows = "".join(f"<dt>{_text(k)}</dt><dd>{_text(v)}</dd>" for k, v in facts.items())
    return f"<section><h2>To know</h2><ul>{notes}</ul><dl>{rows}</dl></section>"
