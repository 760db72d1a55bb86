"""A gateway for readers: Envoy, configured from the resources of Istio, as Istio configures its gateways."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import yaml
from deploy.rehearsal.control_plane import ApiServer

from tickwire.testing.ports import find_free_port

# The header of a response that names the subset which sent the response.
SUBSET_HEADER = "x-subset"
_POLL_INTERVAL_S = 0.3
_TYPES = "type.googleapis.com/envoy"


class Gateway:
    """Forwards readers to the ready pods of the subsets of a DestinationRule, with the weights of a VirtualService.

    `weights` contains the weights of the subset `canary`, in the order in which they appeared.
    """

    def __init__(self, server: ApiServer, namespace: str, name: str, folder: Path) -> None:
        self.url = f"http://127.0.0.1:{find_free_port()}"
        self.weights: list[int] = []
        self._server = server
        self._pods = f"/api/v1/namespaces/{namespace}/pods"
        istio = f"/apis/networking.istio.io/v1/namespaces/{namespace}"
        self._virtual_service = f"{istio}/virtualservices/{name}"
        self._destination_rule = f"{istio}/destinationrules/{name}"
        self._folder = folder
        self._written: dict[str, Any] = {}

    async def command(self) -> list[str]:
        """Write the configuration, and return the command that runs Envoy."""
        await self._update()
        rule = await self._server.get(self._destination_rule)
        file = self._folder / "envoy.yaml"
        file.write_text(yaml.safe_dump(self._bootstrap(rule["spec"]), sort_keys=False))
        return [
            "envoy",
            "--config-path",
            str(file),
            "--concurrency",
            "1",
            "--log-level",
            "warning",
            "--use-dynamic-base-id",
        ]

    async def run(self) -> None:
        """Follow the resources until the task is cancelled."""
        while True:
            await self._update()
            await asyncio.sleep(_POLL_INTERVAL_S)

    async def _update(self) -> None:
        service = (await self._server.get(self._virtual_service))["spec"]
        rule = (await self._server.get(self._destination_rule))["spec"]
        pods = (await self._server.get(self._pods))["items"]
        for subset in rule["subsets"]:
            addresses = [_address(pod) for pod in pods if _is_ready(pod) and _has_labels(pod, subset["labels"])]
            self._write(
                subset["name"], "config.endpoint.v3.ClusterLoadAssignment", _endpoints(subset["name"], addresses)
            )
        routes = [route for rule in service["http"] for route in _routes(rule)]
        header = {"header": {"key": SUBSET_HEADER, "value": "%UPSTREAM_CLUSTER%"}}
        hosts = [{"name": "readers", "domains": ["*"], "routes": routes, "response_headers_to_add": [header]}]
        self._write("routes", "config.route.v3.RouteConfiguration", {"name": "routes", "virtual_hosts": hosts})
        streams = next(each for each in service["http"] if each.get("name") == "streams")
        weight = next(each.get("weight", 0) for each in streams["route"] if each["destination"]["subset"] == "canary")
        if self.weights[-1:] != [weight]:
            self.weights.append(weight)

    def _write(self, name: str, kind: str, resource: dict[str, Any]) -> None:
        """Replace a file that Envoy watches, if its content has changed."""
        if self._written.get(name) == resource:
            return
        self._written[name] = resource
        partial = self._folder / f"{name}.partial"
        partial.write_text(json.dumps({"resources": [{"@type": f"{_TYPES}.{kind}", **resource}]}))
        partial.rename(self._folder / f"{name}.json")

    def _bootstrap(self, rule: dict[str, Any]) -> dict[str, Any]:
        """Return the fixed part of the configuration."""
        manager = {
            "@type": f"{_TYPES}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
            "stat_prefix": "readers",
            "use_remote_address": True,
            # As in Istio, a stream has no idle limit of its own.
            "stream_idle_timeout": "0s",
            "rds": {"route_config_name": "routes", "config_source": self._source("routes")},
            "http_filters": [
                {
                    "name": "envoy.filters.http.router",
                    "typed_config": {"@type": f"{_TYPES}.extensions.filters.http.router.v3.Router"},
                }
            ],
        }
        port = int(self.url.rpartition(":")[2])
        listener = {
            "name": "readers",
            "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}},
            "filter_chains": [
                {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
            ],
        }
        clusters = [
            self._cluster(subset["name"], rule["trafficPolicy"]["connectionPool"]) for subset in rule["subsets"]
        ]
        return {
            "static_resources": {"listeners": [listener], "clusters": clusters},
            "node": {"id": "1", "cluster": "1"},
        }

    def _cluster(self, name: str, limits: dict[str, Any]) -> dict[str, Any]:
        thresholds = {
            "max_connections": limits["tcp"]["maxConnections"],
            "max_pending_requests": limits["http"]["http1MaxPendingRequests"],
            "max_requests": limits["http"]["http2MaxRequests"],
            # Istio has no limit of retries at the same time.
            "max_retries": 4_294_967_295,
        }
        return {
            "name": name,
            "type": "EDS",
            "connect_timeout": "10s",
            "lb_policy": "LEAST_REQUEST",
            "eds_cluster_config": {"eds_config": self._source(name)},
            "circuit_breakers": {"thresholds": [thresholds]},
        }

    def _source(self, name: str) -> dict[str, Any]:
        return {"path_config_source": {"path": str(self._folder / f"{name}.json")}, "resource_api_version": "V3"}


def _routes(rule: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the routes of Envoy for a rule of a VirtualService. Each match of the rule has one."""
    clusters = [
        {"name": each["destination"]["subset"], "weight": each.get("weight", 100 if len(rule["route"]) == 1 else 0)}
        for each in rule["route"]
    ]
    action: dict[str, Any] = {"weighted_clusters": {"clusters": clusters}, "timeout": "0s"}
    if "retries" in rule:
        conditions = rule["retries"]["retryOn"].split(",")
        action["retry_policy"] = {
            "num_retries": rule["retries"]["attempts"],
            "retry_on": ",".join(each for each in conditions if not each.isdigit()),
            "retriable_status_codes": [int(each) for each in conditions if each.isdigit()],
        }
    return [{"match": _match(each), "route": action} for each in rule.get("match", [{}])]


def _match(match: dict[str, Any]) -> dict[str, Any]:
    headers = [
        {"name": name, "string_match": {"safe_regex": {"regex": condition["regex"]}}}
        for name, condition in match.get("headers", {}).items()
    ]
    return {"prefix": "/", "headers": headers}


def _endpoints(name: str, addresses: list[tuple[str, int]]) -> dict[str, Any]:
    endpoints = [
        {"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}
        for address, port in sorted(addresses)
    ]
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": endpoints}]}


def _is_ready(pod: Any) -> bool:
    conditions = {each["type"]: each["status"] for each in pod["status"].get("conditions", ())}
    return conditions.get("Ready") == "True" and "deletionTimestamp" not in pod["metadata"]


def _has_labels(pod: Any, labels: dict[str, str]) -> bool:
    return labels.items() <= pod["metadata"]["labels"].items()


def _address(pod: Any) -> tuple[str, int]:
    return pod["status"]["podIP"], pod["spec"]["containers"][0]["ports"][0]["containerPort"]
