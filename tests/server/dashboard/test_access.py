"""Who gets to see a dashboard, and what of a project it hands out."""

import base64
import http.client
import signal
from http.cookies import SimpleCookie
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from support.browser import Served, chromium, dashboard
from support.e2e import ended, free_port, listens, started, until
from support.pictures import png
from support.projects import At

SECRET = "a-token-of-more-than-thirty-two-characters"


def get(served: Served, path: str, method: str = "GET", **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.request(method, path, headers=headers)
    return connection.getresponse()


def logged_in(served: Served) -> dict[str, str]:
    answer = get(served, f"/?token={served.token}")
    return {"Cookie": (answer.getheader("Set-Cookie") or "").partition(";")[0]}


def test_the_token_in_the_address_becomes_a_cookie_that_opens_these_pages(at: At) -> None:
    with dashboard(at("scored")) as served:
        answer = get(served, f"/versions/1?token={served.token}&page=2")
        assert (answer.status, answer.getheader("Location")) == (303, "/versions/1?page=2")
        cookie = SimpleCookie(answer.getheader("Set-Cookie"))
        (name,) = cookie
        assert cookie[name]["httponly"] and cookie[name]["samesite"] == "strict" and not cookie[name]["domain"]
        assert served.token not in cookie[name].value
        assert get(served, "/versions/1", Cookie=f"{name}={cookie[name].value}").status == 200
        assert get(served, "/", Cookie=f"{name}={served.token}").status == 401
        assert get(served, "//elsewhere.example/?token=" + served.token).getheader("Location") == "/elsewhere.example/"


def test_nobody_sees_anything_without_the_token_or_through_another_name(at: At) -> None:
    with dashboard(at("scored")) as served:
        for path in (
            "/",
            "/versions/1",
            "/events",
            "/static/dashboard.css",
            "/journal",
            "/?token=wrong",
            "/favicon.ico",
        ):
            answer = get(served, path)
            assert answer.status == 401 and b"accuracy" not in answer.read(), path
        cookie = logged_in(served)
        assert get(served, "/", **cookie, Host=f"rebound.example:{served.port}").status == 421
        assert get(served, "/", **cookie, Origin="https://page.example").status == 403


def test_nothing_can_be_changed_there(at: At) -> None:
    folder = at("scored")
    with dashboard(folder) as served:
        cookie, before = logged_in(served), folder.contents()
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            for path in ("/", "/versions/1", "/events", "/static/base.css"):
                assert get(served, path, method, **cookie).status == 405
        for path in ("/", "/versions/1", "/journal"):
            assert get(served, path, **cookie).status == 200
        assert folder.contents() == before


def test_every_answer_says_what_a_browser_may_do_with_it(at: At) -> None:
    folder = at("reported")
    folder.path("Models/Artifacts/v001/infer_samples/0001/viz.png").write_bytes(png())
    with dashboard(folder) as served:
        cookie = logged_in(served)
        number = sorted(path.name for path in folder.path("Models/Artifacts/v001/infer_samples/0001").iterdir()).index(
            "viz.png"
        )
        for path in ("/", "/versions/1", "/journal", "/nowhere", "/report", f"/versions/1/samples/1/{number + 1}"):
            answer = get(served, path, **cookie)
            policy = answer.getheader("Content-Security-Policy") or ""
            assert policy.startswith("default-src '") and "script-src" not in policy and "frame-ancestors" in policy
            assert "'unsafe-inline'" not in policy.replace("style-src 'unsafe-inline'", "") or path == "/report"
            assert answer.getheader("X-Content-Type-Options") == "nosniff"
            assert answer.getheader("Referrer-Policy") == "no-referrer"
            assert answer.getheader("Cache-Control") == "no-store"
        picture = get(served, f"/versions/1/samples/1/{number + 1}", **cookie)
        assert picture.getheader("Content-Type") == "image/png" and picture.read() == png()
        assert get(served, "/favicon.ico", **cookie).status == 204


def test_only_pictures_of_the_samples_themselves_are_handed_out(at: At) -> None:
    folder = at("scored")
    samples = folder.path("Models/Artifacts/v001/infer_samples")
    for name, content in (("a.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script/></svg>"), ("b.png", b"<html>")):
        (samples / "0001" / name).write_bytes(content)
    (samples / "0001" / "c.png").symlink_to(folder.path("user_defined_rules.json"))
    outside = folder.root.parent / "outside"
    outside.mkdir()
    (outside / "d.png").write_bytes(png())
    (samples / "0000").symlink_to(outside)
    with dashboard(folder) as served:
        cookie = logged_in(served)
        page = get(served, "/versions/1", **cookie).read().decode()
        assert "a.svg" not in page and "<img" not in page
        for sample in range(5):
            for file in range(9):
                assert get(served, f"/versions/1/samples/{sample}/{file}", **cookie).status == 404
        for path in ("../../../user_defined_rules.json", "..%2f..%2fbest.ckpt", "0001/viz.png", "1/1e0", "1/١", "-1/1"):
            answer = get(served, quote(f"/versions/1/samples/{path}", safe="/%."), **cookie)
            assert answer.status == 404 and b"primary_metric" not in answer.read(), path
        assert get(served, "/static/..%2froutes.py", **cookie).status == 404


@pytest.mark.parametrize("number", ["0", "2", "999999", "1000000", "v001", "01", "-1", "1.5", "%00"])
@pytest.mark.whole(but=1)
def test_a_version_that_is_not_there_has_no_page(at: At, number: str) -> None:
    with dashboard(at("scored")) as served:
        assert get(served, f"/versions/{number}", **logged_in(served)).status == 404


def test_ctrl_c_ends_it_at_once_also_with_a_page_open(at: At) -> None:
    folder = at("scored")
    port = free_port()
    with started(folder.root, "dashboard", "--port", str(port)) as process, chromium() as browser:
        assert process.stdout is not None
        address = next(word for line in process.stdout for word in line.split() if word.startswith("http"))
        page = browser.new_page()
        page.goto(address)
        page.wait_for_selector("#live.on")
        process.send_signal(signal.SIGINT)
        run = ended(process)
        assert (run.code, run.err) == (0, "")
        expect(page.locator("#live")).to_have_text("Reconnecting")


def test_a_port_that_is_taken_is_told(at: At) -> None:
    folder = at("scored")
    with dashboard(folder) as served, started(folder.root, "dashboard", "--port", str(served.port)) as second:
        run = ended(second)
    assert run.code == 1 and "can't be listened on" in run.err and "Next: name another port" in run.err


def test_the_http_server_shows_the_same_pages_to_a_browser_with_its_token(at: At) -> None:
    folder = at("scored")
    port = free_port()
    address = f"127.0.0.1:{port}"
    secret = folder.root.parent / "token"
    secret.write_text(SECRET)
    secret.chmod(0o600)
    with started(folder.root, "serve", "--http", address, "--token-file", str(secret)) as server:
        until(lambda: listens(port) or server.poll() is not None, "the server's port")
        served = Served(f"http://{address}/")
        assert get(served, "/").status == 401
        assert get(served, "/", Authorization=f"Bearer {SECRET}").status == 200
        password = base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert get(served, "/versions/1", Authorization=f"Basic {password}").status == 200
        with chromium() as browser:
            context = browser.new_context(http_credentials={"username": "me", "password": SECRET})
            page = context.new_page()
            page.goto(f"http://{address}/")
            page.wait_for_selector("#live.on")
            expect(page.locator("#standing")).to_contain_text("Best accuracy")
            server.send_signal(signal.SIGINT)
            assert ended(server).code in (0, 130), "an open page keeps no server alive"
