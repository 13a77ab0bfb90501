"""The methods, one file each. Adding one is adding its file and its line here."""

from roftmol.methods import (
    bss,
    constant,
    dwise_ft,
    feature_map,
    fingerprint,
    full_ft,
    l2_sp,
    layerwise_decay,
    linear_probing,
    lp_ft,
    mft,
    mft_same_steps,
    mft_wise,
    scratch,
    surgical_ft,
    wise_ft,
)
from roftmol.methods.base import Alternation, Method, Mixing, Settings, Step, setting_text

#: Every method by name, in the order of tables and plots.
METHODS: dict[str, Method] = {
    method.name: method
    for method in (
        full_ft.METHOD,
        linear_probing.METHOD,
        surgical_ft.METHOD,
        lp_ft.METHOD,
        layerwise_decay.METHOD,
        l2_sp.METHOD,
        bss.METHOD,
        feature_map.METHOD,
        wise_ft.METHOD,
        dwise_ft.METHOD,
        mft.METHOD,
        mft_same_steps.METHOD,
        mft_wise.METHOD,
        scratch.METHOD,
        fingerprint.METHOD,
        constant.METHOD,
    )
}

__all__ = ["METHODS", "Alternation", "Method", "Mixing", "Settings", "Step", "setting_text"]
