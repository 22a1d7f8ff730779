"""Cores: what binds the process, and what its control group grants it, in files as Linux has them."""

import os

import pytest

from lookalike.model.cores import cores


@pytest.fixture(autouse=True)
def eight(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def system(root, groups, **files):
    """Files below a folder, which stand for those below /. In names, __ is a slash and DOT a dot."""
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name.replace("__", "/").replace("DOT", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_without_control_groups_it_is_what_the_process_is_bound_to(tmp_path):
    assert cores(tmp_path) == 8


def test_a_machine_that_binds_no_process_has_all_of_its_cores(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert cores(tmp_path) == 6
    monkeypatch.setattr(os, "cpu_count", lambda: None)
    assert cores(tmp_path) == 1


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("200000 100000\n", 2),
        ("150000 100000\n", 2),
        ("10000 100000\n", 1),
        ("max 100000\n", 8),
        ("9900000 100000\n", 8),
    ],
)
def test_version_2_limits_by_cpu_max(tmp_path, limit, expected):
    assert cores(system(tmp_path, "0::/\n", cpuDOTmax=limit)) == expected


@pytest.mark.parametrize(("quota", "expected"), [("300000", 3), ("250000", 3), ("-1", 8)])
def test_version_1_limits_by_quota_and_period(tmp_path, quota, expected):
    files = {"cpu__cpuDOTcfs_quota_us": f"{quota}\n", "cpu__cpuDOTcfs_period_us": "100000\n"}
    assert cores(system(tmp_path, "9:memory:/\n3:cpu,cpuacct:/\n0::/\n", **files)) == expected


def test_the_least_of_a_group_and_those_above_it_counts(tmp_path):
    files = {"jobDOTslice__cpuDOTmax": "300000 100000", "jobDOTslice__night__cpuDOTmax": "500000 100000"}
    assert cores(system(tmp_path, "0::/job.slice/night\n", **files)) == 3


def test_a_container_whose_path_is_the_hosts_sees_its_group_at_the_top(tmp_path):
    assert cores(system(tmp_path, "0::/docker/0cc2\n", cpuDOTmax="400000 100000")) == 4


def test_files_that_are_not_as_they_should_be_set_no_limit(tmp_path):
    assert cores(system(tmp_path, "0::/\n", cpuDOTmax="\n")) == 8
