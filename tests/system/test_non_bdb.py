"""Leaving Berkeley DB: postfix non-bdb, and tables that are made when they are missing."""
import os

import pytest

ROOT = os.getuid() == 0
USER = "daemon" if ROOT else __import__("pwd").getpwuid(os.getuid()).pw_name


def migrate(p, word):
    return p.run("postfix", "-c", p.etc, "non-bdb", word)


def test_levels(postern):
    p = postern({"default_database_type": "lmdb", "default_cache_db_type": "lmdb"}, start=False)
    assert migrate(p, "status").stdout == "disable\n"
    for word, services in (("enable-redirect", False), ("enable-reindex", True), ("disable", False)):
        r = migrate(p, word)
        assert r.returncode == 0, r
        assert migrate(p, "status").stdout == word + "\n"
        assert (p.run("postconf", "-c", p.etc, "-M", "nbdb_reindex/unix").stdout != "") == services
    assert migrate(p, "").returncode == 1 and "usage:" in migrate(p, "sideways").stderr


def test_needs_another_type(postern):
    p = postern({"default_database_type": "hash"}, start=False)
    r = migrate(p, "enable-redirect")
    assert r.returncode == 1 and "default_database_type = hash" in r.stderr
    assert migrate(p, "status").stdout == "disable\n"


@pytest.mark.parametrize("where, made", [("below", True), ("elsewhere", False)])
def test_missing_table_is_made(postern, where, made):
    p = postern({"default_database_type": "lmdb", "default_cache_db_type": "lmdb"}, start=False)
    tables = os.path.join(p.etc, "maps")
    os.mkdir(tables)
    with open(f"{tables}/virtual", "w") as f:
        f.write(f"info@example.test {USER}@example.test\n")
    with open(f"{tables}/aliases", "w") as f:
        f.write(f"crew: {USER}\n")
    prefix = tables if where == "below" else "/nonexistent"
    p.main.update({"virtual_alias_maps": f"hash:{tables}/virtual", "alias_maps": f"hash:{tables}/aliases", "alias_database": f"hash:{tables}/aliases",
                   "non_bdb_migration_allow_root_prefixes": prefix, "non_bdb_migration_allow_user_prefixes": prefix})
    p.write_config()
    assert migrate(p, "enable-reindex").returncode == 0
    p.start()
    if made:
        for to in ("info", "crew"):
            p.send(f"{to}@example.test")
        p.wait_mail(USER, 2)
        assert os.path.exists(f"{tables}/virtual.lmdb") and os.path.exists(f"{tables}/aliases.lmdb")
        p.wait_log(r"nbdb_reindexd\[\d+\]: made lmdb:.*/aliases with postalias")
        p.wait_log(r"nbdb_reindexd\[\d+\]: made lmdb:.*/virtual with postmap")
    else:
        p.wait_port()
        with p.raw() as c:
            c.cmd("EHLO x.test")
            c.cmd("MAIL FROM:<s@x.test>")
            assert c.cmd("RCPT TO:<info@example.test>").startswith("451 4.3.0 ")
        p.wait_log(r"virtual: not a file below non_bdb_migration_allow_(root|user)_prefixes = /nonexistent")
        assert not os.path.exists(f"{tables}/virtual.lmdb")
