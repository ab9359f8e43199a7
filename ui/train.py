"""Train: let the encoder learn from the collection itself what "alike" means in it."""

from typing import Any

import streamlit as st

from ui import components
from ui.answers import Model
from ui.client import FINISHED, ApiError
from ui.state import api, collection_or_stop
from ui.words import say

# What the person's pictures are of decides which changes to a picture keep it "the same".
PRESETS = ("photo", "fine-grained", "microscopy", "texture", "product", "drawing")


def kind(collection: str, preset: str) -> str:
    """Ask what the pictures are, and show what that takes for the same."""
    left, right = st.columns(2)
    presets = list(PRESETS) if preset in PRESETS else [preset, *PRESETS]
    chosen = left.selectbox(
        say("train.kind"),
        presets,
        index=presets.index(preset),
        format_func=lambda p: f"{say(f'train.kind_{p}')} ({p})" if p in PRESETS else p,
    )
    changes = right.text_input(say("train.changes"), placeholder="mirror=0,blur=0.1")
    full = ",".join(part for part in (chosen, changes.replace(" ", "")) if part)
    components.pairs(collection, full)
    return full


def settings(models: list[Model], active: str | None, preset: str) -> dict[str, Any] | None:
    """Ask what else to train with; None until the person says go."""
    starts = {"default": say("train.start_default"), "random": say("train.start_random")}
    starts |= {
        one["fingerprint"]: say("train.start_model", model=one["fingerprint"][:8], backbone=one["backbone"])
        for one in models
    }
    options = list(starts)
    with st.form("training"):
        start = st.selectbox(
            say("train.start_from"),
            options,
            index=options.index(active) if active in options else 0,
            format_func=lambda s: starts[s],
        )
        with st.expander(say("home.more")):
            one, two, three = st.columns(3)
            epochs = one.number_input(say("train.epochs"), 0, 2000, 0, help=say("train.epochs_help"))
            size = two.number_input(say("train.size"), 0, 320, 0, step=16)
            backbone = three.selectbox(say("train.backbone"), ["resnet18", "resnet50", "resnet101"])
        go = st.form_submit_button(say("train.start"), type="primary")
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
        + (f", {say('train.n_epochs', n=epochs)}" if epochs else "")
        + f" · {model['created_at'][:10]} · {say('train.from', start=model['started_from'][:20])}"
        + (f" · [{say('train.report')}](/v1/models/{fingerprint}/report?format=html)" if model["has_report"] else "")
    )
    if fingerprint == active:
        button.markdown(f":green[**{say('train.active')}**]")
    elif button.button(say("train.use_this"), key=f"use-{fingerprint}"):
        adopt(collection, fingerprint)


def adopt(collection: str, fingerprint: str) -> None:
    """Make a model the active one; where it has no index yet, make that first."""
    try:
        api().change_collection(collection, active_model=fingerprint)
    except ApiError as error:
        if error.status != 409:
            raise
        api().index(collection, fingerprint)
        st.toast(say("train.index_first"))
        return
    st.rerun()


collection = collection_or_stop()
now = api().collection(collection)
st.title(say("pages.train"))
st.markdown(say("train.about"))
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
    if made and made != now["active_model"] and st.button(say("train.use_new", model=made[:8]), type="primary"):
        adopt(collection, made)
if models:
    st.subheader(say("train.models"))
    st.caption(say("train.models_about"))
    for model in models:
        model_row(collection, model, now["active_model"])
