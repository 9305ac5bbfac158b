"""The shipped parts, and parts that a user writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from hwsim.core.errors import InputError
from hwsim.cost_models import estimate, part, parts
from hwsim.cost_models.catalogue import FOLDER


@pytest.mark.exact
def test_a_dozen_parts_with_sources() -> None:
    found = parts()
    assert len(found) >= 13
    assert {"zynq7020", "xc7a100t", "zu3eg", "zcu104", "zcu102", "kv260", "u50", "u250", "u55c"} <= set(found)
    assert {"vu9p", "vu13p", "vck190", "pynq-z2"} <= set(found)
    for name, one in found.items():
        assert (FOLDER / f"{name}.toml").is_file()
        assert one.ff == 2 * one.lut  # two flip-flops a LUT in all of these families
        assert "DS" in one.source and "lock: assumed" in one.source
        assert one.bram18 % 2 == 0


@pytest.mark.truth
def test_counts_of_datasheets() -> None:
    # DS190 table 1, DS891 tables 2 and 3, DS890 table 8
    assert (part("zynq7020").lut, part("zynq7020").dsp, part("zynq7020").bram18) == (53200, 220, 280)
    assert (part("zcu102").lut, part("zcu102").dsp, part("zcu102").bram18) == (274080, 2520, 1824)
    assert (part("vu9p").lut, part("vu9p").dsp, part("vu9p").uram) == (1182240, 6840, 960)


@pytest.mark.exact
def test_an_unknown_part_names_the_nearest() -> None:
    with pytest.raises(InputError, match=r"zcu10x") as caught:
        part("zcu10x")
    assert "did you mean 'zcu10" in caught.value.hint
    assert part("ZCU104") is part("zcu104")


@pytest.mark.exact
def test_a_users_own_part(tmp_path: Path) -> None:
    text = (FOLDER / "zu3eg.toml").read_text().replace('"zu3eg"', '"mine"').replace("lut = 70560", "lut = 1000")
    file = tmp_path / "mine.toml"
    file.write_text(text)
    assert (part(file).name, part(str(file)).lut) == ("mine", 1000)
    file.write_text(text.replace("DSP48E2", "DSP48E3"))
    with pytest.raises(InputError, match="DSP48E3"):
        part(file)
    file.write_text(text.replace("clock_mhz = 200.0", "clock_mhz = 0"))
    with pytest.raises(InputError, match="clock_mhz"):
        part(file)
    with pytest.raises(InputError):
        part(tmp_path / "nothing.toml")


@pytest.mark.property
def test_every_part_prices_a_network() -> None:
    import cost_networks as nets

    from hwsim.core.assignment import Policy, assign

    workload = nets.small_residual()
    assignment = assign(workload, Policy("int8", "int8", scale="pow2"))
    for one in parts().values():
        for arch in ("dataflow", "overlay"):
            made = estimate(workload, assignment, one, arch=arch, reuse="auto")  # type: ignore[arg-type]
            assert made.part == one.name and made.fits in ("yes", "uncertain")
