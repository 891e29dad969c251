"""What the proxy writes down of requests: nothing that anybody could use in another's name."""

import shutil
from pathlib import Path

import pytest
import requests
import urllib3

from devstack.parts import REPOSITORY
from devstack.servers import LOOPBACK, ServerProcess, free_port

KEY = f"tm_{24 * 'k'}"


class LonelyProxy(ServerProcess):
    """The proxy of docker-compose.yml with ports of ours, while there is no web process."""

    name = "caddy"

    def command(self) -> list[str]:
        ports = f"http_port {free_port()}\nhttps_port {self.port}"
        variables = {
            "CADDY_GLOBAL": f"{ports}\nlocal_certs\nskip_install_trust\nadmin off",
            "WEB_HOST": LOOPBACK,
            "WEB_PORT": str(free_port()),
            "XDG_DATA_HOME": str(self.directory),
            "XDG_CONFIG_HOME": str(self.directory),
        }
        config = REPOSITORY / "deploy" / "caddy" / "Caddyfile"
        named = [f"{name}={value}" for name, value in variables.items()]
        return ["env", *named, "caddy", "run", "--config", str(config), "--adapter", "caddyfile"]

    def is_ready(self) -> bool:
        try:
            return ask(self, "/flower").status_code > 0
        except requests.RequestException:
            return False


def ask(proxy: LonelyProxy, path: str, **headers: str) -> requests.Response:
    return requests.get(f"https://localhost:{proxy.port}{path}", headers=headers, verify=False, timeout=20)


@pytest.mark.filterwarnings("ignore::urllib3.exceptions.InsecureRequestWarning")
def test_keys_and_tokens_of_requests_that_nobody_took_are_not_logged(tmp_path: Path) -> None:
    if shutil.which("caddy") is None:
        pytest.skip("THE PROXY WAS NOT TESTED: caddy was not found. On Debian: apt-get install caddy")
    urllib3.disable_warnings()
    headers = {"X-API-Key": KEY, "Sec-WebSocket-Protocol": f"talkmeter, {KEY}", "Cookie": f"session={KEY}"}
    with LonelyProxy(tmp_path) as proxy:
        assert ask(proxy, f"/api/bot/{KEY}/ask?token=of-a-socket", **headers).status_code == 502
        logged = proxy.log_tail(10_000)
    assert "/api/bot/***/ask***" in logged, "which request it was can be seen"
    assert KEY not in logged
    assert "of-a-socket" not in logged
