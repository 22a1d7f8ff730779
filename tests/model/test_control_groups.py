"""Control groups: the process's own is asked first or last, but each above it, too."""

from lookalike.model.control_groups import settings_of


def test_each_group_above_the_process_is_asked_and_those_without_the_files_are_passed_over(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a/b/c\n3:cpu,cpuacct:/x\n1:name=systemd:/y\n")
    for name, text in {"a/one": "1\n", "a/b/one": "2\n", "cpu/x/old": "3\n", "cpu/x/older": "4\n"}.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    assert sorted(settings_of(tmp_path, "cpu", ["one"], ["old", "older"])) == ["1", "2", "3 4"]


def test_without_groups_nothing_is_said(tmp_path):
    assert list(settings_of(tmp_path, "cpu", ["one"], ["old"])) == []
