"""Style and script of the HTML report."""

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<main>
{body}
</main>
<script>{script}</script>
</body>
</html>"""

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --soft: #57606a; --line: #d0d7de; --fill: #f6f8fa;
  --good: #1a7f37; --warn: #9a6700; --bad: #cf222e; --note: #0969da; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9198a1; --line: #30363d; --fill: #161b22;
  --good: #3fb950; --warn: #d29922; --bad: #f85149; --note: #58a6ff; } }
* { box-sizing: border-box; }
body { margin: 0; color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem; }
h1 { font-size: 1.25rem; overflow-wrap: anywhere; margin: 0 0 .5rem; }
h2 { font-size: 1.1rem; border-bottom: 1px solid var(--line); padding-bottom: .25rem; margin-top: 2rem; }
h3 { font-size: 1rem; margin: 0 0 .5rem; overflow-wrap: anywhere; }
small, dt, .leaf i, .sides span, td span { color: var(--soft); font-weight: normal; }
code, .leaf, summary, li, td, dd { font-family: ui-monospace, monospace; font-size: .85rem; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; } dd { margin: 0; }
.verdict { padding: .6rem .8rem; border-left: .4rem solid var(--soft); background: var(--fill); }
.verdict.intact { border-color: var(--good); }
.verdict.suspect, .verdict.repairable, .verdict.lossy { border-color: var(--warn); }
.verdict.incompatible, .verdict.damaged, .verdict.unsafe { border-color: var(--bad); }
.finding { border: 1px solid var(--line); border-left-width: .4rem; border-radius: .3rem; padding: .8rem; margin: .8rem 0; }
.finding.error { border-left-color: var(--bad); } .finding.warning { border-left-color: var(--warn); }
.finding.info { border-left-color: var(--note); }
.finding p { margin: .3rem 0; }
table { border-collapse: collapse; } th, td { text-align: left; padding: .1rem 1rem .1rem 0; vertical-align: top; }
.sides { display: grid; grid-template-columns: repeat(auto-fit, minmax(18rem, 1fr)); gap: 1rem; }
details details, details .leaf { margin-left: 1.1rem; }
.leaf { display: flex; flex-wrap: wrap; gap: 0 .8rem; align-items: center; padding: .05rem 0; }
.leaf svg { width: 180px; height: 24px; margin-left: auto; }
.axis { stroke: var(--line); } .range { stroke: var(--soft); } .mean { stroke: var(--ink); stroke-dasharray: 1.5 1; }
.box { fill: var(--note); opacity: .6; }
.bad { color: var(--bad); }
input, button { font: inherit; color: inherit; background: var(--fill); border: 1px solid var(--line); border-radius: .3rem;
  padding: .2rem .5rem; } input { width: 18rem; max-width: 100%; }
:focus-visible { outline: 2px solid var(--note); outline-offset: 2px; }
[hidden] { display: none !important; }
"""

SCRIPT = """
const search = document.getElementById("search");
if (search) {
  const leaves = [...document.querySelectorAll(".leaf")];
  const folds = [...document.querySelectorAll("#tree details")];
  const hits = document.getElementById("hits");
  const before = folds.map((fold) => fold.open);
  const filter = () => {
    const words = search.value.toLowerCase().split(/\\s+/).filter(Boolean);
    let found = 0;
    for (const leaf of leaves) {
      leaf.hidden = !words.every((word) => leaf.dataset.key.toLowerCase().includes(word));
      found += !leaf.hidden;
    }
    folds.forEach((fold, place) => {
      const any = fold.querySelector(".leaf:not([hidden])") !== null;
      fold.hidden = !any;
      fold.open = words.length ? any : before[place];
    });
    hits.textContent = words.length ? `${found} of ${leaves.length}` : "";
  };
  search.addEventListener("input", filter);
  document.getElementById("open").addEventListener("click", () => folds.forEach((fold) => { fold.open = true; }));
  document.getElementById("close").addEventListener("click", () => folds.forEach((fold) => { fold.open = false; }));
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search) { event.preventDefault(); search.focus(); }
    if (event.key === "Escape" && document.activeElement === search) { search.value = ""; filter(); }
  });
}
"""
