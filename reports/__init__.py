"""What a study found, for people: tables, figures and the one-file HTML page."""

from hwsim.reports.answer import answer_lines
from hwsim.reports.page import render_page, write_report
from hwsim.reports.study import EVERYWHERE, LayerSummary, Study, WorkloadSummary, canonical_order, fronts_of
from hwsim.reports.tables import designs_csv, front_json, write_tables

__all__ = [
    "EVERYWHERE",
    "LayerSummary",
    "Study",
    "WorkloadSummary",
    "answer_lines",
    "canonical_order",
    "designs_csv",
    "front_json",
    "fronts_of",
    "render_page",
    "write_report",
    "write_tables",
]
