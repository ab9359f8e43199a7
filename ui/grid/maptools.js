// The tools of the map: the lasso, pictures or points, and the buttons that zoom.

class MapTools {
  constructor(plot) {
    this.plot = plot;
    this.lasso = el("button", { type: "button", "aria-pressed": "false", title: say("map.lasso_key"), onclick: () => this.setLasso(!plot.hand.lassoing) }, say("map.lasso"));
    this.pictures = el("button", { type: "button", "aria-pressed": "true", title: say("map.pictures_about"), onclick: () => this.setPictures(!plot.pictures) }, say("map.pictures"));
    const tool = (sign, key, act) => el("button", { type: "button", title: say(`map.${key}`), "aria-label": say(`map.${key}`), onclick: act }, sign);
    plot.root.append(
      el("div.tools", {}, tool("+", "zoom_in", () => plot.zoom(NOTCH)), tool("−", "zoom_out", () => plot.zoom(1 / NOTCH)), tool("⤢", "whole", () => plot.whole())),
    );
  }

  setLasso(on) {
    this.plot.hand.lassoing = on;
    this.plot.canvas.classList.toggle("lassoing", on);
    this.lasso.setAttribute("aria-pressed", String(on));
  }

  setPictures(on) {
    this.plot.pictures = on;
    this.pictures.setAttribute("aria-pressed", String(on));
    this.plot.later();
  }
}
