#!/usr/bin/env python3
"""The software bill of materials: sbom.py FILE writes, in the format CycloneDX 1.6, what the programs and the component are made of.

The source is what cargo itself resolves from `Cargo.lock` for the systems that are built for, without what only tests
need. Each crate has its version, its licence, the hash that the registry gives, and what it depends on.
"""
import json
import subprocess
import sys
import tomllib
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

ROOT = Path(__file__).resolve().parent.parent
TARGETS = ("x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "wasm32-wasip2")


def metadata():
    filters = [word for target in TARGETS for word in ("--filter-platform", target)]
    command = ["cargo", "metadata", "--format-version", "1", "--locked", *filters]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout)


def shipped(resolved, roots):
    """The crates that `roots` need when they are built or run; those of tests are left out."""
    nodes = {node["id"]: node for node in resolved["nodes"]}
    edges, todo = {}, list(roots)
    while todo:
        here = todo.pop()
        if here in edges:
            continue
        edges[here] = [
            dep["pkg"] for dep in nodes[here]["deps"] if any(kind["kind"] != "dev" for kind in dep["dep_kinds"])
        ]
        todo += edges[here]
    return edges


def main():
    found = metadata()
    packages = {package["id"]: package for package in found["packages"]}
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    checksums = {(one["name"], one["version"]): one.get("checksum") for one in locked}
    edges = shipped(found["resolve"], found["workspace_members"])
    licences = LicenseFactory()

    def component(identity):
        package = packages[identity]
        own = identity in found["workspace_members"]
        checksum = checksums.get((package["name"], package["version"]))
        return Component(
            name=package["name"],
            version=package["version"],
            type=ComponentType.APPLICATION if own else ComponentType.LIBRARY,
            # `/` between licences is the older spelling of OR.
            licenses=[licences.make_from_string(package["license"].replace("/", " OR "))] if package["license"] else [],
            purl=PackageURL("cargo", name=package["name"], version=package["version"]),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=checksum)] if checksum else [],
            bom_ref=f"{package['name']}@{package['version']}",
        )

    made = {identity: component(identity) for identity in sorted(edges)}
    # Whoever adds a crate from elsewhere than the registry has to say so here, and in deny.toml.
    bare = [one.name for identity, one in made.items() if identity not in found["workspace_members"] and not one.hashes]
    if bare:
        sys.exit(f"no hash in Cargo.lock for {', '.join(bare)}")
    bom = Bom()
    bom.metadata.component = next(one for one in made.values() if one.name == "cofre")
    for identity, one in made.items():
        if one is not bom.metadata.component:
            bom.components.add(one)
        bom.register_dependency(one, [made[needed] for needed in edges[identity]])
    JsonV1Dot6(bom).output_to_file(sys.argv[1], allow_overwrite=True, indent=2)
    print(f"{sys.argv[1]}: {len(made)} crates")


main()
