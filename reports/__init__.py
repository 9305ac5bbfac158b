"""What a study found, for people: tables, figures and the one-file HTML page."""

from hwsim.reports.answer import answer_lines
from hwsim.reports.latency_page import write_latency_page
from hwsim.reports.page import render_page, write_report
from hwsim.reports.resource_page import render_resource_page, write_resource_page
from hwsim.reports.resources import MacCosts, Resources
from hwsim.reports.study import LayerSummary, Study, WorkloadSummary
from hwsim.reports.tables import designs_csv, front_json, write_tables

__all__ = [
    "LayerSummary",
    "MacCosts",
    "Resources",
    "Study",
    "WorkloadSummary",
    "answer_lines",
    "designs_csv",
    "front_json",
    "render_page",
    "render_resource_page",
    "write_latency_page",
    "write_report",
    "write_resource_page",
    "write_tables",
]
