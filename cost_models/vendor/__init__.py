"""Vendors' tools: what their HLS reports for dense layers, what they refuse, and how to read their reports.

`dense_model` and `refusal_probability` predict HLS reports of hls4ml dense layers; `read_report` reads a tool's own
files; `vendor_scale` turns pairs of predicted and reported counts into a factor a resource.
"""

from hwsim.cost_models.vendor.dense_model import DenseModel, DensePrediction, dense_model, fit_dense
from hwsim.cost_models.vendor.dense_rows import DenseDesigns
from hwsim.cost_models.vendor.legality import LegalityModel, fit_legality, refusal_probability
from hwsim.cost_models.vendor.reports import ReportRow, read_report
from hwsim.cost_models.vendor.vendor_scale import VendorScale, vendor_scale

__all__ = [
    "DenseDesigns",
    "DenseModel",
    "DensePrediction",
    "LegalityModel",
    "ReportRow",
    "VendorScale",
    "dense_model",
    "fit_dense",
    "fit_legality",
    "read_report",
    "refusal_probability",
    "vendor_scale",
]
