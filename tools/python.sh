#!/usr/bin/env bash
# Prints a Python that the platform supports.
set -euo pipefail
for candidate in "${PYTHON:-python3}" python3 python3.12 python3.11; do
    if "$candidate" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 13))' 2>/dev/null; then
        "$candidate" -c 'import sys; print(sys.executable)'
        exit 0
    fi
done
echo "Python 3.11 or 3.12 is needed, and neither is on the PATH (on Ubuntu: apt install python3.12)." >&2
exit 1
