#!/usr/bin/env bash
# Each module of the runtime imports only from layers below its own, or from its own folder.
#
# Able to fail: the self-test checks a made-up crate with a violation of each kind, and stops this
# script unless every one of them is found.
set -euo pipefail
cd "$(dirname "$0")/.."

python3 ci/layers.py --self-test
python3 ci/layers.py
