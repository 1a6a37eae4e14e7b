"""./quickstart --submission in a tree of its own, which shares sources and build with this one."""
import os
import shutil
import subprocess
import tempfile

import pytest

from conftest import BUILD, SLOW, TOP


@pytest.mark.heavy
@pytest.mark.skipif(os.path.realpath(BUILD) != os.path.realpath(f"{TOP}/build"), reason="quickstart runs what is in build/")
def test_submission():
    top = tempfile.mkdtemp(prefix="pq-", dir="/tmp")
    os.chmod(top, 0o755)
    for name in os.listdir(TOP):
        if name not in ("quickstart", "quickstart.d", ".git"):
            os.symlink(f"{TOP}/{name}", f"{top}/{name}")
    shutil.copy(f"{TOP}/quickstart", top)
    try:
        for _ in range(2):  # the second run finds everything in place
            r = subprocess.run(["./quickstart", "--submission"], cwd=top, capture_output=True, text=True, timeout=300 * SLOW)
            assert r.returncode == 0, r
            assert "submission with" in r.stdout and "works" in r.stdout and "sasl_method=PLAIN" in r.stdout
    finally:
        subprocess.run(["./quickstart", "stop"], cwd=top, capture_output=True, timeout=60 * SLOW)
        shutil.rmtree(top)
