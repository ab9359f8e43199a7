// The pictures that come next, fetched and decoded before they are asked for, so that a key is answered by the very
// next frame.

const FAR = 16; // previews held ready
const NEAR = 2; // and of these the large ones
const PREVIEW = 320; // px; the shorter side of a preview: a picture no larger has nothing more to show

class Ahead {
  /** `better(id, picture)` is called when a picture that was asked for is there in large. */
  constructor(better) {
    this.better = better;
    this.held = new Map(); // image id → {small, large}
  }

  /** Hold these ready, the first ones first, and let go of all others. */
  want(images) {
    this.held = new Map(
      images.slice(0, FAR).map((image, place) => {
        const one = this.held.get(image.id) ?? { small: this.fetch(image.preview), large: null };
        if (place < NEAR && Math.min(image.width, image.height) > PREVIEW) one.large ??= this.fetch(`/v1/images/${image.id}/rendition`, image.id);
        return [image.id, one];
      }),
    );
  }

  fetch(src, id = null) {
    const picture = el("img", { src, alt: "" });
    picture.decode().then(
      () => {
        picture.here = true;
        if (id !== null) this.better(id, picture);
      },
      () => {}, // the small one stays
    );
    return picture;
  }

  /** The best there is of a picture now. */
  of(image) {
    const { small, large } = this.held.get(image.id);
    return large?.here ? large : small;
  }
}
