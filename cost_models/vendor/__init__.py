"""Vendors' tools: what their HLS reports for dense layers, what they refuse, and how to read their reports.

`dense_model` and `refusal_probability` predict HLS reports of hls4ml dense layers; `read_report` reads a tool's own
files; `vendor_scale` turns pairs of predicted and reported counts into a factor a resource. `fit_calibration` keeps
factors with what they come from, and `scaled_by` applies them to an estimate.
"""

from hwsim.cost_models.vendor.calibration import VendorCalibration, fit_calibration, read_calibration
from hwsim.cost_models.vendor.dense_model import dense_model
from hwsim.cost_models.vendor.dense_rows import DenseDesigns
from hwsim.cost_models.vendor.legality import refusal_probability
from hwsim.cost_models.vendor.reports import ReportRow, read_report
from hwsim.cost_models.vendor.scaled import scaled_by, scaled_unit_by
from hwsim.cost_models.vendor.vendor_scale import VendorScale, vendor_scale

__all__ = [
    "DenseDesigns",
    "ReportRow",
    "VendorCalibration",
    "VendorScale",
    "dense_model",
    "fit_calibration",
    "read_calibration",
    "read_report",
    "refusal_probability",
    "scaled_by",
    "scaled_unit_by",
    "vendor_scale",
]
