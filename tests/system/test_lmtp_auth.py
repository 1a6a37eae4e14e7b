"""The tests of the SMTP client's logins with the LMTP client: lmtp_sasl_* instead of smtp_sasl_*, and servers that speak LMTP."""
import pytest
import test_smtp_auth
from auth_server import AuthServer
from test_lmtp_tls import LmtpAgent
from test_smtp_auth import (readable, test_accounts_do_not_mix_on_kept_connections, test_authorization_id, test_changed_password_table,  # noqa: F401
                            test_loop, test_mechanism_filter, test_mechanisms, test_no_plaintext_in_clear, test_null_list, test_odd_servers,
                            test_result_delimiter, test_start_refuses, test_strangers, test_temporary_refusal, test_token_from_file, test_whose_account,
                            test_wrong_password)


@pytest.fixture(autouse=True)
def speak_lmtp(monkeypatch):
    class Server(AuthServer):
        def __init__(self, *a, **kw):
            super().__init__(*a, **{"lmtp": True, **kw})
    monkeypatch.setattr(test_smtp_auth, "AuthServer", Server)
    monkeypatch.setattr(test_smtp_auth, "Agent", LmtpAgent)
