"""The words of the report, each in a line or two."""

from __future__ import annotations

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

TABLES: dict[str, str] = {
    "summary": "one row a method and setting: the numbers of the results table",
    "selected": "the setting that each seed selected, with its validation and test score",
    "scores": "every metric, setting, seed and task",
    "predictions": "every validation and test molecule of the selected runs",
    "alphas": "WiSE-FT's whole path",
    "coefficients": "DWiSE-FT's learned coefficients",
    "changes": "how far each part of the selected encoders moved, and what became of vectors and forces",
    "paths": "loss and metric along the line from the pretrained weights to full FT's and beyond",
    "planes": "the loss over the plane that DWiSE-FT's solution spans with them",
    "curves": "learning curves",
    "timings": "what each fit cost, and why it failed",
    "comparisons": "every method against full FT and the fingerprint, over data sets: intervals, tests, verdicts",
    "mean_ranks": "mean rank of every method over data sets, and the groups that are not told apart",
    "pairs": "the test of each two methods over data sets",
    "models": "what each model was pretrained on, the digest of its weights, and which others it is",
    "overlaps": "how many test molecules of each seed are in each pretraining set",
    "left_out": "the cells that were left out for what pretraining has seen",
    "shift": "the score in and out of distribution, where both were run",
    "cliffs": "RMSE on molecules in activity cliffs and on all others",
    "calibration": "how far stated probabilities and errors hold",
    "reliability": "the curves behind it",
    "similarity": "the error by similarity to the nearest training molecule",
    "collapse": "how what fits did to the model goes with the loss of score, over methods",
    "embeddings": "where atoms lie on a t-SNE's plane before and after each method, where pictures were asked for",
    "tsne": "how well that plane tells kinds of atoms apart",
    "molecules": "the molecules kept, in the order of the source",
    "rejects": "the records with a remark",
    "tasks": "the label columns",
}
