// Looks at a page as a reader does and gives what is wrong with it, one sentence each.
(() => {
  const wrong = [];
  const need = (holds, what) => { if (!holds) wrong.push(what); };
  const all = (selector) => [...document.querySelectorAll(selector)];
  const box = (element) => element.getBoundingClientRect();

  for (const details of all("details")) details.open = true;

  // The verdict stands on the first screen.
  const verdict = document.querySelector(".verdict");
  need(verdict && box(verdict).height > 0 && box(verdict).bottom < innerHeight, "no verdict on the first screen");

  // Plots are drawn.
  const plots = all("figure svg[role=img]");
  need(plots.length >= 6, `only ${plots.length} plots`);
  for (const plot of plots) {
    const { width, height } = box(plot);
    const name = plot.getAttribute("aria-label");
    need(width > 200 && height > 60, `plot ${name} is ${width} by ${height}`);
    need(name, "a plot has no name");
    const drawn = [...plot.querySelectorAll("line, rect, circle, polyline, polygon")];
    need(drawn.length >= 2, `plot ${name} is empty`);
    const area = box(plot);
    for (const text of plot.querySelectorAll("text")) {
      const { left, right, top, bottom } = box(text);
      const inside = left >= area.left - 1 && right <= area.right + 1 && top >= area.top - 1 && bottom <= area.bottom + 1;
      need(inside, `"${text.textContent}" leaves plot ${name}`);
    }
  }
  for (const figure of all("figure")) {
    need(figure.querySelector("table tbody tr"), `figure ${figure.getAttribute("aria-labelledby")} has no figures`);
  }

  // Landmarks, headings and references.
  for (const landmark of ["body > header", "nav[aria-label]", "main", "body > footer"]) {
    need(all(landmark).length === 1, `${all(landmark).length} of ${landmark}`);
  }
  need(document.documentElement.lang, "no language");
  need(document.title, "no title");
  need(all("h1").length === 1, `${all("h1").length} of h1`);
  let level = 1;
  for (const heading of all("h1, h2, h3, h4")) {
    const next = Number(heading.tagName[1]);
    need(next <= level + 1, `h${level} is followed by h${next}: ${heading.textContent}`);
    level = next;
  }
  const ids = all("[id]").map((element) => element.id);
  need(new Set(ids).size === ids.length, "an id occurs twice");
  for (const element of all("[aria-labelledby]")) {
    need(ids.includes(element.getAttribute("aria-labelledby")), `no ${element.getAttribute("aria-labelledby")}`);
  }
  for (const link of all("a[href]")) {
    need(link.hash && ids.includes(link.hash.slice(1)), `${link.getAttribute("href")} leads nowhere`);
  }
  for (const region of all(".scroll")) {
    need(region.tabIndex === 0 && region.getAttribute("aria-label"), "a table that scrolls is out of the keyboard's reach");
  }
  for (const table of all("table")) {
    need(table.querySelector("th[scope=col]") && table.querySelector("th[scope=row]"), "a table has no headings");
  }
  need(document.documentElement.scrollWidth <= innerWidth, `the page is ${document.documentElement.scrollWidth} wide on ${innerWidth}`);

  // Contrast: WCAG 2.2, 1.4.3 for text and 1.4.11 for what plots draw.
  const parse = (color) => (color.match(/[\d.]+/g) || []).map(Number);
  const luminance = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => {
      c /= 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const ratio = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const color = parse(getComputedStyle(at).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  let texts = 0;
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || !element.checkVisibility()) continue;
    texts += 1;
    const style = getComputedStyle(element);
    const color = parse(element.closest("svg") ? style.fill : style.color);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    const found = ratio(color, behind(element));
    need(found >= (large ? 3 : 4.5), `contrast ${found.toFixed(2)} of "${walker.currentNode.textContent.slice(0, 40)}"`);
  }
  need(texts > 100, `only ${texts} texts were looked at`);
  for (const drawn of all("figure svg .bar, figure svg .mark, figure svg .curve, figure svg .better, figure svg .worse, figure svg .limit, figure svg .zero, figure svg .area, figure svg .whisker")) {
    const style = getComputedStyle(drawn);
    const paint = style.stroke !== "none" ? style.stroke : style.fill;
    const found = ratio(parse(paint), behind(drawn));
    need(found >= 3, `contrast ${found.toFixed(2)} of ${drawn.getAttribute("class")}`);
  }
  return [...new Set(wrong)];
})()
