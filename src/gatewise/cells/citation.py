"""BibTeX entries from the line in which a cell names its papers: "Authors, Title, place (year)", or
"doi ..., remark"; several with semicolons."""

from __future__ import annotations

import re

from ..ir.cell import Cell


def bibtex(cell: Cell) -> str:
    """One entry for each paper of a cell."""
    papers = [p.strip() for p in cell.paper.split(";") if re.search(r"\d{4}", p)]
    entries = []
    for k, paper in enumerate(papers, 1):
        doi = re.fullmatch(r"doi (\S+?),.*", paper)
        arxiv = re.search(r"arXiv (\d{2})(\d{2}\.\d{4,5})", paper)
        year = re.search(r"\((\d{4})\)", paper)
        names = re.match(r"([^,&]+(?:, [^,&]+)* & [^,]+|[^,]+), ", paper)
        authors, rest = (names[1], paper[names.end() :]) if names else ("", paper)
        title = re.split(r", (?=arXiv |[A-Z][\w&. -]* \d+ \(|[A-Z]\w* \(\d{4}\))", rest)[0]
        fields = {
            "author": re.sub(r"\bet al\.?", "and others", authors).replace(" & ", " and ").replace(", ", " and "),
            "title": "{" + title + "}",
            "year": year[1] if year else f"20{arxiv[1]}" if arxiv else "",
        }
        if doi:  # nothing else of it is known to us
            fields = {"doi": doi[1]}
        if arxiv:
            fields |= {"eprint": arxiv[1] + arxiv[2], "archiveprefix": "arXiv"}
        fields["note"] = paper
        escaped = {name: value.replace("&", r"\&") for name, value in fields.items() if value}
        body = "".join(f",\n  {name} = {{{value}}}" for name, value in escaped.items())
        entries.append(f"@misc{{{cell.name}{k if len(papers) > 1 else ''}{body}\n}}")
    return "\n\n".join(entries)
