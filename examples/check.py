"""Checks a Python strategy without running it and reports as JSON.

usage: python3 check.py FILE
"""

import ast
import json
import sys
import time

started = time.monotonic()
report = {"success": True, "errors": [], "warnings": [], "info": [], "classes_found": [], "methods_found": {}}
with open(sys.argv[1], encoding="utf-8") as file:
    source = file.read()
try:
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef):
            methods = [part.name for part in node.body if isinstance(part, ast.FunctionDef)]
            report["classes_found"].append(node.name)
            report["methods_found"][node.name] = methods
            if "signal" not in methods:
                report["warnings"].append({
                    "severity": "warning", "line": node.lineno, "code": "no-signal",
                    "message": f"{node.name} has no method signal",
                    "suggestion": "define signal(self, prices)",
                })
except SyntaxError as error:
    report["success"] = False
    report["errors"].append({
        "severity": "error", "code": "SyntaxError", "message": error.msg,
        "line": error.lineno, "column": error.offset,
    })
print(f"checked {sys.argv[1]}")
report["execution_time_ms"] = round(1000 * (time.monotonic() - started), 3)
print(json.dumps(report))
sys.exit(0 if report["success"] else 1)
