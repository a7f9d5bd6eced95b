"""The style of a scan's report, for light and dark screens, narrow ones and paper."""

from typing import Final

STYLE: Final = """
:root{--paper:#fff;--ink:#1c2024;--soft:#5c6570;--line:#d9dde2;--over:#0b6e4f;--under:#a63d00;
--mark:#ffe58a;--mark-ink:#1c2024;--bar:#3b6fb6;--bad:#b00020}
@media (prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e8eaed;--soft:#a2abb5;
--line:#343a41;--over:#5fd3a8;--under:#ff9f66;--mark:#7a6200;--mark-ink:#fff;--bar:#7aa7e6;
--bad:#ff8a93}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{max-width:960px;margin:0 auto;padding:24px 16px 64px}
h1{font-size:1.6rem;line-height:1.25;overflow-wrap:anywhere}
h2{font-size:1.2rem;margin:2.2rem 0 .4rem}
dl{display:grid;grid-template-columns:max-content 1fr;gap:4px 16px}
dt{color:var(--soft)}dd{margin:0;overflow-wrap:anywhere}
@media (max-width:560px){dl{grid-template-columns:1fr}dt{margin-top:6px}}
.caution{border-left:4px solid var(--under);padding:6px 12px}
.wide{overflow-x:auto}
table{border-collapse:collapse;width:100%;min-width:820px;font-size:.92rem}
th,td{text-align:left;padding:4px 10px 4px 0;border-bottom:1px solid var(--line);
vertical-align:top;overflow-wrap:anywhere}
th,td:nth-child(n+3){white-space:nowrap}
th{color:var(--soft);font-weight:600}
.under-row td{border-bottom:1px solid var(--line);color:var(--soft)}
figure{margin:12px 0}figcaption{color:var(--soft);font-size:.9rem}
svg{width:100%;min-width:620px;height:auto;font-size:12px}
svg text{fill:var(--ink)}svg .tick{fill:var(--soft)}
svg .grid{stroke:var(--line)}svg .zero{stroke:var(--soft)}
svg .over line,svg .under line{stroke-width:2}
svg .over line{stroke:var(--over)}svg .over circle{fill:var(--over)}
svg .under line{stroke:var(--under)}svg .under circle{fill:var(--under)}
svg .bar rect{fill:var(--bar)}svg .beside{fill:var(--soft)}
mark{background:var(--mark);color:var(--mark-ink)}
cite{color:var(--soft);font-style:normal}
details ul{margin:4px 0;padding-left:18px}
.conditions{padding-left:18px}.failed strong{color:var(--bad)}.passed strong{color:var(--over)}
code{font-size:.92em}
@media print{details>ul{display:block}}
"""
