"""What a study found, for people: tables, figures and the one-file HTML page."""

from hwsim.reports.answer import answer_lines
from hwsim.reports.page import render_page, write_report
from hwsim.reports.study import LayerSummary, Study, WorkloadSummary
from hwsim.reports.tables import designs_csv, front_json, write_tables

__all__ = [
    "LayerSummary",
    "Study",
    "WorkloadSummary",
    "answer_lines",
    "designs_csv",
    "front_json",
    "render_page",
    "write_report",
    "write_tables",
]
