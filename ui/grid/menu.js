// A button that opens a small panel; Esc or a click elsewhere closes it. The panel is built anew each time it opens.

class Menu {
  constructor(label, build, { title = label, kind = "" } = {}) {
    this.panel = el("div.menu", { popover: "auto", role: "dialog", "aria-label": title, ontoggle: (event) => this.toggled(event) });
    this.button = el(`button${kind}`, { type: "button", title: title === label ? null : title, "aria-haspopup": "dialog", "aria-expanded": "false", onclick: () => this.panel.togglePopover() }, label);
    this.panel.addEventListener("keydown", (event) => event.key !== "Escape" && event.stopPropagation());
    this.build = build;
    this.root = el("span.opens", {}, this.button, this.panel);
  }

  toggled({ newState }) {
    const open = newState === "open";
    this.button.setAttribute("aria-expanded", String(open));
    if (!open) return;
    this.refresh();
    this.panel.querySelector("input, select, button")?.focus();
  }

  /** Build the panel anew and put it below its button, inside the window. */
  refresh() {
    this.panel.replaceChildren(...[this.build()].flat(Infinity).filter(Boolean));
    const place = this.button.getBoundingClientRect();
    const { offsetWidth, offsetHeight } = this.panel;
    this.panel.style.left = `${Math.max(8, Math.min(place.left, window.innerWidth - offsetWidth - 8))}px`;
    const below = place.bottom + 4 + offsetHeight < window.innerHeight || place.top < offsetHeight;
    this.panel.style.top = below ? `${place.bottom + 4}px` : `${place.top - offsetHeight - 4}px`;
  }

  /** What the panel tells of has changed. Where the focus is in it, its fields say already what was chosen, or hold half of what is being typed. */
  changed() {
    if (this.panel.matches(":popover-open:not(:focus-within)")) this.refresh();
  }

  close() {
    this.panel.hidePopover();
  }
}
