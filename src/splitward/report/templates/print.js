// Paper cannot be unfolded: open every folded part before printing.
addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
