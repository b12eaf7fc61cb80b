// Keeps a page as the project is: hears of changes, fetches the page again, and puts its new sections in place of the
// old ones. Everything is readable without it; the learning curves are then a table.
"use strict";
(() => {
  const live = document.getElementById("live");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const plots = new Map();
  let source = null;
  let wanted = document.body.dataset.seen;
  let busy = false;

  const say = (text, on) => {
    if (live.textContent !== text) live.textContent = text;
    live.classList.toggle("on", on);
  };

  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const short = (value) => (value === null || value === undefined ? "" : Number(value.toPrecision(4)).toString());

  // Under the pointer; without one, the last.
  const told = (plot, value, place) =>
    short(value ?? plot.data[place].findLast((one) => one !== null && one !== undefined));

  const seriesOf = (names) => {
    const colours = ["--accent", "--warn", "--good", "--bad", "--soft"].map(colour);
    const dashes = [[], [6, 4], [2, 3], [10, 4, 2, 4]];
    return names.map((name, place) => ({
      label: name,
      stroke: colours[place % colours.length],
      width: 2,
      dash: dashes[place % dashes.length],
      spanGaps: true,
      points: { size: 5 },
      value: told,
    }));
  };

  const draw = (element) => {
    const { epochs, series } = JSON.parse(element.dataset.series);
    const names = Object.keys(series).sort((a, b) => b.includes("val") - a.includes("val"));
    const axis = { stroke: colour("--soft"), grid: { stroke: colour("--rule"), width: 1 }, ticks: { show: false } };
    axis.font = "12px system-ui, sans-serif";
    const options = {
      width: element.clientWidth,
      height: 240,
      scales: { x: { time: false } },
      cursor: { drag: { x: false, y: false } },
      series: [{ label: "epoch", value: told }, ...seriesOf(names)],
      axes: [
        { ...axis, size: 30, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000] },
        { ...axis, size: 58 },
      ],
    };
    plots.get(element)?.destroy();
    plots.set(element, new uPlot(options, [epochs, ...names.map((name) => series[name])], element));
    sizes.observe(element);
  };

  const sizes = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      const plot = plots.get(target);
      if (plot && target.clientWidth && plot.width !== target.clientWidth) {
        plot.setSize({ width: target.clientWidth, height: 240 });
      }
    }
  });

  const drawAll = () => {
    for (const [element, plot] of plots) {
      if (!element.isConnected) {
        sizes.unobserve(element);
        plot.destroy();
        plots.delete(element);
      }
    }
    document.querySelectorAll("[data-series]").forEach(draw);
  };

  // Where the focus was, in words that hold for the new section too.
  const placeOf = (element) => {
    if (!element || element === document.body) return null;
    if (element.id) return `#${CSS.escape(element.id)}`;
    const inside = element.closest("[id]");
    if (!inside) return null;
    const href = element.getAttribute("href");
    const own = href ? `${element.localName}[href="${CSS.escape(href)}"]` : element.localName;
    return `#${CSS.escape(inside.id)} ${own}`;
  };

  // Each live section as it came, before anything was drawn or opened in it.
  const sources = new WeakMap();
  document.querySelectorAll("[data-live]").forEach((section) => sources.set(section, section.outerHTML));

  const replace = (page) => {
    const place = placeOf(document.activeElement);
    const open = new Map([...document.querySelectorAll("details[id]")].map((one) => [one.id, one.open]));
    let changed = false;
    document.querySelectorAll("[data-live]").forEach((old) => {
      const fresh = page.getElementById(old.id);
      if (!fresh || fresh.outerHTML === sources.get(old)) return;
      const source = fresh.outerHTML;
      fresh.querySelectorAll("details[id]").forEach((one) => open.has(one.id) && (one.open = open.get(one.id)));
      const section = document.adoptNode(fresh);
      sources.set(section, source);
      old.replaceWith(section);
      changed = true;
    });
    document.title = page.title;
    if (!changed) return;
    drawAll();
    if (place && document.activeElement === document.body) document.querySelector(place)?.focus({ preventScroll: true });
  };

  const refresh = async () => {
    if (busy || wanted === document.body.dataset.seen) return;
    busy = true;
    let target;
    try {
      do {
        target = wanted;
        const answer = await fetch(location.pathname + location.search, { cache: "no-store" });
        if (!answer.ok) {
          // What is shown stays until there is something better.
          document.body.dataset.seen = target;
          return say("Can't be shown now", false);
        }
        if (document.getElementById("problem")) return location.reload();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        replace(page);
        // It may show more than what was heard of: the next message will find it shown.
        document.body.dataset.seen = page.body.dataset.seen;
        say("Live", true);
      } while (wanted !== target && wanted !== document.body.dataset.seen);
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      say("Reconnecting", false);  // what fetch() says when there is no server
    } finally {
      busy = false;
    }
  };

  const connect = () => {
    source = new EventSource("/events");
    source.onopen = () => say("Live", true);
    source.onmessage = (message) => {
      wanted = message.data;
      refresh();
    };
    source.onerror = () => {
      say("Reconnecting", false);
      // Refused for good, as by a server that was started anew and has another token.
      if (source.readyState === EventSource.CLOSED) setTimeout(() => document.hidden || connect(), 5000);
    };
  };

  const tick = (name, sign) => {
    document.querySelectorAll(`[data-${name}]`).forEach((element) => {
      element.dataset.from ??= performance.now();
      const gone = (performance.now() - Number(element.dataset.from)) / 1000;
      const text = duration(Math.max(0, Number(element.dataset[name]) + sign * gone));
      if (element.textContent !== text) element.textContent = text;
    });
  };

  const duration = (seconds) => {
    const whole = Math.round(seconds);
    if (whole < 60) return `${whole} s`;
    if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
    return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
  };

  // A browser opens few connections to one server: pages that nobody looks at let theirs go.
  document.addEventListener("visibilitychange", () => {
    source?.close();
    if (!document.hidden) connect();
  });
  dark.addEventListener("change", drawAll);
  setInterval(() => (tick("elapsed", 1), tick("left", -1)), 1000);
  drawAll();
  connect();
})();
