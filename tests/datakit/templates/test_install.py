import io
import tarfile

import pytest

from datakit.core.errors import TemplateError, Unreachable
from datakit.templates import load_collection
from datakit.templates.install import install

FILE = b"dataset: toy\ntemplates:\n  a: !Template {name: x, jinja: 'q {{text}} ||| a'}\n"


def pack(path, **files):
    with tarfile.open(path, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def test_template_files_and_nothing_else_come_out(tmp_path, monkeypatch):
    monkeypatch.delenv("DATAKIT_PROMPTSOURCE", raising=False)
    monkeypatch.setenv("DATAKIT_CACHE", str(tmp_path / "cache"))
    archive = pack(
        tmp_path / "p.tar.gz",
        **{
            "p-1/setup.py": b"raise SystemExit(9)",
            "p-1/p/templates/toy/templates.yaml": FILE,
            "p-1/p/templates/glue/mini/templates.yaml": FILE,
        },
    )
    folder, count = install(archive)
    assert (folder, count) == (tmp_path / "cache" / "promptsource", 2)
    assert sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()) == [
        "glue/mini/templates.yaml",
        "toy/templates.yaml",
    ]
    assert load_collection("promptsource:glue/mini")["x"].apply({"text": "t"}) == ["q t", "a"]
    assert install(archive) == (folder, 2)


@pytest.mark.parametrize(
    "name", ["p/templates/../../x/templates.yaml", "p/templates//etc/templates.yaml", "/p/templates/x/templates.yaml"]
)
def test_a_path_that_leads_elsewhere_is_refused(tmp_path, name):
    archive = pack(tmp_path / "p.tar.gz", **{"p/templates/toy/templates.yaml": FILE, name: FILE})
    with pytest.raises(TemplateError, match="the archive has the path"):
        install(archive, folder=tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.tar.gz"]


def test_a_foreign_archive_is_refused(tmp_path):
    with pytest.raises(TemplateError, match=r"no templates\.yaml"):
        install(pack(tmp_path / "p.tar.gz", x=b"y"), folder=tmp_path / "out")
    broken = pack(tmp_path / "q.tar.gz", **{"p/templates/toy/templates.yaml": b"templates: !!python/name:os.system"})
    with pytest.raises(TemplateError, match="not valid YAML"):
        install(broken, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_index_out_of_reach_names_the_command(tmp_path, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(Unreachable, match=r"pip download --no-deps .*promptsource==0\.2\.3.*--from") as caught:
        install(folder=tmp_path / "out")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.network
def test_the_real_archive(tmp_path):
    assert install(folder=tmp_path / "out")[1] == 279
