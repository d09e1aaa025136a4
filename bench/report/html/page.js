/* Tables that sort, filter and come in pages. Without JavaScript all rows are there. */

const SHOWN = 50; // rows at first, and more with each click

document.querySelectorAll("table.sortable").forEach((table) => {
  const body = table.tBodies[0], heads = [...table.tHead.rows[0].cells];
  let rows = [...body.rows], limit = SHOWN, words = [];
  const tools = element("div", { class: "tools" });
  const status = element("span", { class: "note", role: "status" });
  const more = element("button", { type: "button" });
  const name = table.dataset.name;

  function show() {
    const texts = words.length ? rows.filter((row) => matches(row)) : rows;
    const visible = new Set(texts.slice(0, limit));
    rows.forEach((row) => (row.hidden = !visible.has(row)));
    const count = texts.length.toLocaleString("en");
    status.textContent = visible.size < texts.length ? `${visible.size} of ${count} ${name}` : `${count} ${name}`;
    more.hidden = visible.size >= texts.length;
    more.textContent = `Show ${Math.min(4 * SHOWN, texts.length - visible.size)} more`;
  }

  function matches(row) {
    const text = row.textContent.toLowerCase();
    return words.every((word) => text.includes(word));
  }

  /* A number where the cell has one, else its text; empty cells come last. */
  function keyOf(row, column) {
    const cell = row.cells[column];
    if (cell.dataset.value !== undefined) return Number(cell.dataset.value);
    return cell.classList.contains("number") ? null : cell.textContent;
  }

  function sort(column, descending) {
    const keyed = rows.map((row, i) => [keyOf(row, column), i, row]);
    keyed.sort(([a, i], [b, j]) => {
      if (a === null || b === null) return (a === null) - (b === null) || i - j;
      const order = typeof a === "number" ? a - b : a.localeCompare(b, "en", { numeric: true });
      return (descending ? -order : order) || i - j;
    });
    rows = keyed.map(([, , row]) => row);
    body.append(...rows);
    heads.forEach((head, i) => {
      if (i === column) head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
    });
    show();
  }

  heads.forEach((head, column) => {
    const button = element("button", { type: "button" }, head.textContent);
    button.addEventListener("click", () => {
      // numbers start with the largest, texts with the first
      const before = head.getAttribute("aria-sort");
      const number = head.classList.contains("number");
      sort(column, before ? before === "ascending" : number);
    });
    head.replaceChildren(button);
  });
  more.addEventListener("click", () => {
    limit += 4 * SHOWN;
    show();
  });
  if (rows.length > 8) {
    const input = element("input", { type: "search", "aria-label": `Filter the ${name}` });
    input.placeholder = "Filter";
    input.addEventListener("input", () => {
      words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      limit = SHOWN;
      show();
    });
    tools.append(input);
  }
  tools.append(status, more);
  table.parentElement.before(tools);
  show();
});
