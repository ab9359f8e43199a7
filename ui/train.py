"""Train: let the encoder learn from the collection itself what "alike" means in it."""

from typing import Any

import streamlit as st

from ui import components
from ui.answers import Model
from ui.client import FINISHED, ApiError
from ui.state import api, collection_or_stop

# What the person's pictures are of decides which changes to a picture keep it "the same".
PRESETS = {
    "photo": "Photographs",
    "fine-grained": "Kinds that differ in small things: breeds, species, car models",
    "microscopy": "From a microscope or from above: no way is up",
    "texture": "Surfaces and materials",
    "product": "Things on a plain ground",
    "drawing": "Drawings, maps, diagrams",
}


def kind(collection: str, preset: str) -> str:
    """Ask what the pictures are, and show what that takes for the same."""
    left, right = st.columns(2)
    presets = list(PRESETS) if preset in PRESETS else [preset, *PRESETS]
    chosen = left.selectbox(
        "What the pictures are",
        presets,
        index=presets.index(preset),
        format_func=lambda p: f"{PRESETS[p]} ({p})" if p in PRESETS else p,
    )
    changes = right.text_input("Changes to that, if any", placeholder="mirror=0,blur=0.1")
    full = ",".join(part for part in (chosen, changes.replace(" ", "")) if part)
    components.pairs(collection, full)
    return full


def settings(models: list[Model], active: str | None, preset: str) -> dict[str, Any] | None:
    """Ask what else to train with; None until the person says go."""
    starts = {"default": "The encoder that comes with Likeness", "random": "From nothing"}
    starts |= {one["fingerprint"]: f"Model {one['fingerprint'][:8]} ({one['backbone']})" for one in models}
    options = list(starts)
    with st.form("training"):
        start = st.selectbox(
            "Start from",
            options,
            index=options.index(active) if active in options else 0,
            format_func=lambda s: starts[s],
        )
        with st.expander("More"):
            one, two, three = st.columns(3)
            epochs = one.number_input("Epochs (0: as many as suit)", 0, 2000, 0, help="How often each picture is seen.")
            size = two.number_input("Pixels a side (0: as suits)", 0, 320, 0, step=16)
            backbone = three.selectbox("Backbone, when starting from nothing", ["resnet18", "resnet50", "resnet101"])
        go = st.form_submit_button("Start training", type="primary")
    if not go:
        return None
    given: dict[str, Any] = {"init": start, "preset": preset, "adopt": "never"}
    if start == "random":
        given["backbone"] = backbone
    return given | {name: value for name, value in (("epochs", epochs), ("image_size", size)) if value}


def model_row(collection: str, model: Model, active: str | None) -> None:
    """One encoder and the button that makes it the active one."""
    fingerprint = model["fingerprint"]
    words, button = st.columns([5, 2], vertical_alignment="center")
    epochs = model["training"].get("epochs")
    words.markdown(
        f"`{fingerprint[:8]}` {model['backbone']}, {model['image_size']} px"
        + (f", {epochs} epochs" if epochs else "")
        + f" · {model['created_at'][:10]} · from {model['started_from'][:20]}"
        + (f" · [report](/v1/models/{fingerprint}/report?format=html)" if model["has_report"] else "")
    )
    if fingerprint == active:
        button.markdown(":green[**active**]")
    elif button.button("Use this one", key=f"use-{fingerprint}"):
        adopt(collection, fingerprint)


def adopt(collection: str, fingerprint: str) -> None:
    """Make a model the active one; where it has no index yet, make that first."""
    try:
        api().change_collection(collection, active_model=fingerprint)
    except ApiError as error:
        if error.status != 409:
            raise
        api().index(collection, fingerprint)
        st.toast("Its index is being made; it becomes the active model when that is done.")
        return
    st.rerun()


collection = collection_or_stop()
now = api().collection(collection)
st.title("Train")
st.markdown(
    "Likeness looks at each picture twice, cropped and coloured differently, and learns that the two belong together. "
    "No labels are needed; afterwards it says whether search has become better on your own pictures."
)
models = api().models()
training = next((job for job in api().jobs(collection) if job["kind"] == "training"), None)
if training is None or training["state"] in FINISHED:
    chosen = settings(models, now["active_model"], kind(collection, now["preset"]))
    if chosen is not None:
        try:
            training = api().train(collection, **chosen)
            st.rerun()
        except ApiError as error:
            st.error(error.detail)
if training is not None:
    components.job_list("training", job=training["id"])
    made = (training["result"] or {}).get("model")
    if made and made != now["active_model"] and st.button(f"Use the new model {made[:8]}", type="primary"):
        adopt(collection, made)
if models:
    st.subheader("Models")
    st.caption("The active one decides what search and predictions see. Going back is one click.")
    for model in models:
        model_row(collection, model, now["active_model"])
