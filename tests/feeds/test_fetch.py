"""What comes over HTTPS: verified, bounded, asked for again only if it changed; and feeds that are due."""

from __future__ import annotations

import fcntl
import json
import ssl
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest
import trustme

from blocker import sitefile
from blocker.errors import OrdersInvalid, PointError, StoreError
from blocker.feeds import fetch, polling
from blocker.feeds.fetch import Validators
from tests.feeds.conftest import FEED
from tests.feeds.samples import NAMES, OTHERS, URL, lines, position
from tests.feeds.test_damaged import feed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.feeds.conftest import Fed


@dataclass
class Web:
    """A server on loopback: what it answers, and what it was asked."""

    port: int
    status: int = 200
    body: bytes = b""
    drip: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}/list"


@contextmanager
def serving(certificate: trustme.LeafCert) -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answers.asked.append(dict(self.headers))
            if answers.drip:
                with suppress(OSError):
                    for octet in answers.drip:
                        self.wfile.write(bytes([octet]))
                        time.sleep(0.05)
                return
            status, body = answers.status, answers.body
            if answers.headers.get("ETag") and self.headers.get("If-None-Match") == answers.headers["ETag"]:
                status, body = 304, b""
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **answers.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)

    class Server(ThreadingHTTPServer):
        daemon_threads = False

        def get_request(self) -> tuple[ssl.SSLSocket, Any]:
            client, address = self.socket.accept()
            client.settimeout(5)
            try:
                return context.wrap_socket(client, server_side=True), address
            except OSError:
                client.close()
                raise

        def handle_error(self, *_: object) -> None:
            """A client that leaves is part of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    answers = Web(server.server_port)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield answers
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def web(authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Web]:
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    for name in ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with serving(authority.issue_cert("localhost")) as found:
        yield found


def refused(web: Web) -> str:
    with pytest.raises((PointError, OrdersInvalid)) as caught:
        fetch.from_url(web.url, 0, Validators())
    return str(caught.value).removeprefix(web.url)


def test_a_document_comes_with_what_to_ask_with_next_and_then_only_if_it_changed(web: Web) -> None:
    web.body, web.headers = b"x.example\n", {"ETag": '"1"', "Last-Modified": "Sat, 28 Nov 2026 12:00:00 GMT"}
    source, known = fetch.from_url(web.url, 7, Validators())
    assert source is not None
    assert (source.octets, source.place, source.at) == (b"x.example\n", web.url, 7)
    assert known == Validators(etag='"1"', modified="Sat, 28 Nov 2026 12:00:00 GMT")
    assert fetch.from_url(web.url, 8, known) == (None, known)
    assert web.asked[0]["User-Agent"].startswith("blocker/")
    assert web.asked[1]["If-Modified-Since"] == "Sat, 28 Nov 2026 12:00:00 GMT"


@pytest.mark.parametrize("status", [400, 403, 404, 500, 503])
def test_an_error_of_the_server_is_told(web: Web, status: int) -> None:
    web.status = status
    assert refused(web).startswith(f": the server answers {status} ")


def test_a_document_shorter_than_it_says_is_cut_off(web: Web) -> None:
    web.body, web.headers = b"x.example\n", {"Content-Length": "20"}
    assert "feed-cut-off: 10 octets came of 20" in refused(web) or "IncompleteRead" in refused(web)


def test_a_document_without_end_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "MAX_LIST_OCTETS", 1000)
    web.body = b"x" * 2000
    assert refused(web) == " feed-too-large: the document is larger than 512 MiB."


def test_a_document_that_takes_too_long_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "DEADLINE", -1.0)
    web.body = b"x"
    assert refused(web) == ": it can't be read: it takes longer than -1 s"


@pytest.mark.parametrize(
    "drip",
    [
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200,
        b"HTTP/1.1 200 OK\r\nContent-Length: 200\r\n\r\n" + b"x" * 200,
        b"HTTP/1.1 302 Found\r\nLocation: /list\r\n\r\n",
    ],
)
def test_a_document_that_comes_by_drips_is_given_up_at_its_time(
    web: Web, monkeypatch: pytest.MonkeyPatch, drip: bytes
) -> None:
    monkeypatch.setattr(fetch, "DEADLINE", 1.0)
    web.drip, began = drip, time.monotonic()
    assert refused(web) == ": it can't be read: it takes longer than 1 s"
    assert time.monotonic() - began < 4


def test_a_server_that_says_nothing_more_is_given_up_before(
    web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetch, "TIMEOUT", 0.02)
    web.drip = b"HTTP/1.1 200 OK\r\n"
    assert "timed out" in refused(web)


def test_an_import_says_whom_it_waits_for(fed: Fed) -> None:
    site = sitefile.load(fed.folder / "site.yaml")
    with polling.alone(site, warn=pytest.fail):
        pass
    told: list[str] = []
    (fed.folder / "state" / "feeds").mkdir(parents=True, exist_ok=True)
    with (fed.folder / "state" / "feeds" / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.write("4711")
        lock.flush()

        def free(sentence: str) -> None:
            told.append(sentence)
            fcntl.flock(lock, fcntl.LOCK_UN)

        with polling.alone(site, warn=free):
            pass
    assert told == ["another import runs (process 4711); this one waits until it has ended"]


def test_redirects_stay_on_https_and_are_few(web: Web) -> None:
    web.status, web.headers = 302, {"Location": "http://localhost/list"}
    assert "it redirects to something else than https" in refused(web)
    web.headers = {"Location": "file:///etc/passwd"}
    assert "file" in refused(web) or "https" in refused(web)
    before = len(web.asked)
    web.headers = {"Location": web.url}
    assert "would lead to an infinite loop" in refused(web)
    assert len(web.asked) - before <= fetch.MAX_REDIRECTS + 1


def test_nobody_there_is_told(web: Web) -> None:
    with pytest.raises(PointError, match="it can't be reached"):
        fetch.from_url("https://localhost:1/list", 0, Validators())


def test_another_name_and_an_unknown_authority_are_not_trusted(web: Web, authority: trustme.CA) -> None:
    with serving(authority.issue_cert("other.example")) as other:
        assert "certificate" in refused(other).lower()
    with serving(trustme.CA().issue_cert("localhost")) as other:
        assert "CERTIFICATE_VERIFY_FAILED" in refused(other)


def test_validators_that_could_not_be_sent_back_are_dropped(web: Web) -> None:
    web.body, web.headers = b"x", {"ETag": "x" * 300}
    assert fetch.from_url(web.url, 0, Validators())[1] == Validators()


def test_a_feed_is_asked_when_it_is_due_and_not_before(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url, more="    interval: 1h\n    max_change: 0.5\n")
    web.body, web.headers = lines(NAMES).encode(), {"ETag": '"1"'}
    ran = fed.run("import", "--poll", "--json")
    assert (ran.code, json.loads(ran.out)[0]["orders"]) == (0, ["reg/2026-11-28-list"])
    fed.at("2026-11-28T12:59:00+00:00")
    assert (fed.run("import", "--poll", "--json").out, len(web.asked)) == ("[]\n", 1)
    fed.at("2026-11-28T13:07:00+00:00")
    assert (fed.run("import", "--poll", "--json").out, len(web.asked)) == ("[]\n", 2)
    assert web.asked[1]["If-None-Match"] == '"1"'
    web.body, web.headers = lines(("new.example", *NAMES)).encode(), {"ETag": '"2"'}
    fed.at("2026-11-28T15:00:00+00:00")
    assert json.loads(fed.run("import", "--poll", "--json").out)[0]["added"] == 1


def test_a_document_is_fetched_whole_when_its_orders_are_gone(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url)
    web.body, web.headers = lines(NAMES).encode(), {"ETag": '"1"'}
    fed.run("import", "--poll")
    for path in (fed.folder / "orders" / "reg").iterdir():
        path.unlink()
    fed.at("2026-11-29T12:00:00+00:00")
    assert json.loads(fed.run("import", "--poll", "--json").out)[0]["orders"] == ["reg/2026-11-29-list"]


def test_a_feed_that_fails_waits_longer_each_time_and_is_told(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url, more="    interval: 1h\n")
    web.status = 500
    times = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]  # hours
    for hour in times:
        fed.at(f"2026-11-28T{hour:02}:00:00+00:00")
        ran = fed.run("import", "--poll")
        assert ran.code in (0, 5)
    assert len(web.asked) == 3  # At 0, after 2 hours, after 4 more; a little later each.
    web.status, web.body = 200, b"<html>error</html>\n"
    fed.at("2026-11-30T00:00:00+00:00")
    ran = fed.run("import", "--poll")
    assert ran.code == 2
    assert "feed-html" in ran.err
    assert json.loads((fed.folder / "state" / "feeds" / "list.json").read_text())["failures"] == 4


@pytest.mark.parametrize("content", ["", "[]", "{", '{"due": "x"}', '{"due": 1e999}', '{"due": 1}', "\xff"])
def test_what_is_remembered_and_can_t_be_read_is_forgotten(fed: Fed, content: str) -> None:
    fed.feed("names")
    (fed.folder / "list").write_text(lines(NAMES))
    (fed.folder / "state" / "feeds").mkdir(parents=True)
    (fed.folder / "state" / "feeds" / "list.json").write_text(content, encoding="latin-1")
    assert fed.run("import", "--poll").code == 0
    assert fed.orders


def test_the_wait_doubles_up_to_a_day_and_is_a_little_longer_by_chance() -> None:
    one = feed("names")
    assert [polling.delay(one, failures, 0) for failures in range(6)] == [3600 * 2**at for at in range(5)] + [
        86400
    ]
    assert polling.delay(one, 60, 1) == pytest.approx(86400 * 1.1)


@pytest.mark.parametrize(
    "address",
    [
        "https://[::1",
        "https://a..b/",
        f"https://{'a' * 70}.example/",
        "https://\u0142.example/",
        "https://x:y/",
    ],
)
def test_a_redirect_to_what_is_no_address_is_told(web: Web, address: str) -> None:
    web.status, web.headers = 302, {"Location": address.encode().decode("latin-1")}
    assert refused(web).startswith(": it")


def test_a_source_that_is_no_address_is_told(fed: Fed) -> None:
    fed.feed("names")
    ran = fed.run("import", "list", "https://localhost:1/\u0142")
    assert (ran.code, ran.out) == (5, "")
    assert "is not an address" in ran.err


def two(fed: Fed, first: str) -> None:
    """Two feeds: this one's source, then a file with a good list."""
    form = {"format": "names", "minimum": 1, "more": ""}
    (fed.folder / "good").write_text(lines(NAMES))
    feeds = FEED.format(name="bad", source=first, **form) + FEED.format(name="list", source="good", **form)
    (fed.folder / "feeds.yaml").write_text(f"feeds:\n{feeds}")


def remembered(fed: Fed, name: str = "list") -> dict[str, Any]:
    found: dict[str, Any] = json.loads((fed.folder / "state" / "feeds" / f"{name}.json").read_text())
    return found


def test_one_server_s_bad_redirect_keeps_no_other_feed_from_its_import(fed: Fed, web: Web) -> None:
    two(fed, web.url)
    web.status, web.headers = 302, {"Location": "https://[::1"}
    ran = fed.run("import", "--poll", "--json")
    assert (ran.code, json.loads(ran.out)[0]["feed"]) == (5, "list")
    assert (remembered(fed, "bad")["failures"], remembered(fed)["failures"]) == (1, 0)


def test_a_bug_with_one_feed_keeps_no_other_from_its_import_and_tells_no_secret(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    two(fed, "https://localhost:1/")

    def broken(*_: object) -> None:
        raise KeyError("a secret")

    monkeypatch.setattr(fetch, "from_url", broken)
    ran = fed.run("import", "--poll", "--json")
    assert (ran.code, json.loads(ran.out)[0]["orders"]) == (1, ["reg/2026-11-28-list"])
    assert "bad: KeyError: this is a bug" in ran.err
    assert "a secret" not in ran.err
    assert remembered(fed, "bad")["failures"] == 1


def test_what_can_t_be_remembered_of_one_feed_keeps_no_other_from_its_import(fed: Fed) -> None:
    two(fed, "good")
    (fed.folder / "state" / "feeds" / ".bad.json.new").mkdir(parents=True)
    ran = fed.run("import", "--poll", "--json")
    assert (ran.code, len(json.loads(ran.out))) == (4, 2)
    assert "bad.json: it can't be written" in ran.err


def test_what_a_clock_ahead_remembered_keeps_no_feed_waiting(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url)
    web.status = 500
    fed.at("2036-01-01T12:00:00+00:00")
    fed.run("import", "--poll")
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.run("import", "--poll")
    assert (ran.code, len(web.asked)) == (5, 2)
    assert fed.run("import", "--poll").code == 0


def test_a_protected_name_on_a_list_is_told_until_it_is_none_and_no_failure_of_its_server(
    fed: Fed, web: Web
) -> None:
    fed.feed("names", source=web.url, more="    interval: 1h\n")
    web.body, web.headers = lines((*NAMES, "kept.example")).encode(), {"ETag": '"1"'}
    for hour, asked in ((12, 1), (14, 2)):
        fed.at(f"2026-11-28T{hour}:00:00+00:00")
        ran = fed.run("import", "--poll")
        assert (ran.code, "protected-name" in ran.err, len(web.asked)) == (2, True, asked)
        assert "If-None-Match" not in web.asked[-1]
        assert remembered(fed)["failures"] == 0
    (fed.folder / "protected.yaml").write_text("protected: []\n")
    fed.at("2026-11-28T16:00:00+00:00")
    assert fed.run("import", "--poll").code == 0
    assert any(b"kept.example" in octets for octets in fed.orders.values())


@pytest.mark.parametrize("odd", ["x@odd.example", "foo..odd.example"])
def test_an_odd_row_is_told_and_no_failure_of_its_server(fed: Fed, web: Web, odd: str) -> None:
    fed.feed("names", source=web.url)
    web.body, web.headers = (
        lines((*(f"n{number}.example" for number in range(40)), odd)).encode(),
        {"ETag": '"1"'},
    )
    assert fed.run("import", "--poll").code == 2
    assert (remembered(fed)["failures"], remembered(fed)["etag"]) == (0, '"1"')


def test_a_document_with_a_date_to_come_is_fetched_whole_until_it_has_come(fed: Fed, web: Web) -> None:
    fed.feed("cert-pl", source=web.url, more="    max_change: 1\n")
    entries = [position(at, name, "2026-01-01T12:00:00", None) for at, name in enumerate(NAMES, 1)]
    later = position(99, "new.example", "2026-11-29T10:00:00", None)
    web.body, web.headers = json.dumps([*entries, later]).encode(), {"ETag": '"1"'}
    fed.run("import", "--poll")
    fed.at("2026-11-29T12:00:00+00:00")
    assert json.loads(fed.run("import", "--poll", "--json").out)[0]["added"] == 1
    assert "If-None-Match" not in web.asked[1]


def test_what_a_server_said_is_not_sent_to_another(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url)
    web.body, web.headers = lines(NAMES).encode(), {"ETag": '"1"'}
    fed.run("import", "--poll")
    fed.feed("names", source=web.url + "/elsewhere", more="    max_change: 0.5\n")
    web.body = lines((*NAMES, "new.example")).encode()
    fed.at("2026-11-29T12:00:00+00:00")
    assert json.loads(fed.run("import", "--poll", "--json").out)[0]["added"] == 1
    assert "If-None-Match" not in web.asked[1]


def test_an_amend_that_somebody_deleted_comes_again(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url, more="    max_change: 0.5\n")
    web.body, web.headers = lines(NAMES).encode(), {"ETag": '"1"'}
    fed.run("import", "--poll")
    web.body, web.headers = lines((*NAMES, "new.example")).encode(), {"ETag": '"2"'}
    for day in (29, 30):
        fed.at(f"2026-11-{day}T12:00:00+00:00")
        assert json.loads(fed.run("import", "--poll", "--json").out)[0]["added"] == 1
        (fed.folder / "orders" / "reg" / f"2026-11-{day}-list-120000.yaml").unlink()


def test_nothing_changed_is_no_answer_of_a_server_that_was_not_asked_so(fed: Fed, web: Web) -> None:
    fed.feed("names", source=web.url)
    web.status = 304
    for words in (["list"], ["--poll"]):
        ran = fed.run("import", *words)
        assert (ran.code, fed.orders) == (5, {})
        assert "the server says that nothing changed, though it was not asked" in ran.err
    assert remembered(fed)["failures"] == 1


@pytest.mark.parametrize("status", [202, 203, 206])
def test_what_is_no_whole_document_of_the_server_s_own_is_none(web: Web, status: int) -> None:
    web.status, web.body = status, lines(NAMES).encode()
    assert refused(web).startswith(f": the server answers {status} ")


@pytest.mark.parametrize("publication", ["sealed", "sealed-until-effective"])
@pytest.mark.parametrize("words", [(), ("--json",)])
def test_a_poll_of_a_feed_that_is_not_public_counts_and_tells_no_name_no_row_and_no_order(
    fed: Fed, publication: str, words: tuple[str, ...]
) -> None:
    sealed(fed, publication)
    (fed.folder / "list").write_text(lines((*NAMES, *OTHERS, "kept.example", URL, "foo..example")))
    ran = fed.run("import", "--poll", *words)
    assert ran.code == 2
    for secret in ("casino", "other", "kept", "shop", "foo", "reg/", "2026-11-28", str(fed.folder)):
        assert secret not in ran.out + ran.err
    assert (
        "list: 1 feed-row-unreadable, 1 protected-name; `blocker import list --dry-run` says more" in ran.err
    )
    if words:
        (made,) = json.loads(ran.out)
        assert (made["names"], made["added"], made["skipped"]) == (
            20,
            20,
            {"url": 1, "unreadable": 1, "protected": 1},
        )
        assert (made["orders"], made["files"], made["not_names"], made["source"]) == ([], [], [], None)
        assert [one["id"] for one in made["problems"]] == ["feed-row-unreadable", "protected-name"]
    else:
        assert "new\t20\n" in ran.out
        assert "not blocked: url\t1\n" in ran.out
        assert "written: 3 files\n" in ran.out
    assert len(fed.orders) == 3
    said = fed.run("import", "list", "--dry-run")
    assert "kept.example" in said.err
    assert "'foo..example' (line 23)" in said.out


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ("<html>casino-0.example</html>", "1 feed-html"),
        (None, "1 file-unreadable"),
        ("casino-0.example\n", "1 feed-too-few, 1 feed-tail-missing, 1 feed-changed-too-much"),
    ],
)
def test_of_a_document_that_is_refused_a_poll_of_a_sealed_feed_tells_the_checks_alone(
    fed: Fed, document: str | None, said: str
) -> None:
    sealed(fed, "sealed", minimum=2)
    (fed.folder / "list").write_text(lines(NAMES))
    fed.run("import", "--poll")
    fed.at("2026-11-29T12:00:00+00:00")
    if document is None:
        (fed.folder / "list").unlink()
    else:
        (fed.folder / "list").write_text(document)
    ran = fed.run("import", "--poll")
    assert (ran.code, "casino" in ran.out + ran.err, str(fed.folder) in ran.err) == (2, False, False)
    assert f"list: {said}; `blocker import list --dry-run` says more" in ran.err


def test_a_server_that_fails_is_told_of_a_sealed_feed_without_its_address_and_its_words(
    fed: Fed, web: Web
) -> None:
    sealed(fed, "sealed", source=web.url)
    web.status = 500
    ran = fed.run("import", "--poll")
    assert ran.code == 5
    said = "its document can't be had; `blocker import list --dry-run` says more"
    assert ran.err == f"warning: list: {said}\n"


def test_an_order_that_can_not_be_written_is_not_named_by_a_poll_of_a_sealed_feed(
    fed: Fed, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed(fed, "sealed")
    (fed.folder / "list").write_text(lines(NAMES))

    def fail(*_: object) -> None:
        raise StoreError("reg/2026-11-28-list.yaml: the order can't be written: No space left on device")

    monkeypatch.setattr("blocker.feeds.importing.write", fail)
    ran = fed.run("import", "--poll")
    assert (ran.code, "reg" in ran.err) == (4, False)
    assert "list: the import failed; `blocker import list --dry-run` says more" in ran.err


def test_a_public_feed_whose_block_is_sealed_or_can_not_be_read_is_polled_as_a_sealed_one(fed: Fed) -> None:
    sealed(fed, "sealed")
    (fed.folder / "list").write_text(lines(NAMES))
    fed.run("import", "--poll")
    assert fed.run("apply", "--yes").code == 0
    sealed(fed, "public", more="    max_change: 0.5\n")
    (fed.folder / "list").write_text(lines(("newcomer.example", "kept.example", *NAMES)))
    fed.at("2026-11-29T12:00:00+00:00")
    ran = fed.run("import", "--poll")
    assert (ran.code, "example" in ran.out + ran.err, "2026-" in ran.out + ran.err) == (2, False, False)
    assert "1 protected-name" in ran.err
    (fed.folder / "orders" / "reg" / "2026-11-28-list.yaml").unlink()
    fed.at("2026-11-30T12:00:00+00:00")
    ran = fed.run("import", "--poll")
    assert (ran.code, "2026-" in ran.err, "feed-orders-broken" in ran.err) == (2, False, True)


def test_a_poll_of_a_public_feed_and_an_import_by_hand_tell_all(fed: Fed) -> None:
    (fed.folder / "list").write_text(lines((*NAMES, "kept.example", URL)))
    sealed(fed, "sealed")
    assert "kept.example" in fed.run("import", "list", "--dry-run").err
    sealed(fed, "public")
    ran = fed.run("import", "--poll")
    assert "kept.example" in ran.err
    assert URL in ran.out
    assert "written: reg/" in ran.out


def sealed(fed: Fed, publication: str, **words: Any) -> None:
    fed.feed("names", **words)
    path = fed.folder / "feeds.yaml"
    path.write_text(path.read_text().replace("publication: public", f"publication: {publication}"))
