"""A Prometheus with the scaled rules, which scrapes the services every second."""

import json
import os
import urllib.parse

import environment
from processes import Process, free_port, get
from wait import until

CONFIGURATION = """\
global:
  scrape_interval: 1s
  scrape_timeout: 1s
  evaluation_interval: 1s
rule_files:
  - rules/*.yml
scrape_configs:
  - job_name: services
    file_sd_configs:
      - files: [targets.json]
        refresh_interval: 1s
"""


class Prometheus:
    def __init__(self):
        work = environment.WORK
        self.targets = {}
        (work / "prometheus.yml").write_text(CONFIGURATION)
        address = f"127.0.0.1:{free_port()}"
        self.url = f"http://{address}"
        self.process = Process("prometheus", [
            "prometheus", f"--config.file={work / 'prometheus.yml'}", f"--storage.tsdb.path={work / 'data'}",
            f"--web.listen-address={address}", "--log.level=warn",
        ], dict(os.environ))

    def start(self):
        self.write_targets()
        self.process.start()
        until("Prometheus to be ready", lambda: get(f"{self.url}/-/ready"))

    def scrape(self, job, service):
        """Adds a target."""
        self.targets[service.address] = job
        self.write_targets()

    def forget(self, service):
        del self.targets[service.address]
        self.write_targets()

    def write_targets(self):
        targets = [{"targets": [address], "labels": {"job": job}} for address, job in self.targets.items()]
        new = environment.WORK / "targets.json.new"
        new.write_text(json.dumps(targets))
        new.rename(environment.WORK / "targets.json")

    def query(self, query):
        """Returns the samples of a query as pairs of labels and value. A query that is wrong is an error."""
        answer = json.loads(get(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': query})}"))
        assert answer["status"] == "success", answer
        data = answer["data"]
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(sample["metric"], float(sample["value"][1])) for sample in data["result"]]

    def firing(self, **labels):
        """Returns the labels of the alerts of checkout that fire and have these labels."""
        selector = "".join(f', {name}="{value}"' for name, value in labels.items())
        samples = self.query(f'ALERTS{{alertname=~"Checkout.+", alertstate="firing"{selector}}}')
        return [labels for labels, _ in samples]
