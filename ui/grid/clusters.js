// The groups of a map as a list: what each is like, how many pictures it holds, and one click to have them all. It says
// in words what the map shows, and leads to the same pictures without a pointer.

class Clusters {
  /** `does`: {choose(cluster or "outliers", title)}. */
  constructor(does) {
    this.does = does;
    this.list = el("ul.groups", { "aria-label": say("map.groups") });
    this.root = el("div.listed", {}, el("h2", {}, say("map.groups")), el("p.quiet.small", {}, say("map.groups_about")), this.list);
  }

  /** `called(cluster)` is what most of a group's pictures are, or null. */
  show({ clusters, outliers }, called) {
    const named = clusters.map(({ cluster, size, representatives }) => {
      const most = called(cluster);
      const title = say("map.group", { number: String(cluster) });
      return this.line({ title, about: most && say(most.by === "prediction" ? "map.look_like" : "map.mostly", most), n: size, faces: representatives, choose: () => this.does.choose(cluster, title) });
    });
    const strange = outliers.length ? this.line({ title: say("map.outliers"), about: say("map.outliers_about"), n: outliers.length, faces: outliers.slice(0, 5), choose: () => this.does.choose("outliers", say("map.outliers")) }) : "";
    drawAnew(this.list, [...named, strange]);
  }

  line({ title, about, n, faces, choose }) {
    return el(
      "li",
      {},
      el(
        "button.group",
        { type: "button", onclick: choose },
        el("span.row", {}, el("strong", {}, title), about ? el("span.quiet.small.grow", {}, about) : el("span.grow"), el("span.count", {}, pictureCount(n))),
        el("span.samples", { "aria-hidden": "true" }, faces.map((id) => el("img", { src: `/v1/images/${id}/preview`, alt: "", loading: "lazy", decoding: "async" }))),
      ),
    );
  }
}
