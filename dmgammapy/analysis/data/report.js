"use strict";
(() => {
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, properties = {}, ...children) => {
    const element = Object.assign(document.createElement(tag), properties);
    element.append(...children);
    return element;
  };

  // ---- figures: one of a group at a time, chosen by what distinguishes them
  const groups = all(".group").map((element) => ({
    element,
    figures: all("figure", element).map((figure) => ({
      figure,
      choices: JSON.parse(figure.dataset.choices),
    })),
    controls: all("input, select", element),
  }));

  const shown = (group) => group.figures.find((one) => one.figure.classList.contains("on"));

  // the figure that has this choice and shares most of the others with the one that is shown
  const choose = (group, name, value) => {
    const now = shown(group).choices;
    const agreement = (one) =>
      Object.keys(now).filter((key) => one.choices[key] === now[key]).length;
    const fitting = group.figures.filter((one) => one.choices[name] === value);
    if (!fitting.length) return;
    const best = fitting.reduce((a, b) => (agreement(b) > agreement(a) ? b : a));
    for (const one of group.figures) one.figure.classList.toggle("on", one === best);
    for (const control of group.controls) {
      const chosen = best.choices[control.dataset.name];
      if (control.type === "radio") control.checked = control.value === chosen;
      else control.value = chosen;
    }
  };

  for (const group of groups) {
    group.element.addEventListener("change", (event) => {
      const name = event.target.dataset.name;
      if (!name) return;
      const place = event.target.getBoundingClientRect().top;
      for (const other of groups) if (other.controls.length) choose(other, name, event.target.value);
      // what was clicked stays where it is, though figures above it changed
      scrollBy(0, event.target.getBoundingClientRect().top - place);
    });
  }

  // ---- figures enlarged
  const dialog = document.querySelector("dialog");
  const large = dialog.querySelector("img");
  let series = [];
  let place = 0;
  const enlarge = () => {
    const figure = series[place];
    const image = figure.querySelector("img");
    large.src = image.src;
    large.width = image.getAttribute("width");
    large.height = image.getAttribute("height");
    large.alt = image.alt;
    dialog.querySelector(".dialog-bar span").textContent =
      all(".chosen span", figure).map((one) => one.textContent).join(", ");
    dialog.querySelector(".dialog-caption").textContent =
      figure.querySelector("figcaption").textContent;
  };
  for (const button of all(".zoom")) {
    button.addEventListener("click", () => {
      series = all("figure", button.closest(".group"));
      place = series.indexOf(button.closest("figure"));
      enlarge();
      dialog.showModal();
    });
  }
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.className === "close") dialog.close();
  });
  dialog.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!step || series.length < 2) return;
    event.preventDefault();
    place = (place + step + series.length) % series.length;
    enlarge();
  });

  // ---- tables
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  const typeset = (text) => {
    const parts = /^(-?)([\d.]+)e([+-]?)0*(\d+)$/.exec(text);
    if (parts) {
      const power = make("sup", {}, (parts[3] === "-" ? "−" : "") + parts[4]);
      return [(parts[1] ? "−" : "") + parts[2] + "\u2009×\u200910", power];
    }
    return [/^-[\d.∞]+$/.test(text) ? "−" + text.slice(1) : text];
  };

  const BLOCK = 500;

  class Table {
    constructor(element) {
      this.element = element;
      this.columns = JSON.parse(element.querySelector("script").textContent);
      this.first = Number(element.dataset.first);
      this.body = element.querySelector("tbody");
      this.heads = all("thead th", element);
      this.count = element.querySelector(".count");
      this.more = element.querySelector(".more button");
      this.missing = element.querySelector("tbody .missing, .hint .missing");
      const column = this.columns[0];
      this.n = (column.text || column.index).length;
      this.order = [...Array(this.n).keys()];
      this.kept = this.order;
      this.drawn = this.body.rows.length;
      this.scroll = element.querySelector(".scroll");
      this.scroll.addEventListener("scroll", () => {
        const { scrollTop, clientHeight, scrollHeight } = this.scroll;
        const near = scrollHeight - scrollTop < 3 * clientHeight;
        if (this.everything && near && this.drawn < this.kept.length) this.extend(BLOCK);
      });
      this.sorted = null;
      this.everything = this.n <= this.first;
      this.words = "";
      this.menus = [];
      this.heads.forEach((head, k) => this.addSorting(head, k));
      if (this.n > Number(element.dataset.filter)) this.addFilter();
      if (this.more) {
        this.more.addEventListener("click", () => {
          this.everything = !this.everything;
          this.draw();
        });
      }
    }

    text(k, row) {
      const column = this.columns[k];
      if (column.text) return column.text[row];
      return column.index[row] < 0 ? null : column.distinct[column.index[row]];
    }

    key(k, row) {
      const column = this.columns[k];
      if (column.kind === "number") return column.sort[row];
      if (column.index[row] < 0) return null;
      return column.ranks ? column.ranks[column.index[row]] : column.distinct[column.index[row]];
    }

    addSorting(head, k) {
      const label = head.querySelector(".head");
      const button = make("button", { type: "button", className: "sort" });
      label.replaceWith(button);
      button.append(label);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => this.sort(k));
    }

    // ascending, descending, as it was; rows without a value come last
    sort(k) {
      const before = this.sorted && this.sorted[0] === k ? this.sorted[1] : 0;
      const direction = { 0: 1, 1: -1, "-1": 0 }[before];
      this.sorted = direction ? [k, direction] : null;
      this.order = [...Array(this.n).keys()];
      if (direction) {
        const keys = this.order.map((row) => this.key(k, row));
        const compare =
          typeof keys.find((key) => key !== null) === "string" ? collator.compare : (a, b) => a - b;
        this.order.sort((a, b) => {
          const [x, y] = [keys[a], keys[b]];
          if (x === null || y === null) return (x === null) - (y === null) || a - b;
          return direction * compare(x, y) || a - b;
        });
      }
      this.heads.forEach((head, j) => {
        const name = { 1: "ascending", "-1": "descending" }[direction];
        head.setAttribute("aria-sort", (j === k && name) || "none");
      });
      this.draw();
    }

    addFilter() {
      const tools = this.element.querySelector(".tools");
      const title = this.element.querySelector(".scroll").getAttribute("aria-label");
      const search = make("input", { type: "search", placeholder: "Filter", autocomplete: "off" });
      search.setAttribute("aria-label", `Filter the rows of: ${title}`);
      search.addEventListener("input", () => {
        this.words = search.value.toLowerCase();
        this.draw();
      });
      tools.append(search);
      this.columns.forEach((column, k) => {
        const n = column.distinct ? column.distinct.length : 0;
        if (n < 2 || n > 60 || 2 * n > this.n || this.menus.length === 3) return;
        const name = this.heads[k].querySelector(".name").textContent;
        const menu = make("select", { autocomplete: "off" }, make("option", { value: "" }, `${name}: all`));
        menu.setAttribute("aria-label", `Only rows with this ${name}`);
        column.distinct.forEach((text, i) => menu.append(make("option", { value: i }, text)));
        menu.addEventListener("change", () => this.draw());
        this.menus.push([menu, column]);
        tools.append(menu);
      });
    }

    draw() {
      const words = this.words.split(/\s+/).filter(Boolean);
      const fits = (row) => {
        for (const [menu, column] of this.menus) {
          if (menu.value !== "" && column.index[row] !== Number(menu.value)) return false;
        }
        if (!words.length) return true;
        const text = this.columns.map((_, k) => this.text(k, row) || "").join("\n").toLowerCase();
        return words.every((word) => text.includes(word));
      };
      this.kept = this.order.filter(fits);
      this.body.replaceChildren();
      this.drawn = 0;
      this.scroll.scrollTop = 0;
      this.extend(this.everything ? BLOCK : this.first);
      const n = this.kept.length;
      this.element.classList.toggle("long", this.everything && n > this.first);
      if (this.more) {
        this.more.parentElement.hidden = n <= this.first;
        this.more.textContent = this.everything
          ? `Show only the first ${this.first} rows`
          : `Show all ${n} rows`;
      }
    }

    // thousands of rows take a browser seconds: those further down are drawn on the way there
    extend(n) {
      const fragment = document.createDocumentFragment();
      const end = Math.min(this.drawn + n, this.kept.length);
      for (const row of this.kept.slice(this.drawn, end)) fragment.append(this.row(row));
      this.body.append(fragment);
      this.drawn = end;
      const left = this.kept.length - end;
      const fit = this.kept.length < this.n && left ? `, ${this.kept.length} fit` : "";
      const more = this.everything && left ? ", more as you scroll" : "";
      this.count.textContent =
        end === this.n
          ? `${this.n} row${this.n === 1 ? "" : "s"}`
          : `${end} of ${this.n} rows${fit}${more}`;
    }

    row(row) {
      const cells = this.columns.map((column, k) => {
        const cell = make(k ? "td" : "th", { className: column.align });
        if (!k) cell.scope = "row";
        const text = this.text(k, row);
        if (text === null) cell.append(this.missing.cloneNode(true));
        else if (column.kind === "number") cell.append(...typeset(text));
        else if (column.kind === "status") {
          const tone = column.tones[column.index[row]];
          cell.append(make("span", { className: `status ${tone}` }, text));
        } else if (column.kind === "code") cell.append(make("code", {}, text));
        else cell.append(text);
        return cell;
      });
      return make("tr", {}, ...cells);
    }
  }
  for (const element of all(".table")) new Table(element);

  // ---- links into what is folded, and paper on which nothing can be unfolded
  const unfold = () => {
    const target = document.getElementById(location.hash.slice(1));
    const fold = target && target.querySelector("details.fold");
    if (fold && !fold.open) {
      fold.open = true;
      target.scrollIntoView();
    }
  };
  addEventListener("hashchange", unfold);
  unfold();
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = all("details:not([open])");
    for (const one of opened) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of opened) one.open = false;
  });

  // ---- where we are
  const entries = new Map(all("nav li a").map((a) => [a.getAttribute("href").slice(1), a]));
  const list = document.querySelector("nav ol");
  const seen = new Set();
  const observer = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) {
        if (isIntersecting) seen.add(target.id);
        else seen.delete(target.id);
      }
      const ids = [...entries.keys()];
      let place = ids.findIndex((id) => seen.has(id));
      // where there is no room for subsections, the section stands for them
      while (place > 0 && !entries.get(ids[place]).offsetWidth) place -= 1;
      const here = ids[place];
      if (!here) return;
      for (const [id, link] of entries) {
        if (id === here) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
      const link = entries.get(here);
      list.scrollLeft = link.offsetLeft - list.offsetLeft - 16;
    },
    { rootMargin: "-20% 0px -70% 0px" },
  );
  for (const id of entries.keys()) {
    const section = document.getElementById(id);
    if (section) observer.observe(section);
  }
})();
