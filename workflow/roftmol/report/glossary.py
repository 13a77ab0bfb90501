"""The words of the report, each in a line or two."""

from __future__ import annotations

from roftmol.tables.descriptions.reference import descriptions

METHOD_LINES: dict[str, str] = {
    "full_ft": "Encoder and head are trained on the task.",
    "linear_probing": "Only the head is trained; the encoder stays as pretrained.",
    "surgical_ft": "One block of the encoder and the head are trained; which block is selected.",
    "lp_ft": "Linear probing first, then everything is trained from the head found.",
    "layerwise_decay": "Full FT in which each block learns more slowly than the one above it.",
    "wise_ft": "No training: the encoder is (1 − α) θ₀ + α θ_ft, the head full FT's; one α is selected.",
    "l2_sp": "Full FT with a penalty on the squared distance from the pretrained weights θ₀.",
    "bss": "Full FT with a penalty on the smallest singular values of the pooled features of a batch.",
    "feature_map": "Full FT with a penalty on the distance of the node features from the pretrained encoder's (DELTA "
    "without attention).",
    "dwise_ft": "As WiSE-FT with one α for each block, learned by gradient on held-out labels.",
    "mft": "Full FT in turn with the pretraining task (a force field's, or masking) on other molecules, on top.",
    "mft_same_steps": "The same, but in place of the property's steps, so that there are as many in all.",
    "mft_wise": "As WiSE-FT, between the pretrained encoder and that of MFT.",
    "scratch": "The same network from random weights: what pretraining is worth.",
    "fingerprint": "Morgan counts with a linear model or a random forest: what the network is worth.",
    "constant": "The mean of the labels, or the share of class 1, for every molecule: what the structures are worth.",
}

PROTOCOLS: dict[str, str] = {
    "honest": "A budget of N counts every label that is used, validation and the fitting of coefficients included. "
    "Subset and split are drawn anew with every seed (size splits stay, their subsets vary). Test labels are read "
    "once.",
    "paper": "As published, so that numbers can be compared: only the training labels are cut to the budget, and one "
    "split serves all seeds, so the spread over seeds leaves out the choice of molecules. Hyper-parameters are still "
    "selected on validation.",
}


def table_lines() -> dict[str, str]:
    """Return a line for each table that lies in the folder of aggregated tables."""
    return {name: about.line for name, about in descriptions().items() if f"tables/{name}.parquet" in about.files}
