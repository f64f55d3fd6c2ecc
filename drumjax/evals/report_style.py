"""How the report's page looks: light and dark, on a desk and on a phone."""

STYLE = """
:root { --ink: #1b1b1f; --soft: #5d5d66; --paper: #fbfaf8; --card: #ffffff; --line: #dcd9d3;
  --accent: #b0431e; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #eceae6; --soft: #a5a2a0; --paper: #141416; --card: #1e1e22; --line: #36363c;
    --accent: #ff8a5c; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); line-height: 1.45;
  font-family: system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.25rem; }
h1 { margin: .5rem 0 0; font-size: 1.9rem; overflow-wrap: anywhere; }
h2 { margin: 2.5rem 0 .25rem; font-size: 1.35rem; }
h3 { margin: 0 0 .25rem; font-size: 1.05rem; }
h4 { margin: .9rem 0 .35rem; font-size: .85rem; font-weight: 600; color: var(--soft);
  overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
p { margin: .25rem 0 .75rem; max-width: 60rem; }
header p, .beside { color: var(--soft); }
a { color: var(--accent); }
.cards { list-style: none; padding: 0; display: grid; gap: .75rem;
  grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); }
.cards li, .category { background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; padding: .9rem 1rem; }
.cards h3 { font-size: .95rem; }
.cards p { margin: .25rem 0; font-size: .88rem; }
.cards .value { font-size: 1.35rem; font-weight: 650; color: var(--accent);
  font-variant-numeric: tabular-nums; }
.cards small { font-size: .6em; font-weight: 500; color: var(--soft); }
nav { display: flex; flex-wrap: wrap; gap: .35rem .9rem; margin: 0 0 1rem; }
.category { margin: 0 0 1rem; scroll-margin-top: .5rem; }
.known > div { min-width: 0; }
.known { display: grid; gap: 0 1.25rem;
  grid-template-columns: repeat(auto-fill, minmax(20rem, 1fr)); }
.row { display: grid; gap: .6rem; grid-template-columns: repeat(auto-fill, minmax(7.4rem, 1fr)); }
.known .row { grid-template-columns: repeat(3, 1fr); }
.row figure { margin: 0; min-width: 0; }
.row img { display: block; width: 100%; height: 5.5rem; border-radius: .35rem; }
.row figcaption { font-size: .8rem; color: var(--soft); margin: .2rem 0; }
audio { width: 100%; height: 2.2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
  white-space: nowrap; }
thead th { vertical-align: bottom; color: var(--soft); font-weight: 600; }
tbody th, thead th:first-child { text-align: left; font-weight: 500; }
.confusion td { text-align: center; min-width: 2.6rem;
  background: color-mix(in srgb, var(--accent) calc(var(--s, 0%) * .75), transparent); }
.confusion thead th { text-align: center; padding: .3rem .2rem; font-size: .78rem; }
.confusion { margin-bottom: 1.25rem; }
.map { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: .6rem; }
.map svg { display: block; width: 100%; height: auto; max-height: 34rem; }
.map text { font: 600 13px system-ui, sans-serif; fill: var(--ink); paint-order: stroke;
  stroke: var(--card); stroke-width: 3px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .85rem; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 34rem) {
  main { padding: .75rem; }
  .known { grid-template-columns: 1fr; }
  .row { grid-template-columns: repeat(3, 1fr); gap: .4rem; }
}
@media print { audio, nav { display: none; } }
"""
