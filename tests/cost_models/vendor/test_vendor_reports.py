"""Reports in the layout that the tools document, written for these tests; counts chosen so that no two are equal."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models.vendor import ReportRow, read_report

VIVADO_FLAT = """Copyright 1986-2022 Xilinx, Inc. All Rights Reserved.
------------------------------------------------------------------
| Tool Version : Vivado v.2023.2 (lin64) Build 4029153
| Command      : report_utilization -file dense_utilization_placed.rpt
| Design       : dense_top
| Device       : xcu250-figd2104-2L-e
| Design State : Fully Placed
------------------------------------------------------------------

1. CLB Logic
------------

+----------------------------+------+-------+------------+-----------+-------+
|          Site Type         | Used | Fixed | Prohibited | Available | Util% |
+----------------------------+------+-------+------------+-----------+-------+
| CLB LUTs*                  | 5,365 |     0 |          0 |   1728000 |  0.31 |
|   LUT as Logic             | 4591 |     0 |          0 |   1728000 |  0.27 |
|   LUT as Memory            |  774 |     0 |          0 |    791040 |  0.10 |
|     LUT as Shift Register  |  774 |     0 |            |           |       |
| CLB Registers              | 6171 |     0 |          0 |   3456000 |  0.18 |
| CARRY8                     |  353 |     0 |          0 |    216000 |  0.16 |
| F8 Muxes                   |    0 |     0 |          0 |    432000 | <0.01 |
+----------------------------+------+-------+------------+-----------+-------+
* Warning! The Final LUT count may differ.

3. BLOCKRAM
-----------

+-------------------+------+-------+------------+-----------+-------+
|     Site Type     | Used | Fixed | Prohibited | Available | Util% |
+-------------------+------+-------+------------+-----------+-------+
| Block RAM Tile    |  3.5 |     0 |          0 |      2688 |  0.13 |
|   RAMB36/FIFO*    |    3 |     0 |          0 |      2688 |  0.11 |
|   RAMB18          |    1 |     0 |          0 |      5376 |  0.02 |
+-------------------+------+-------+------------+-----------+-------+

4. ARITHMETIC
-------------

+----------------+------+-------+------------+-----------+-------+
|    Site Type   | Used | Fixed | Prohibited | Available | Util% |
+----------------+------+-------+------------+-----------+-------+
| DSPs           |   12 |     0 |          0 |     12288 |  0.10 |
|   DSP48E2 only |   12 |       |            |           |       |
+----------------+------+-------+------------+-----------+-------+

7. Primitives
-------------

+----------+------+---------------------+
| Ref Name | Used | Functional Category |
+----------+------+---------------------+
| FDRE     | 9999 |            Register |
+----------+------+---------------------+
"""

VIVADO_7_SERIES = """| Design       : small
| Design State : Synthesized

+-------------------------+------+-------+-----------+-------+
|        Site Type        | Used | Fixed | Available | Util% |
+-------------------------+------+-------+-----------+-------+
| Slice LUTs*             |  473 |     0 |     41000 |  1.15 |
| Slice Registers         |  293 |     0 |     82000 |  0.36 |
+-------------------------+------+-------+-----------+-------+
+----------------+------+-------+-----------+-------+
|    Site Type   | Used | Fixed | Available | Util% |
+----------------+------+-------+-----------+-------+
| Block RAM Tile |    4 |     0 |       135 |  2.96 |
+----------------+------+-------+-----------+-------+
+-----------+------+-------+-----------+-------+
| Site Type | Used | Fixed | Available | Util% |
+-----------+------+-------+-----------+-------+
| DSPs      |    0 |     0 |       240 |  0.00 |
+-----------+------+-------+-----------+-------+
"""

VIVADO_HIERARCHY = """| Design       : net
| Design State : Routed

1. Utilization by Hierarchy
---------------------------

+-----------------+----------+------------+------------+---------+------+-----+--------+--------+------+------------+
|     Instance    |  Module  | Total LUTs | Logic LUTs | LUTRAMs | SRLs | FFs | RAMB36 | RAMB18 | URAM | DSP Blocks |
+-----------------+----------+------------+------------+---------+------+-----+--------+--------+------+------------+
| net             |    (top) |       1390 |       1380 |      10 |    0 | 470 |      2 |      1 |    0 |          7 |
|   (net)         |    (top) |          3 |          3 |       0 |    0 |   5 |      0 |      0 |    0 |          0 |
|   dense0        |   dense  |       1284 |       1274 |      10 |    0 | 463 |      2 |      1 |    0 |          7 |
|     mac         |   mac_8  |       1280 |       1270 |      10 |    0 | 325 |      2 |      0 |    0 |          7 |
|   relu0         |   relu   |        103 |        103 |       0 |    0 |   2 |      0 |      0 |    0 |          0 |
+-----------------+----------+------------+------------+---------+------+-----+--------+--------+------+------------+
"""

CSYNTH_XML = """<?xml version="1.0" encoding="UTF-8"?>
<profile>
<ReportVersion><Version>2023.2</Version></ReportVersion>
<UserAssignments>
<unit>ns</unit><Part>xcu250-figd2104-2L-e</Part><TopModelName>dense_top</TopModelName>
<TargetClockPeriod>5.00</TargetClockPeriod>
</UserAssignments>
<PerformanceEstimates>
<SummaryOfTimingAnalysis><unit>ns</unit><EstimatedClockPeriod>4.000</EstimatedClockPeriod></SummaryOfTimingAnalysis>
</PerformanceEstimates>
<AreaEstimates>
<Resources><BRAM_18K>4</BRAM_18K><DSP>171</DSP><FF>9744</FF><LUT>19834</LUT><URAM>0</URAM></Resources>
<AvailableResources><BRAM_18K>5376</BRAM_18K><DSP>12288</DSP><FF>3456000</FF><LUT>1728000</LUT></AvailableResources>
</AreaEstimates>
</profile>
"""

CSYNTH_TEXT = """
================================================================
== Vitis HLS Report for 'dense_top'
================================================================
* Date:           Mon Jan  1 00:00:00 2024

================================================================
== Performance Estimates
================================================================
+ Timing:
    * Summary:
    +--------+---------+----------+------------+
    |  Clock |  Target | Estimated| Uncertainty|
    +--------+---------+----------+------------+
    |ap_clk  |  5.00 ns|  3.200 ns|     1.35 ns|
    +--------+---------+----------+------------+

================================================================
== Utilization Estimates
================================================================
* Summary:
+---------------------+---------+-------+---------+---------+-----+
|         Name        | BRAM_18K|  DSP  |    FF   |   LUT   | URAM|
+---------------------+---------+-------+---------+---------+-----+
|DSP                  |        -|      -|        -|        -|    -|
|Expression           |        -|      -|        0|     1280|    -|
|Memory               |        4|      -|        0|        0|    -|
|Register             |        -|      -|     1231|        -|    -|
+---------------------+---------+-------+---------+---------+-----+
|Total                |        4|     16|     1231|     6750|    0|
+---------------------+---------+-------+---------+---------+-----+
|Available            |     5376|  12288|  3456000|  1728000| 1280|
+---------------------+---------+-------+---------+---------+-----+

+ Detail:
    * Memory:
    +------+-------+---------+---+----+-----+------+-----+------+-------------+
    |Memory| Module| BRAM_18K| FF| LUT| URAM| Words| Bits| Banks| W*Bits*Banks|
    +------+-------+---------+---+----+-----+------+-----+------+-------------+
    |Total |       |       99|  0|  99|    0|   512|   32|     1|        16384|
    +------+-------+---------+---+----+-----+------+-----+------+-------------+
"""

QUARTUS = """Fitter Status : Successful - Mon Jan 01 00:00:00 2024
Quartus Prime Version : 22.1std.0 Build 915 10/25/2022 SC Lite Edition
Revision Name : dense
Top-level Entity Name : dense_top
Family : Cyclone V
Device : 5CSEBA6U23I7
Timing Models : Final
Logic utilization (in ALMs) : 9,358 / 41,910 ( 22 % )
Total registers : 4350
Total pins : 0 / 314 ( 0 % )
Total virtual pins : 120
Total block memory bits : 30,423 / 5,662,720 ( < 1 % )
Total RAM Blocks : 31 / 553 ( 6 % )
Total DSP Blocks : 16 / 112 ( 14 % )
Total PLLs : 0 / 6 ( 0 % )
"""

TABLE = """Design,LUT,FF,note,BRAM18,clock_mhz,stage
int_mac_s4_u4_acc14,39,14,mine,,250,synthesis
int_mac_s8_u8_acc22,134,22,,0,,
"""


def read(tmp_path: Path, name: str, text: str) -> tuple[ReportRow, ...]:
    path = tmp_path / name
    path.write_text(text)
    return read_report(path)


@pytest.mark.golden
@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("a.rpt", VIVADO_FLAT, ("dense_top", 5365, 6171, 12, 7, None, "post_route", "vivado", "LUT")),
        ("a.rpt", VIVADO_7_SERIES, ("small", 473, 293, 0, 8, None, "synthesis", "vivado", "LUT")),
        ("a.xml", CSYNTH_XML, ("dense_top", 19834, 9744, 171, 4, 250.0, "hls", "hls", "LUT")),
        ("a.rpt", CSYNTH_TEXT, ("dense_top", 6750, 1231, 16, 4, 312.5, "hls", "hls", "LUT")),
        (
            "a.xml",
            CSYNTH_XML.replace("DSP>", "DSP48E>"),
            ("dense_top", 19834, 9744, 171, 4, 250.0, "hls", "hls", "LUT"),
        ),
        ("a.summary", QUARTUS, ("dense_top", 9358, 4350, 16, 31, None, "post_route", "quartus", "ALM")),
    ],
)
def test_each_tool(tmp_path: Path, name: str, text: str, expected: tuple[object, ...]) -> None:
    (row,) = read(tmp_path, name, text)
    assert tuple(row.as_dict().values()) == expected


@pytest.mark.golden
def test_hierarchy_names_are_paths(tmp_path: Path) -> None:
    rows = {row.design: row for row in read(tmp_path, "h.rpt", VIVADO_HIERARCHY)}
    assert list(rows) == ["net", "net (own)", "net/dense0", "net/dense0/mac", "net/relu0"]
    assert (rows["net"].lut, rows["net"].ff, rows["net"].dsp, rows["net"].bram18) == (1390, 470, 7, 5)
    assert rows["net/dense0/mac"].bram18 == 4
    assert {row.stage for row in rows.values()} == {"post_route"}


@pytest.mark.golden
def test_a_plain_table(tmp_path: Path) -> None:
    first, second = read(tmp_path, "mine.csv", TABLE)
    assert (first.design, first.lut, first.ff, first.dsp, first.bram18) == ("int_mac_s4_u4_acc14", 39, 14, None, None)
    assert (first.clock_mhz, first.stage, second.stage, second.bram18) == (250, "synthesis", "post_route", 0)


@pytest.mark.exact
@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "nothing of the kind", "not a report"),
        ("a.csv", "design,area\nx,1\n", "columns are missing"),
        ("a.csv", "design,lut\nx,1\nx,2\n", "line 3, column design: 'x' appears twice"),
        ("a.csv", "design,lut\n", "no designs"),
        ("a.csv", "design,lut\n,1\n", "line 2, column design: a design without a name"),
        ("a.csv", "design,lut,ff\nx,1,-2\n", "line 2, column ff: -2 is not a count"),
        ("a.csv", "design,lut\nx,nan\n", "line 2, column lut: nan is not a count"),
        ("a.csv", "design,lut\nx,1,234\n", "line 2: more cells than columns"),
        ("a.csv", "design,lut\nx,many\n", "'many' is not a number"),
        ("a.csv", "design,lut,stage\nx,1,synthesys\n", "did you mean 'synthesis'"),
        ("a.xml", CSYNTH_XML.replace("</profile>", ""), "not well-formed"),
        ("a.xml", '<!DOCTYPE a [<!ENTITY b "c">]>' + CSYNTH_XML, "entities"),
        ("a.xml", CSYNTH_XML.replace("LUT>", "lut>"), "no LUT count"),
        ("a.rpt", "| Site Type | Used |\n| CARRY8 | 3 |\n", "no row of LUTs"),
        ("a.rpt", CSYNTH_TEXT.replace("|Total", "|Sum"), "no line `Total`"),
        ("a.summary", QUARTUS.replace("Logic utilization", "Logic"), "no line of logic"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path, name, text)
    assert name in str(caught.value)


@pytest.mark.exact
def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "none.rpt")
